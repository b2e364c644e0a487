//! Conversions for providers that sign remotely: the digest that they are sent, and the DER
//! signatures that they return.

use aws_lc_rs::digest::{self, Digest};
use der::asn1::UintRef;
use der::{Reader as _, SliceReader};

use crate::algorithm::{Algorithm, Curve};
use crate::signing_key::Signature;

impl Algorithm {
    /// The SHA-2 hash of the message that this algorithm signs (RFC 7518 §3). `None` for Ed25519, which signs the
    /// message itself (RFC 8032).
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Option<Digest> {
        let hash = match self {
            Self::RS256 | Self::PS256 | Self::ES256 => &digest::SHA256,
            Self::RS384 | Self::PS384 | Self::ES384 => &digest::SHA384,
            Self::RS512 | Self::PS512 | Self::ES512 => &digest::SHA512,
            Self::EdDSA => return None,
        };
        Some(digest::digest(hash, message))
    }
}

impl Signature {
    /// Converts an ECDSA signature from DER (RFC 3279 §2.2.3) to JWS form (RFC 7518 §3.4): R and S, each as long as the
    /// field. `None` unless the input is the canonical DER encoding of two positive numbers that fit.
    #[must_use]
    pub fn from_ecdsa_der(curve: Curve, der: &[u8]) -> Option<Self> {
        fixed(der, curve.field_len()).map(Self::from_jws)
    }
}

/// R and S of `field_len` bytes each. `None` unless `der` is the canonical encoding of two positive numbers that fit.
fn fixed(der: &[u8], field_len: usize) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let numbers: der::Result<[UintRef<'_>; 2]> = reader.sequence(|body| Ok([body.decode()?, body.decode()?]));
    let numbers = numbers.ok()?;
    reader.finish().ok()?;
    let mut fixed = vec![0; 2 * field_len];
    for (number, place) in numbers.iter().zip(fixed.chunks_exact_mut(field_len)) {
        let digits = number.as_bytes();
        // Only zero begins with a zero digit, because `UintRef` drops leading zeros.
        if digits.first().is_none_or(|digit| *digit == 0) {
            return None;
        }
        let start = field_len.checked_sub(digits.len())?;
        place[start..].copy_from_slice(digits);
    }
    Some(fixed)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        KeyPair as _,
    };

    use super::*;
    use crate::public_key::PublicKey;

    #[test]
    fn signatures_of_real_keys_hold_in_their_fixed_form() {
        let random = SystemRandom::new();
        for (signing, curve, algorithm) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, Curve::P256, Algorithm::ES256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, Curve::P384, Algorithm::ES384),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, Curve::P521, Algorithm::ES512),
        ] {
            let pair = EcdsaKeyPair::generate(signing).expect("a key");
            let public = PublicKey::from_ec_point(curve, pair.public_key().as_ref()).expect("a point");
            let public = public.for_algorithm(algorithm).expect("its algorithm");
            // Enough signatures that some numbers begin with a zero byte, and some with the sign bit set.
            for message in 0..600_u32 {
                let message = message.to_be_bytes();
                let der = pair.sign(&random, &message).expect("signed");
                let signature = Signature::from_ecdsa_der(curve, der.as_ref()).expect("two numbers");
                assert!(public.verifies(&message, signature.as_ref()));
            }
        }
    }

    #[test]
    fn the_digest_is_the_hash_that_the_algorithm_is_named_after() {
        for (algorithm, length) in [(Algorithm::ES256, 32), (Algorithm::PS384, 48), (Algorithm::RS512, 64)] {
            assert_eq!(algorithm.digest(b"message").expect("a hash").as_ref().len(), length);
        }
        assert!(Algorithm::EdDSA.digest(b"message").is_none());
    }

    #[test]
    fn short_numbers_are_filled_up_in_front() {
        assert_eq!(fixed(&[0x30, 6, 2, 1, 1, 2, 1, 0x7f], 2), Some(vec![0, 1, 0, 0x7f]));
        assert_eq!(fixed(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 5], 1), Some(vec![0x80, 5]));
    }

    #[test]
    fn anything_but_the_one_encoding_is_refused() {
        for wrong in [
            &[][..],
            &[0x30],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 5, 2, 1, 1, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 7, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 6, 3, 1, 1, 2, 1, 1],
            &[0x30, 6, 2, 1, 0, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 0],
            &[0x30, 6, 2, 1, 0x80, 2, 1, 1],
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],
            &[0x30, 5, 2, 0, 2, 1, 1],
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0],
            &[0x30, 0x82, 0, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 7, 2, 2, 1, 1, 2, 1, 1],
        ] {
            assert_eq!(fixed(wrong, 1), None, "{wrong:02x?}");
        }
    }
}
