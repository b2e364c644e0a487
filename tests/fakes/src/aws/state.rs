//! The state of the account.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::material::Material;
use super::{ACCOUNT, REGION};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) callers: HashMap<String, Caller>,
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) aliases: BTreeMap<String, Alias>,
    pub(crate) buckets: HashMap<String, BTreeMap<String, Object>>,
    pub(crate) hide_new: u32,
    pub(crate) page: Option<usize>,
    pub(crate) ahead: Duration,
    /// Whether aliases have no creation times.
    pub(crate) dateless: bool,
}

pub(crate) struct Caller {
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) expired: bool,
    /// The allowed actions. `None` means all.
    pub(crate) allowed: Option<BTreeSet<String>>,
}

pub(crate) struct Key {
    pub(crate) spec: String,
    pub(crate) usage: &'static str,
    pub(crate) material: std::sync::Arc<Material>,
    pub(crate) state: KeyState,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Duration,
    pub(crate) deleted_at: Option<Duration>,
    /// How many more calls do not find the object.
    pub(crate) hidden: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion,
}

impl KeyState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }
}

pub(crate) struct Alias {
    pub(crate) key: String,
    pub(crate) created_at: Duration,
    pub(crate) updated_at: Duration,
    pub(crate) hidden: u32,
}

pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) e_tag: String,
}

impl State {
    /// The time since the epoch, in whole milliseconds.
    pub(crate) fn now(&self) -> Duration {
        #[allow(clippy::disallowed_methods, reason = "a cloud has a clock of its own")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.ahead;
        Duration::from_millis(u64::try_from(now.as_millis()).unwrap())
    }

    pub(crate) fn name(&mut self, alias: &str, id: &str) {
        let now = self.now();
        let alias_of = Alias {
            key: id.to_owned(),
            created_at: now,
            updated_at: now,
            hidden: self.hide_new,
        };
        self.aliases.insert(alias.to_owned(), alias_of);
    }
}

pub(crate) fn key_arn(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

pub(crate) fn alias_arn(alias: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:{alias}")
}
