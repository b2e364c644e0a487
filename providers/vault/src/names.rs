//! The names and API paths of everything that Signet uses in Vault.

use signet_api::{ErrorKind, Failure, Operation};
use signet_core::Algorithm;
use signet_core::algorithm::{Curve, KeyType, RsaBits};

use crate::NAME;

/// The transit key for one algorithm (and size) of a ring.
///
/// The dot keeps rings apart in policies: `signet.*` covers the ring `signet` and not the ring `signet-test`, because
/// the name of a ring contains no dot.
pub(crate) fn transit_key(ring: &str, algorithm: Algorithm, bits: RsaBits) -> String {
    let algorithm_name = algorithm.as_str().to_ascii_lowercase();
    match algorithm.key_type() {
        KeyType::Rsa => format!("{ring}.{algorithm_name}-{}", bits.bits()),
        KeyType::Ec(_) | KeyType::Ed25519 => format!("{ring}.{algorithm_name}"),
    }
}

/// All transit keys that a ring can have.
pub(crate) fn transit_keys(ring: &str) -> Vec<String> {
    let mut names = Vec::new();
    for algorithm in Algorithm::ALL {
        for bits in [RsaBits::B2048, RsaBits::B3072, RsaBits::B4096] {
            let name = transit_key(ring, algorithm, bits);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Transit's name for the type of key.
pub(crate) const fn transit_type(algorithm: Algorithm, bits: RsaBits) -> &'static str {
    match (algorithm.key_type(), bits) {
        (KeyType::Rsa, RsaBits::B2048) => "rsa-2048",
        (KeyType::Rsa, RsaBits::B3072) => "rsa-3072",
        (KeyType::Rsa, RsaBits::B4096) => "rsa-4096",
        (KeyType::Ec(Curve::P256), _) => "ecdsa-p256",
        (KeyType::Ec(Curve::P384), _) => "ecdsa-p384",
        (KeyType::Ec(Curve::P521), _) => "ecdsa-p521",
        (KeyType::Ed25519, _) => "ed25519",
    }
}

/// The problem with a mount or path in Vault, if there is one. A valid path needs no escaping in a URL.
pub(crate) fn path_problem(path: &str) -> Option<&'static str> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
    if path.is_empty() || path.len() > 256 {
        return Some("must have 1 to 256 characters");
    }
    let is_segment =
        |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_plain);
    if path.split('/').all(is_segment) {
        None
    } else {
        Some("must be letters, digits, `_`, `-` and `.`, in segments between single slashes, with none at the ends")
    }
}

/// The problem with the name of a transit key, if there is one. The rule is Vault's own pattern for names.
pub(crate) fn key_problem(name: &str) -> Option<&'static str> {
    let is_word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    let octets = name.as_bytes();
    let is_good = octets.len() <= 64
        && octets.first().is_some_and(is_word)
        && octets.last().is_some_and(is_word)
        && octets.iter().all(|octet| is_word(octet) || b"-.".contains(octet));
    if is_good {
        None
    } else {
        Some("must be 1 to 64 letters, digits, `_`, `-` and `.`, and begin and end with a letter, a digit or `_`")
    }
}

/// Refuses a name of a remote ring that could be confused with another ring's transit key.
pub(crate) fn ring_name(name: &str) -> Result<(), signet_api::ProviderError> {
    if name.contains('.') {
        let text = format!(
            "SIGNET_KEY is {name:?}; with remote custody it must have no dot, because the ring's transit keys are named \
             <SIGNET_KEY>.<algorithm>. Write `-` instead"
        );
        return Err(Failure::new(ErrorKind::InvalidConfig, text).at(NAME, Operation::Open));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_22_names_and_none_is_another_ring_s() {
        let names = transit_keys("signet");
        assert_eq!(names.len(), 22);
        assert_eq!(transit_key("signet", Algorithm::ES256, RsaBits::B4096), "signet.es256");
        assert!(names.contains(&"signet.ps384-3072".to_owned()));
        for name in names {
            assert_eq!(key_problem(&name), None);
            assert!(name.starts_with("signet."));
        }
    }

    #[test]
    fn paths_that_would_need_escaping_or_lead_elsewhere_are_refused() {
        for path in ["", "/a", "a/", "a//b", "a/../b", ".", "a?b", "a#b", "a b", "a%2fb", "ä"] {
            assert!(path_problem(path).is_some(), "{path:?}");
        }
        for path in ["secret", "teams/blue/kv-2", "a_b/c.d"] {
            assert_eq!(path_problem(path), None, "{path:?}");
        }
        for name in ["", "-a", "a-", ".a", "a/b", "a b", "ä"] {
            assert!(key_problem(name).is_some(), "{name:?}");
        }
    }
}
