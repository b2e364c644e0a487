//! The labels of crypto keys: they store the terms of the ring's keys, and the revocations.
//!
//! A crypto key has at most 64 labels, with keys and values of at most 63 lower-case letters, digits, `_` and
//! `-`: <https://cloud.google.com/kms/docs/labeling-keys>. Longer values are split into pieces of base32 (RFC
//! 4648 §6, lower case, no padding).

use std::collections::HashMap;
use std::time::Duration;

use signet_core::{Revocation, Terms, Timestamp};

/// The labels of one crypto key.
pub(crate) type Labels = HashMap<String, String>;

/// The maximum length of a reason in bytes. With the public key of RSA-4096, that makes 43 of 64 labels.
pub(crate) const LONGEST_REASON: usize = 1000;

const TERMS: &str = "signet-terms-";
const AT: &str = "signet-revoked-at";
const REASON: &str = "signet-reason";
const PUBLIC: &str = "signet-public";
/// The number of bytes in the value of one label: 39 · 8 bits are 63 characters of 5 bits.
const PIECE: usize = 39;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The terms of a version: those of the label with the highest number that is not above the version's.
///
/// A label therefore means "from this version on". One is written only when the policy changes, and it is right even
/// though the number of the next version is a guess that somebody else may use first.
pub(crate) fn terms(labels: &Labels, version: u64) -> Option<Terms> {
    let (_, value) = epochs(labels).filter(|(from, _)| *from <= version).max()?;
    let mut spans = value
        .splitn(3, '-')
        .map(|text| text.parse().ok().map(Duration::from_millis));
    Some(Terms::new(spans.next()??, spans.next()??, spans.next()??))
}

