//! Google's names for our algorithms.
//!
//! <https://cloud.google.com/kms/docs/algorithms#asymmetric_signing_algorithms>. There is no RS384, PS384 or ES512.
//! RS512 and PS512 exist only for keys of 4096 bits.

use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionAlgorithm as Vendor;
use signet_core::Algorithm;
use signet_core::algorithm::RsaBits;

/// The algorithms for which keys can be created.
pub(crate) const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The maximum length in bytes of a message for Ed25519, which is sent whole. For other
/// algorithms, only the digest is sent.
pub(crate) const LONGEST_ED25519: usize = 64 * 1024;

pub(crate) fn longest_message(algorithm: Algorithm) -> Option<usize> {
    (algorithm == Algorithm::EdDSA).then_some(LONGEST_ED25519)
}

/// Google's algorithm for a new version. `None` if Google does not have it.
pub(crate) fn vendor(algorithm: Algorithm, bits: RsaBits) -> Option<Vendor> {
    Some(match (algorithm, bits) {
        (Algorithm::RS256, RsaBits::B2048) => Vendor::RsaSignPkcs12048Sha256,
        (Algorithm::RS256, RsaBits::B3072) => Vendor::RsaSignPkcs13072Sha256,
        (Algorithm::RS256, RsaBits::B4096) => Vendor::RsaSignPkcs14096Sha256,
        (Algorithm::RS512, _) => Vendor::RsaSignPkcs14096Sha512,
        (Algorithm::PS256, RsaBits::B2048) => Vendor::RsaSignPss2048Sha256,
        (Algorithm::PS256, RsaBits::B3072) => Vendor::RsaSignPss3072Sha256,
        (Algorithm::PS256, RsaBits::B4096) => Vendor::RsaSignPss4096Sha256,
        (Algorithm::PS512, _) => Vendor::RsaSignPss4096Sha512,
        (Algorithm::ES256, _) => Vendor::EcSignP256Sha256,
        (Algorithm::ES384, _) => Vendor::EcSignP384Sha384,
        (Algorithm::EdDSA, _) => Vendor::EcSignEd25519,
        (Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES512, _) => return None,
    })
}

/// The algorithm of a version, if we support it.
pub(crate) fn jose(vendor: &Vendor) -> Option<Algorithm> {
    Some(match vendor {
        Vendor::RsaSignPkcs12048Sha256 | Vendor::RsaSignPkcs13072Sha256 | Vendor::RsaSignPkcs14096Sha256 => {
            Algorithm::RS256
        }
        Vendor::RsaSignPkcs14096Sha512 => Algorithm::RS512,
        Vendor::RsaSignPss2048Sha256 | Vendor::RsaSignPss3072Sha256 | Vendor::RsaSignPss4096Sha256 => Algorithm::PS256,
        Vendor::RsaSignPss4096Sha512 => Algorithm::PS512,
        Vendor::EcSignP256Sha256 => Algorithm::ES256,
        Vendor::EcSignP384Sha384 => Algorithm::ES384,
        Vendor::EcSignEd25519 => Algorithm::EdDSA,
        _ => return None,
    })
}

/// The data to sign, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToSign {
    Sha256(Vec<u8>),
    Sha384(Vec<u8>),
    Sha512(Vec<u8>),
    Data(Vec<u8>),
}

impl ToSign {
    pub(crate) fn new(algorithm: Algorithm, message: &[u8]) -> Self {
        let Some(digest) = algorithm.digest(message) else {
            return Self::Data(message.to_vec());
        };
        let octets = digest.as_ref().to_vec();
        match octets.len() {
            32 => Self::Sha256(octets),
            48 => Self::Sha384(octets),
            _ => Self::Sha512(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_algorithm_has_a_name_at_google_and_back_and_no_other_has() {
        for algorithm in Algorithm::ALL {
            for bits in [RsaBits::B2048, RsaBits::B3072, RsaBits::B4096] {
                let vendor = vendor(algorithm, bits);
                assert_eq!(vendor.is_some(), ALGORITHMS.contains(&algorithm), "{algorithm}");
                assert_eq!(
                    vendor.as_ref().and_then(jose),
                    ALGORITHMS.contains(&algorithm).then_some(algorithm)
                );
            }
        }
        assert_eq!(jose(&Vendor::EcSignSecp256K1Sha256), None);
        assert_eq!(jose(&Vendor::GoogleSymmetricEncryption), None);
    }
}
