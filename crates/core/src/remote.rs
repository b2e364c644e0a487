//! What a provider that signs for us is sent, and what it gives back: the digest of a message, and ECDSA signatures in DER.

use aws_lc_rs::digest::{self, Digest};

use crate::algorithm::{Algorithm, Curve};
use crate::signing_key::Signature;

impl Algorithm {
    /// The SHA-2 hash of the message that this algorithm signs (RFC 7518 §3). `None` for Ed25519, which takes the message
    /// itself (RFC 8032).
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
    /// An ECDSA signature from DER (RFC 3279 §2.2.3) to the form of a JWS (RFC 7518 §3.4): R and S, each as long as the
    /// field. `None` for anything but the one DER encoding of two positive numbers that fit.
    #[must_use]
    pub fn from_ecdsa_der(curve: Curve, der: &[u8]) -> Option<Self> {
        fixed(der, curve.field_len()).map(Self::from_jws)
    }
}

/// R and S of `field_len` octets each. `None` for anything but the one DER encoding of two positive numbers that fit.
fn fixed(der: &[u8], field_len: usize) -> Option<Vec<u8>> {
    let (body, rest) = value(0x30, der)?;
    let (r, body_rest) = value(0x02, body)?;
    let (s, end) = value(0x02, body_rest)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut fixed = vec![0; 2 * field_len];
    for (number, place) in [r, s].into_iter().zip(fixed.chunks_exact_mut(field_len)) {
        let digits = positive(number)?;
        let start = field_len.checked_sub(digits.len())?;
        place[start..].copy_from_slice(digits);
    }
    Some(fixed)
}

/// The content of one element with this tag, and what follows. Lengths are in their shortest form; none here is beyond 255.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (*first, rest),
        0x81 => match rest.split_first()? {
            (len, rest) if *len >= 0x80 => (*len, rest),
            _ => return None,
        },
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(usize::from(len)))?
}

/// The digits of a positive number: no sign bit, no zero octet in front that is not needed, not zero.
fn positive(number: &[u8]) -> Option<&[u8]> {
    match number {
        [] | [0] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => None,
        [0, digits @ ..] => Some(digits),
        digits => Some(digits),
    }
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
            // Enough that some numbers begin with a zero octet, and some with the sign bit.
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
