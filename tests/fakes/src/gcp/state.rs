//! The state of the cloud.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use signet_core::public_key::VerifyingKey;

use super::cipher::Material;

/// Microseconds since the epoch, the resolution of Google's times.
pub(crate) type Micros = u64;

pub(crate) struct State {
    pub(crate) principals: HashMap<String, Principal>,
    /// Access tokens, with their accounts and expiry.
    pub(crate) tokens: HashMap<String, (String, Micros)>,
    /// Subject tokens of other identity providers.
    pub(crate) subjects: HashMap<String, String>,
    pub(crate) machine: Option<String>,
    pub(crate) rings: BTreeMap<String, Micros>,
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) buckets: BTreeMap<String, bool>,
    pub(crate) objects: BTreeMap<(String, String), Object>,
    pub(crate) token_life: Duration,
    pub(crate) pending: u32,
    pub(crate) invisible: u32,
    pub(crate) failing: bool,
    pub(crate) disabling_lags: bool,
    pub(crate) page: usize,
    pub(crate) ahead: Duration,
    last: Micros,
}

/// An account with its permissions.
#[derive(Default)]
pub(crate) struct Principal {
    /// The allowed permissions. `None` means all.
    pub(crate) allowed: Option<BTreeSet<String>>,
    /// The key with which a service account signs its tokens.
    pub(crate) public: Option<VerifyingKey>,
}

pub(crate) struct Key {
    pub(crate) purpose: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) protection: &'static str,
    pub(crate) created: Micros,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) versions: Vec<Version>,
}

pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) state: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) protection: &'static str,
    pub(crate) created: Micros,
    /// How many more readings do not show the version.
    pub(crate) invisible: u32,
    /// How many more readings show the version as pending.
    pub(crate) pending: u32,
    pub(crate) fails: bool,
    pub(crate) material: Material,
}

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) body: Bytes,
    pub(crate) generation: u64,
    pub(crate) stored: Micros,
}

impl Default for State {
    fn default() -> Self {
        Self {
            principals: HashMap::new(),
            tokens: HashMap::new(),
            subjects: HashMap::new(),
            machine: None,
            rings: BTreeMap::new(),
            keys: BTreeMap::new(),
            buckets: BTreeMap::new(),
            objects: BTreeMap::new(),
            token_life: Duration::from_secs(3600),
            pending: 0,
            invisible: 0,
            failing: false,
            disabling_lags: false,
            page: 1000,
            ahead: Duration::ZERO,
            last: 0,
        }
    }
}

impl State {
    /// The current time, always later than any returned before.
    pub(crate) fn now(&mut self) -> Micros {
        #[allow(clippy::disallowed_methods, reason = "the cloud has a clock of its own")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.ahead;
        self.last = u64::try_from(now.as_micros()).unwrap().max(self.last + 1);
        self.last
    }

    /// Issues an access token.
    pub(crate) fn issue(&mut self, email: &str) -> String {
        let now = self.now();
        let until = now + u64::try_from(self.token_life.as_micros()).unwrap();
        let token = format!("ya29.{now:x}-{:x}", self.tokens.len());
        self.tokens.insert(token.clone(), (email.to_owned(), until));
        token
    }

    pub(crate) fn may(&self, email: &str, permission: &str) -> bool {
        let principal = self.principals.get(email);
        principal.is_some_and(|who| who.allowed.as_ref().is_none_or(|allowed| allowed.contains(permission)))
    }
}

impl Version {
    /// Counts a reading. `false` if it does not show the version.
    pub(crate) fn look(&mut self) -> bool {
        if self.invisible > 0 {
            self.invisible -= 1;
            return false;
        }
        if self.state == "PENDING_GENERATION" {
            match self.pending {
                0 if self.fails => self.state = "GENERATION_FAILED",
                0 => self.state = "ENABLED",
                _ => self.pending -= 1,
            }
        }
        true
    }
}
