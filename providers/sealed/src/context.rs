//! The context of a ciphertext: the additional authenticated data for everything that a sealer encrypts.
//!
//! A blob decrypts only in the context in which it was encrypted. Blobs therefore cannot be exchanged between keys or
//! rings, and a private key cannot get another creation time or other terms.

use signet_core::{Algorithm, Kid, Terms, Timestamp};

/// The kind of secret that is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key that authenticates the ring document.
    RingKey,
    /// A private signing key.
    PrivateKey {
        /// The id of the key.
        kid: Kid,
        /// The only algorithm of the key.
        algorithm: Algorithm,
        /// The creation time of the key.
        created_at: Timestamp,
        /// The terms of the key.
        terms: Terms,
    },
    /// A worthless value, with which `signet check` tests the sealer.
    Trial,
}

/// The ring and the purpose of one encrypted secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    ring: String,
    purpose: Purpose,
}

impl Context {
    /// Makes the context for a secret of this ring.
    #[must_use]
    pub fn new(ring: &str, purpose: Purpose) -> Self {
        Self {
            ring: ring.to_owned(),
            purpose,
        }
    }

    /// The kind of secret that is encrypted.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// The context as names and values in a fixed order. AWS KMS takes it in this form as its encryption context and
    /// writes it to its audit log, so nothing here may be secret.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("signet-ring", self.ring.clone())];
        match &self.purpose {
            Purpose::RingKey => pairs.push(("signet-purpose", "ring-key".to_owned())),
            Purpose::Trial => pairs.push(("signet-purpose", "trial".to_owned())),
            Purpose::PrivateKey {
                kid,
                algorithm,
                created_at,
                terms,
            } => pairs.extend([
                ("signet-purpose", "private-key".to_owned()),
                ("signet-kid", kid.to_string()),
                ("signet-alg", algorithm.to_string()),
                ("signet-created-at-ms", created_at.as_millis().to_string()),
                ("signet-lead-ms", terms.lead.as_millis().to_string()),
                ("signet-token-max-ttl-ms", terms.token_max_ttl.as_millis().to_string()),
                ("signet-retention-ms", terms.retention.as_millis().to_string()),
            ]),
        }
        pairs
    }

    /// The context as bytes. Each name and value is preceded by its length, so different contexts have different bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, b"signet-context/1");
        for (name, value) in self.pairs() {
            push(&mut bytes, name.as_bytes());
            push(&mut bytes, value.as_bytes());
        }
        bytes
    }
}

/// Appends the length of a part in eight bytes, then the part. This makes the concatenation unambiguous.
pub(crate) fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    fn private(kid: &str, created_at: i64, lead: u64) -> Purpose {
        Purpose::PrivateKey {
            kid: Kid::new(kid),
            algorithm: Algorithm::ES256,
            created_at: Timestamp::from_millis(created_at),
            terms: Terms::new(
                Duration::from_millis(lead),
                Duration::from_millis(2),
                Duration::from_millis(3),
            ),
        }
    }

    #[test]
    fn contexts_that_differ_anywhere_have_different_bytes() {
        let contexts = [
            Context::new("a", Purpose::RingKey),
            Context::new("b", Purpose::RingKey),
            Context::new("a", Purpose::Trial),
            Context::new("a", private("k", 1, 1)),
            Context::new("a", private("l", 1, 1)),
            Context::new("a", private("k", 11, 1)),
            Context::new("a", private("k", 1, 11)),
            Context::new("ak", private("", 1, 1)),
        ];
        let bytes: HashSet<Vec<u8>> = contexts.iter().map(Context::to_bytes).collect();
        assert_eq!(bytes.len(), contexts.len());
    }

    #[test]
    fn a_ring_name_cannot_imitate_another_field() {
        let honest = Context::new("a", Purpose::RingKey).to_bytes();
        let forged = Context::new("a\0signet-purposering-key", Purpose::Trial).to_bytes();
        assert_ne!(honest, forged);
    }
}
