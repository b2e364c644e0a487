//! The resource names of Cloud KMS.
//!
//! `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`

use std::fmt;

/// The maximum length of a crypto key's id:
/// <https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/create>.
const LONGEST_ID: usize = 63;
/// The maximum length of an id to which `-revoked-` and ten digits can be added for the name of a mark.
const LONGEST_MARKED_ID: usize = LONGEST_ID - MARK.len() - 10;
const MARK: &str = "-revoked-";

/// The name of the crypto key in `SIGNET_KEY`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    full: String,
    /// The positions of the project, the location, the key ring and the key in it.
    parts: [(usize, usize); 4],
}

impl KeyName {
    /// Parses a resource name.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, as `gcloud kms keys list` shows it";
        let words: Vec<&str> = text.split('/').collect();
        if words.get(8).is_some_and(|word| *word == "cryptoKeyVersions") {
            return Err(format!(
                "{text:?} is a version of a key, but Signet creates the versions itself; remove /cryptoKeyVersions \
                 and everything after it"
            ));
        }
        let named = ["projects", "locations", "keyRings", "cryptoKeys"];
        let collections = words.iter().step_by(2);
        if words.len() != 8 || !collections.eq(named.iter()) {
            return Err(format!("{text:?} is not the resource name of a crypto key; {FORM}"));
        }
        let is_name = |word: &str, extra: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || extra.contains(c);
            !word.is_empty() && word.len() <= LONGEST_ID && word.chars().all(allowed)
        };
        // Domain-scoped projects have a colon and dots (`example.com:project`).
        if !(is_name(words[1], ".:") && is_name(words[3], "") && is_name(words[5], "_") && is_name(words[7], "_")) {
            return Err(format!(
                "{text:?} has a part that is not valid: a part has letters, digits, - and _, at most 63; {FORM}"
            ));
        }
        let mut parts = [(0, 0); 4];
        let mut at = 0;
        for (index, word) in words.iter().enumerate() {
            if index % 2 == 1 {
                parts[index / 2] = (at, at + word.len());
            }
            at += word.len() + 1;
        }
        let full = text.to_owned();
        Ok(Self { full, parts })
    }

    /// Checks that marks of revoked versions can be named after the key.
    ///
    /// # Errors
    /// The id is too long.
    pub(crate) fn leaves_room_for_marks(&self) -> Result<(), String> {
        if self.id().len() > LONGEST_MARKED_ID {
            return Err(format!(
                "the key name {:?} has more than {LONGEST_MARKED_ID} characters, but the marks of revoked versions \
                 contain it. Use a key with a shorter name",
                self.id()
            ));
        }
        Ok(())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.full
    }

    fn part(&self, index: usize) -> &str {
        let (from, to) = self.parts[index];
        &self.full[from..to]
    }

    pub(crate) fn project(&self) -> &str {
        self.part(0)
    }

    pub(crate) fn location(&self) -> &str {
        self.part(1)
    }

    pub(crate) fn ring_id(&self) -> &str {
        self.part(2)
    }

    pub(crate) fn id(&self) -> &str {
        self.part(3)
    }

    /// The name of the key ring.
    pub(crate) fn ring(&self) -> &str {
        &self.full[..self.parts[2].1]
    }

    /// The name of a version.
    pub(crate) fn version(&self, number: u64) -> String {
        format!("{}/cryptoKeyVersions/{number}", self.full)
    }

    /// The number of one of this key's versions. `None` for any other name.
    pub(crate) fn number(&self, version: &str) -> Option<u64> {
        let rest = version.strip_prefix(self.full.as_str())?;
        let digits = rest.strip_prefix("/cryptoKeyVersions/")?;
        let number = digits.parse().ok()?;
        (digits == u64::to_string(&number)).then_some(number)
    }

    /// The id of the crypto key that marks a version as revoked.
    pub(crate) fn mark(&self, number: u64) -> String {
        format!("{}{MARK}{number}", self.id())
    }

    /// The version that the crypto key with this name marks as revoked. `None` if it is not a mark.
    pub(crate) fn marked(&self, key: &str) -> Option<u64> {
        let id = key.strip_prefix(self.ring())?.strip_prefix("/cryptoKeys/")?;
        let digits = id.strip_prefix(self.id())?.strip_prefix(MARK)?;
        let number = digits.parse().ok()?;
        (digits == u64::to_string(&number)).then_some(number)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "projects/acme.com:p-1/locations/europe-west3/keyRings/signet/cryptoKeys/tokens";

    #[test]
    fn a_name_is_taken_apart_and_names_its_versions_and_marks() {
        let key = KeyName::parse(NAME).expect("a name");
        assert_eq!(
            [key.project(), key.location(), key.ring_id(), key.id()],
            ["acme.com:p-1", "europe-west3", "signet", "tokens"]
        );
        assert_eq!(key.number(&key.version(12)), Some(12));
        assert_eq!(
            key.marked(&format!("{}/cryptoKeys/{}", key.ring(), key.mark(12))),
            Some(12)
        );
        for other in [
            format!("{NAME}/cryptoKeyVersions/012"),
            format!("{NAME}/cryptoKeyVersions/+1"),
            format!("{NAME}2/cryptoKeyVersions/1"),
            format!("{}/cryptoKeys/tokens2-revoked-1", key.ring()),
            format!("{NAME}-revoked-x"),
        ] {
            assert_eq!((key.number(&other), key.marked(&other)), (None, None), "{other}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_to_write() {
        for wrong in [
            "signet",
            "projects/p/locations/l/keyRings/r",
            "projects/p/locations/l/keyRings/r/cryptoKeys/",
            "projects/p/locations/l/keyRings/r/cryptoKeys/a b",
            "projects/../locations/l/keyRings/r/cryptoKeys/k?x",
            "//cloudkms.googleapis.com/projects/p/locations/l/keyRings/r/cryptoKeys/k",
        ] {
            let text = KeyName::parse(wrong).expect_err(wrong);
            assert!(text.contains("projects/PROJECT"), "{text}");
        }
        let version = KeyName::parse(&format!("{NAME}/cryptoKeyVersions/1")).expect_err("a version");
        assert!(version.contains("is a version of a key"), "{version}");
        let long = format!("projects/p/locations/l/keyRings/r/cryptoKeys/{}", "k".repeat(45));
        assert!(KeyName::parse(&long).expect("a name").leaves_room_for_marks().is_err());
    }
}
