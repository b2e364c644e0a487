//! The description of a key, in which Signet stores its own data.
//!
//! It is the only field of KMS that is set together with the key, is returned with the key's state in one call, and
//! holds 8,192 characters. A tag holds 256 characters of few kinds, and would need a second call.
//!
//! The text is ASCII, because AWS does not say which other characters a description accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signet_core::{Algorithm, Kid, PublicKey, Revocation, Terms, VerifyingKey};

/// The maximum length of a description.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html#KMS-CreateKey-request-Description>
const LONGEST: usize = 8192;
const MARK: &str = "A key of a Signet ring; do not edit: ";

/// The content of a key's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Label {
    /// The ring for which the key was created.
    pub(crate) ring: String,
    /// The number of the key in the ring, with which its alias ends.
    pub(crate) sequence: u64,
    #[serde(rename = "alg", with = "algorithm")]
    pub(crate) algorithm: Algorithm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) predecessor: Option<Kid>,
    pub(crate) terms: Terms,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Mark>,
}

/// A revocation.
///
/// It includes the public key, because KMS shows that only for enabled keys, and a process must know a revoked key that
/// it never saw enabled. It is used only for revoked keys: somebody who may edit a description can revoke a key, but
/// must not be able to publish their own key.
///
/// Older marks have no public key and can still be read. The version that wrote those ignores the
/// public key in newer marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    #[serde(flatten)]
    pub(crate) revocation: Revocation,
    /// The DER `SubjectPublicKeyInfo`, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
}

impl Mark {
    pub(crate) fn new(revocation: &Revocation, public: &VerifyingKey) -> Self {
        Self {
            revocation: revocation.clone(),
            public: public.to_spki_der().ok().map(|der| STANDARD.encode(der)),
        }
    }

    /// The public key of the revoked key, according to this mark.
    pub(crate) fn public_key(&self, algorithm: Algorithm) -> Option<VerifyingKey> {
        let der = STANDARD.decode(self.public.as_ref()?).ok()?;
        PublicKey::from_spki_der(&der).ok()?.for_algorithm(algorithm).ok()
    }
}

/// A label that is too long for a description.
#[derive(Debug, thiserror::Error)]
#[error("needs {0} characters, but KMS allows {LONGEST} in a description; write a shorter reason")]
pub(crate) struct TooLong(usize);

impl Label {
    pub(crate) fn to_description(&self) -> Result<String, TooLong> {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut text = MARK.to_owned();
        for character in json.chars() {
            match character {
                ' '..='~' => text.push(character),
                _ => {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        match text.len() {
            len if len > LONGEST => Err(TooLong(len)),
            _ => Ok(text),
        }
    }

    /// Parses a description. `None` if it is not of a key of Signet, or somebody has changed it.
    pub(crate) fn from_description(text: &str) -> Option<Self> {
        serde_json::from_str(text.strip_prefix(MARK)?).ok()
    }
}

mod algorithm {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use signet_core::Algorithm;

    pub(super) fn serialize<S: Serializer>(algorithm: &Algorithm, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(algorithm.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signet_core::algorithm::RsaBits;
    use signet_core::{SigningKey, Timestamp};

    use super::*;

    fn label(reason: &str) -> Label {
        let revocation = Revocation {
            at: Timestamp::from_millis(-5),
            reason: reason.to_owned(),
        };
        Label {
            ring: "gateway".to_owned(),
            sequence: 7,
            algorithm: Algorithm::RS256,
            predecessor: Some(Kid::new("kid")),
            terms: Terms::new(
                Duration::from_millis(1),
                Duration::from_millis(2),
                Duration::from_millis(3),
            ),
            revoked: Some(Mark {
                revocation,
                // The longest public key in KMS, that of RSA-4096.
                public: Some("A".repeat(736)),
            }),
        }
    }

    #[test]
    fn a_description_is_ascii_and_gives_the_label_back_exactly() {
        for reason in ["", "stolen; \"quoted\" \\ ü 🔑 \u{7f} \u{0} \n", "\u{ffff}\u{10ffff}"] {
            let text = label(reason).to_description().expect("it fits");
            assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{text}");
            assert_eq!(Label::from_description(&text), Some(label(reason)));
        }
    }

    #[test]
    fn a_mark_gives_the_public_key_back_for_its_algorithm_alone() {
        let key = SigningKey::generate(Algorithm::ES256, RsaBits::B2048).expect("a key");
        let revocation = label("").revoked.expect("marked").revocation;
        let mark = Mark::new(&revocation, key.verifying_key());
        let read = mark.public_key(Algorithm::ES256).expect("a public key");
        assert_eq!(read.kid(), key.verifying_key().kid());
        assert!(mark.public_key(Algorithm::ES384).is_none());
    }

    /// Reads a mark from before marks had a public key, and reads a new mark as that version would.
    #[test]
    fn marks_of_the_version_before_are_read_and_it_reads_ours() {
        #[derive(Deserialize)]
        struct Before {
            revoked: Revocation,
        }
        let text = label("stolen").to_description().expect("it fits");
        let json = text.strip_prefix(MARK).expect("marked");
        let before: Before = serde_json::from_str(json).expect("read by the version before");
        assert_eq!(before.revoked.reason, "stolen");
        let old = text.replace(&format!(",\"public\":\"{}\"", "A".repeat(736)), "");
        assert!(old.len() < text.len());
        let mark = Label::from_description(&old)
            .and_then(|label| label.revoked)
            .expect("a mark");
        assert_eq!(mark.revocation.reason, "stolen");
        assert!(mark.public_key(Algorithm::RS256).is_none());
    }

    #[test]
    fn a_reason_that_does_not_fit_is_refused_and_never_cut() {
        let longest = (0..LONGEST)
            .rev()
            .find(|len| label(&"r".repeat(*len)).to_description().is_ok())
            .expect("some reason fits");
        assert!(longest > 7_000, "{longest}");
        assert_eq!(
            label(&"r".repeat(longest)).to_description().expect("fits").len(),
            LONGEST
        );
        assert!(label(&"🔑".repeat(700)).to_description().is_err());
    }

    #[test]
    fn what_others_write_is_no_label() {
        for text in [
            "",
            "billing key",
            "A key of a Signet ring; do not edit: {}",
            "{\"ring\":\"gateway\"}",
        ] {
            assert_eq!(Label::from_description(text), None, "{text}");
        }
    }
}
