//! Signet's algorithms in KMS's terms:
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>.

use std::borrow::Cow;

use signet_core::Algorithm;
use signet_core::algorithm::RsaBits;

/// "Messages can be 0-4096 bytes" if KMS hashes them itself. Ed25519 hashes twice, so the caller cannot do it.
pub(crate) const LONGEST_RAW: usize = 4096;

/// The maximum length of a message in bytes. `None` if we hash it ourselves, which has no limit.
pub(crate) fn longest_message(algorithm: Algorithm) -> Option<usize> {
    (algorithm == Algorithm::EdDSA).then_some(LONGEST_RAW)
}

/// The parameters of `Sign`.
pub(crate) struct Signing<'a> {
    pub(crate) spec: &'static str,
    pub(crate) input: Cow<'a, [u8]>,
    pub(crate) is_digest: bool,
}

impl<'a> Signing<'a> {
    pub(crate) fn new(algorithm: Algorithm, message: &'a [u8]) -> Self {
        let spec = match algorithm {
            Algorithm::RS256 => "RSASSA_PKCS1_V1_5_SHA_256",
            Algorithm::RS384 => "RSASSA_PKCS1_V1_5_SHA_384",
            Algorithm::RS512 => "RSASSA_PKCS1_V1_5_SHA_512",
            Algorithm::PS256 => "RSASSA_PSS_SHA_256",
            Algorithm::PS384 => "RSASSA_PSS_SHA_384",
            Algorithm::PS512 => "RSASSA_PSS_SHA_512",
            Algorithm::ES256 => "ECDSA_SHA_256",
            Algorithm::ES384 => "ECDSA_SHA_384",
            Algorithm::ES512 => "ECDSA_SHA_512",
            Algorithm::EdDSA => "ED25519_SHA_512",
        };
        let digest = algorithm.digest(message);
        Self {
            spec,
            is_digest: digest.is_some(),
            input: digest.map_or(Cow::Borrowed(message), |digest| Cow::Owned(digest.as_ref().to_vec())),
        }
    }
}

/// The `KeySpec` of a key for this algorithm.
pub(crate) fn spec(algorithm: Algorithm, bits: RsaBits) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ECC_NIST_P256",
        Algorithm::ES384 => "ECC_NIST_P384",
        Algorithm::ES512 => "ECC_NIST_P521",
        Algorithm::EdDSA => "ECC_NIST_EDWARDS25519",
        _ => match bits {
            RsaBits::B2048 => "RSA_2048",
            RsaBits::B3072 => "RSA_3072",
            RsaBits::B4096 => "RSA_4096",
        },
    }
}
