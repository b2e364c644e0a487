//! A record of what happened to every token.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::harness::Signed;
use crate::harness::time::{instant, unix_millis};

/// A token, and when it was signed.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) signed: Signed,
    pub(crate) asked: Instant,
    /// When it expires, by the same clock as the other times.
    pub(crate) dies: Instant,
}

impl Token {
    pub(crate) fn new(signed: Signed, asked: Instant) -> Self {
        let left = (signed.exp * 1000 - unix_millis()).max(0);
        Self {
            dies: instant() + std::time::Duration::from_millis(left.unsigned_abs()),
            signed,
            asked,
        }
    }
}

/// Who checked a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checker {
    Replica(usize),
    Verifier(usize),
}

/// A live token that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) by: Checker,
    pub(crate) kid: String,
    pub(crate) at: Instant,
    /// Whether the checker should have got the request at all. A replica that is not ready should not get any.
    pub(crate) counts: bool,
    pub(crate) why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} refused a token of {}: {}", self.by, self.kid, self.why)
    }
}

/// A request to sign that did not get a token.
#[derive(Clone, Debug)]
pub(crate) struct Unsigned {
    pub(crate) by: usize,
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) why: String,
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "replica {}, after {:?}: {}",
            self.by,
            self.answered - self.asked,
            self.why
        )
    }
}

/// The history of one key.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) tokens: usize,
    /// The time of its first token.
    pub(crate) first_seen: Instant,
    /// When the last of its tokens was requested.
    pub(crate) last_asked: Instant,
    /// When one of its tokens was last accepted: by a verifier (index 0), and by a replica (index 1).
    pub(crate) last_good: [Option<Instant>; 2],
}

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// The keys in the order in which they signed.
    pub(crate) signers: Vec<Signer>,
    pub(crate) tokens: usize,
    pub(crate) checks: BTreeMap<Checker, usize>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) unsigned: Vec<Unsigned>,
    /// How many checks a replica did not answer, because it was down or was killed.
    pub(crate) unanswered: usize,
    /// Answers of a ready replica that were neither yes nor no.
    pub(crate) undecided: Vec<String>,
    pub(crate) fetches: BTreeMap<Checker, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

impl Ledger {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }

    pub(crate) fn signed(&self, token: &Token) {
        let mut entries = self.entries();
        entries.tokens += 1;
        let kid = &token.signed.kid;
        match entries.signers.iter_mut().find(|signer| signer.kid == *kid) {
            Some(signer) => {
                signer.tokens += 1;
                signer.last_asked = signer.last_asked.max(token.asked);
            }
            None => entries.signers.push(Signer {
                kid: kid.clone(),
                tokens: 1,
                first_seen: instant(),
                last_asked: token.asked,
                last_good: [None, None],
            }),
        }
    }

    pub(crate) fn good(&self, by: Checker, token: &Token, asked: Instant) {
        let mut entries = self.entries();
        *entries.checks.entry(by).or_default() += 1;
        let whose = usize::from(matches!(by, Checker::Replica(_)));
        let signer = entries.signers.iter_mut().find(|signer| signer.kid == token.signed.kid);
        if let Some(signer) = signer {
            signer.last_good[whose] = signer.last_good[whose].max(Some(asked));
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let mut entries = self.entries();
        *entries.checks.entry(refusal.by).or_default() += 1;
        entries.refusals.push(refusal);
    }

    /// The number of keys that signed after the first.
    pub(crate) fn rotations(&self) -> usize {
        self.entries().signers.len().saturating_sub(1)
    }
}