/// These labels, with terms for the versions from `next` on. Labels that no version of `in_use` needs are removed.
pub(crate) fn with_terms(labels: &Labels, next: u64, terms: Terms, in_use: &[u64]) -> Labels {
    let needed: Vec<u64> = in_use
        .iter()
        .filter_map(|version| {
            epochs(labels)
                .map(|(from, _)| from)
                .filter(|from| from <= version)
                .max()
        })
        .collect();
    let kept = |key: &str| match epoch(key) {
        Some(from) => from < next && needed.contains(&from),
        None => true,
    };
    let mut labels: Labels = labels
        .iter()
        .filter(|(key, _)| kept(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    labels.insert(format!("{TERMS}{next}"), written(terms));
    labels
}

/// Whether the labels give these versions these terms.
pub(crate) fn hold(labels: &Labels, versions: &[(u64, Terms)]) -> bool {
    versions
        .iter()
        .all(|(version, own)| terms(labels, *version) == Some(*own))
}

/// Changes the labels to give these versions these terms.
pub(crate) fn with_these(mut labels: Labels, versions: &[(u64, Terms)]) -> Labels {
    let mut versions = versions.to_vec();
    // A label is valid up to the next one, so versions are handled in order.
    versions.sort_by_key(|(version, _)| *version);
    for (version, own) in versions {
        if terms(&labels, version) != Some(own) {
            labels.insert(format!("{TERMS}{version}"), written(own));
        }
    }
    labels
}

fn written(terms: Terms) -> String {
    let spans = [terms.lead, terms.token_max_ttl, terms.retention].map(|span| span.as_millis().to_string());
    spans.join("-")
}

fn epochs(labels: &Labels) -> impl Iterator<Item = (u64, &str)> {
    labels
        .iter()
        .filter_map(|(key, value)| Some((epoch(key)?, value.as_str())))
}

fn epoch(key: &str) -> Option<u64> {
    key.strip_prefix(TERMS)?.parse().ok()
}

/// The revocation of a version, with its public key, because Google shows that only for enabled versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) revocation: Revocation,
    /// The DER `SubjectPublicKeyInfo`.
    pub(crate) public: Option<Vec<u8>>,
}

impl Mark {
    /// Encodes the revocation as labels.
    ///
    /// # Errors
    /// The reason is too long.
    pub(crate) fn to_labels(&self) -> Result<Labels, String> {
        let reason = self.revocation.reason.as_bytes();
        if reason.len() > LONGEST_REASON {
            return Err(format!(
                "the reason has {} bytes, but the labels of Google have room for {LONGEST_REASON}. Nothing was \
                 revoked; run the command again with a shorter reason",
                reason.len()
            ));
        }
        let mut labels = Labels::new();
        labels.insert(AT.to_owned(), self.revocation.at.as_millis().to_string());
        labels.insert(REASON.to_owned(), reason.len().to_string());
        insert(&mut labels, REASON, reason);
        insert(&mut labels, PUBLIC, self.public.as_deref().unwrap_or_default());
        Ok(labels)
    }

    /// Reads the labels of a mark.
    ///
    /// A crypto key with the name of a mark revokes the version in that name, whatever its labels are: somebody may
    /// have changed them, and that must not undo a revocation.
    pub(crate) fn from_labels(labels: &Labels) -> Self {
        let at = labels
            .get(AT)
            .and_then(|text| text.parse().ok())
            .map(Timestamp::from_millis);
        let len: Option<usize> = labels.get(REASON).and_then(|text| text.parse().ok());
        let reason = extract(labels, REASON).filter(|reason| Some(reason.len()) == len);
        let reason = reason.and_then(|octets| String::from_utf8(octets).ok());
        let unreadable = || "(the labels of the mark were changed, so the reason is lost)".to_owned();
        Self {
            revocation: Revocation {
                at: at.unwrap_or(Timestamp::from_millis(0)),
                reason: reason.unwrap_or_else(unreadable),
            },
            public: extract(labels, PUBLIC).filter(|public| !public.is_empty()),
        }
    }
}

fn insert(labels: &mut Labels, name: &str, octets: &[u8]) {
    for (index, piece) in octets.chunks(PIECE).enumerate() {
        labels.insert(format!("{name}-{index:02}"), base32(piece));
    }
}

fn extract(labels: &Labels, name: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for index in 0.. {
        let Some(piece) = labels.get(&format!("{name}-{index:02}")) else {
            break;
        };
        octets.extend(from_base32(piece)?);
    }
    Some(octets)
}

fn base32(octets: &[u8]) -> String {
    let mut text = String::new();
    for group in octets.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + group.len()].copy_from_slice(group);
        let number = u64::from_be_bytes(bits);
        for index in 0..(group.len() * 8).div_ceil(5) {
            let digit = (number >> (35 - 5 * index)) & 31;
            text.push(char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)]));
        }
    }
    text
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut octets = Vec::new();
    for character in text.bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == character)?;
        bits = (bits << 5) | u32::try_from(digit).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    // The remaining bits are padding of the last character.
    (count < 5 && bits & ((1 << count) - 1) == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(labels: &Labels) {
        assert!(labels.len() <= 64, "{}", labels.len());
        for (key, value) in labels {
            for text in [key, value] {
                let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
                assert!(text.len() <= 63 && text.chars().all(allowed), "{text}");
            }
            assert!(key.starts_with(|c: char| c.is_ascii_lowercase()));
        }
    }

    fn of(lead: u64) -> Terms {
        Terms::new(
            Duration::from_millis(lead),
            Duration::from_millis(u64::MAX),
            Duration::from_millis(3),
        )
    }

    #[test]
    fn base32_is_that_of_rfc_4648_and_reads_back() {
        for (octets, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(octets.as_bytes()), text);
        }
        for len in 0..200 {
            let octets: Vec<u8> = (0..len).map(|n: u8| n.wrapping_mul(151)).collect();
            assert_eq!(from_base32(&base32(&octets)), Some(octets));
        }
        for wrong in ["m", "mz1", "MY", "mb", "mzxwb"] {
            assert_eq!(from_base32(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_mark_reads_back_exactly_and_fits_also_at_its_longest() {
        for reason in [
            "",
            "laptop stolen; \"quoted\", ü, 🔑\n",
            &"🔑".repeat(250),
            &"a".repeat(39),
        ] {
            let mark = Mark {
                revocation: Revocation {
                    at: Timestamp::from_millis(1_767_229_200_123),
                    reason: reason.to_owned(),
                },
                public: Some(vec![0x30; 550]),
            };
            let labels = mark.to_labels().expect("fits");
            fits(&labels);
            assert_eq!(Mark::from_labels(&labels), mark);
        }
    }

    #[test]
    fn a_reason_that_does_not_fit_is_refused_and_a_changed_mark_still_revokes() {
        let mut mark = Mark {
            revocation: Revocation {
                at: Timestamp::from_millis(1),
                reason: "a".repeat(1001),
            },
            public: None,
        };
        assert!(mark.to_labels().expect_err("too long").contains("1000"));
        mark.revocation.reason.truncate(100);
        let mut labels = mark.to_labels().expect("fits");
        labels.remove("signet-reason-02");
        assert!(Mark::from_labels(&labels).revocation.reason.contains("were changed"));
        assert!(
            Mark::from_labels(&Labels::new())
                .revocation
                .reason
                .contains("were changed")
        );
    }

    #[test]
    fn terms_hold_from_their_version_on_and_leave_other_labels_alone() {
        let mine = Labels::from([("team".to_owned(), "gateway".to_owned())]);
        assert_eq!(terms(&mine, 1), None);
        let first = with_terms(&mine, 1, of(1), &[]);
        let second = with_terms(&first, 4, of(2), &[2, 3]);
        fits(&second);
        assert_eq!(second["team"], "gateway");
        let leads: Vec<_> = [1, 3, 4, 5]
            .map(|n| terms(&second, n).expect("terms").lead.as_millis())
            .into();
        assert_eq!(leads, [1, 1, 2, 2]);
        assert_eq!(terms(&second, 9), Some(of(2)));
        let third = with_terms(&second, 9, of(3), &[7, 8]);
        assert_eq!(terms(&third, 3), None, "no version uses them any longer");
        assert_eq!(terms(&third, 8), Some(of(2)));
    }
}
