//! The tags of a version, which store everything for which the vault has no field: at most 15 tags of 256 characters.
//!
//! The call that creates the version writes all tags except a revocation. A change of tags replaces all of them.
//! Therefore only a revocation ever changes tags; disabling and destroying change attributes and leave the tags alone,
//! so no race can undo a revocation.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_core::{Algorithm, Kid, Revocation, Terms, Timestamp};

pub(crate) type Tags = HashMap<String, String>;

/// The tag with the name of the ring, on every version that Signet created for it.
pub(crate) const RING: &str = "signet-ring";
const ALGORITHM: &str = "signet-alg";
const SEQUENCE: &str = "signet-sequence";
const PREDECESSOR: &str = "signet-predecessor";
const TERMS: &str = "signet-terms-ms";
const REVOKED_AT: &str = "signet-revoked-at-ms";
const REASON: &str = "signet-revoked-reason-";
/// The maximum number of tags that a version can have.
const MOST: usize = 15;
/// The maximum length of a tag's value.
const LONGEST: usize = 256;

/// The facts in the tags of one of our versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) algorithm: Algorithm,
    pub(crate) sequence: u64,
    pub(crate) predecessor: Option<Kid>,
    pub(crate) terms: Terms,
}

impl Facts {
    pub(crate) fn to_tags(&self, ring: &str) -> Tags {
        let millis = |span: Duration| span.as_millis().to_string();
        let terms = [self.terms.lead, self.terms.token_max_ttl, self.terms.retention].map(millis);
        let mut tags = Tags::from([
            (RING.to_owned(), ring.to_owned()),
            (ALGORITHM.to_owned(), self.algorithm.to_string()),
            (SEQUENCE.to_owned(), self.sequence.to_string()),
            (TERMS.to_owned(), terms.join(" ")),
        ]);
        if let Some(kid) = &self.predecessor {
            tags.insert(PREDECESSOR.to_owned(), kid.to_string());
        }
        tags
    }

    /// Reads the facts, or returns the name of the tag that is missing or damaged.
    pub(crate) fn from_tags(tags: &Tags) -> Result<Self, &'static str> {
        let tag = |name: &'static str| tags.get(name).ok_or(name);
        let mut terms = tag(TERMS)?
            .split(' ')
            .map(|span| span.parse().map(Duration::from_millis));
        let mut span = || terms.next().and_then(Result::ok).ok_or(TERMS);
        Ok(Self {
            algorithm: tag(ALGORITHM)?.parse().map_err(|_| ALGORITHM)?,
            sequence: tag(SEQUENCE)?.parse().map_err(|_| SEQUENCE)?,
            predecessor: tags.get(PREDECESSOR).map(Kid::new),
            terms: Terms::new(span()?, span()?, span()?),
        })
    }
}

pub(crate) fn is_ours(tags: &Tags, ring: &str) -> bool {
    tags.get(RING).is_some_and(|name| name == ring)
}

/// Reads the revocation, if there is one. The key is revoked even if the reason is damaged.
pub(crate) fn mark(tags: &Tags) -> Option<Revocation> {
    let at = tags.get(REVOKED_AT)?.parse().unwrap_or(0);
    let encoded: String = (0..MOST)
        .map_while(|index| tags.get(&format!("{REASON}{index}")).cloned())
        .collect();
    let reason = URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|octets| String::from_utf8(octets).ok())
        .unwrap_or_else(|| "(the reason in the vault's tags is damaged)".to_owned());
    Some(Revocation {
        at: Timestamp::from_millis(at),
        reason,
    })
}

/// These tags with the revocation. The exact reason takes as many tags as it needs.
///
/// # Errors
/// The reason is too long.
pub(crate) fn marked(tags: &Tags, revocation: &Revocation) -> Result<Tags, String> {
    let mut marked: Tags = tags.clone();
    marked.retain(|name, _| !name.starts_with(REASON) && name != REVOKED_AT);
    marked.insert(REVOKED_AT.to_owned(), revocation.at.as_millis().to_string());
    let room = MOST.saturating_sub(marked.len());
    let encoded = URL_SAFE_NO_PAD.encode(&revocation.reason);
    // Base64 is ASCII, so slicing is safe.
    let parts: Vec<&str> = (0..encoded.len())
        .step_by(LONGEST)
        .filter_map(|start| encoded.get(start..encoded.len().min(start + LONGEST)))
        .collect();
    if parts.len() > room || tags.len() > MOST {
        return Err(format!(
            "the reason of the revocation has {} bytes, but the version's tags have room for {}; write a shorter \
             reason, or remove your own tags from the version",
            revocation.reason.len(),
            room * LONGEST / 4 * 3
        ));
    }
    for (index, part) in parts.into_iter().enumerate() {
        marked.insert(format!("{REASON}{index}"), part.to_owned());
    }
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            algorithm: Algorithm::PS384,
            sequence: 41,
            predecessor: Some(Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")),
            terms: Terms::new(
                Duration::from_millis(3_600_001),
                Duration::from_millis(2),
                Duration::from_millis(3),
            ),
        }
    }

    fn reason(octets: usize) -> Revocation {
        Revocation {
            at: Timestamp::from_millis(1_767_229_200_123),
            reason: "ü".repeat(octets / 2),
        }
    }

    #[test]
    fn facts_come_back_as_they_were_and_damaged_ones_are_named() {
        let tags = facts().to_tags("ring");
        assert_eq!(Facts::from_tags(&tags), Ok(facts()));
        assert!(is_ours(&tags, "ring") && !is_ours(&tags, "other"));
        for name in [ALGORITHM, SEQUENCE, TERMS] {
            let mut without = tags.clone();
            without.remove(name);
            assert_eq!(Facts::from_tags(&without), Err(name));
            let mut damaged = tags.clone();
            damaged.insert(name.to_owned(), "1 x".to_owned());
            assert_eq!(Facts::from_tags(&damaged), Err(name));
        }
    }

    #[test]
    fn a_mark_is_exact_within_the_vendors_limits_and_refused_beyond() {
        let tags = facts().to_tags("ring");
        for octets in [0, 2, 190, 192, 194, 1_726, 1_728] {
            let revocation = reason(octets);
            let marked = marked(&tags, &revocation).expect("it fits");
            assert!(marked.len() <= MOST && marked.values().all(|value| value.len() <= LONGEST));
            assert_eq!(mark(&marked), Some(revocation), "{octets}");
            assert_eq!(Facts::from_tags(&marked), Ok(facts()), "everything else is kept");
        }
        let text = marked(&tags, &reason(1_730)).expect_err("too long");
        assert!(text.contains("1730") && text.contains("1728"), "{text}");
    }

    #[test]
    fn a_mark_with_a_damaged_reason_is_still_a_mark() {
        let mut tags = marked(&facts().to_tags("ring"), &reason(400)).expect("it fits");
        tags.insert(format!("{REASON}0"), "?".to_owned());
        tags.insert(REVOKED_AT.to_owned(), "yesterday".to_owned());
        assert!(mark(&tags).is_some());
    }
}
