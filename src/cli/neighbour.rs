//! Compares the ring that a command reads from the provider with that of the sidecar on this machine's socket.
//!
//! If a command has settings for another place than the sidecar, it finds an empty ring there. It would report that all
//! is well, or start a second ring beside the live one. Reasons are a volume that is not mounted, the `SIGNET_DATA_DIR`
//! of another service, or a deleted ring. The sidecar has the real ring in memory and can detect this.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use signet_api::Custody;
use signet_base::chain;
use signet_core::{KeyRecord, Kid};
use tokio::time::timeout;
use tracing::warn;

use super::client::{ClientError, send};
use crate::cli::Failure;
use crate::cli::sidecar::{in_phase, is_nobody};
use crate::settings::{Origin, ProviderName, Settings, Source, Store};

/// How long the sidecar may take to answer. It answers from memory.
const PATIENCE: Duration = Duration::from_secs(2);
/// `EX_CONFIG` of sysexits(3): the environment of the command is wrong.
const NOT_THE_RING: u8 = 78;

/// The ring of the sidecar on this machine, as it has it in memory.
#[derive(Debug)]
pub(super) struct Neighbour<'a> {
    settings: &'a Settings,
    ring: Value,
}

impl<'a> Neighbour<'a> {
    /// Asks the sidecar for its ring. `None` if there is no sidecar, or if it serves another issuer or has no keys. If
    /// it is there but does not answer, this is logged, and the command continues without it.
    pub(super) async fn ask(settings: &'a Settings) -> Option<Self> {
        Self::try_to_ask(settings).await.unwrap_or_else(|why| {
            warn!("{why}");
            None
        })
    }

    /// Like [`Neighbour::ask`], for a command that shows why a sidecar did not answer.
    ///
    /// # Errors
    /// What failed, for the operator.
    pub(super) async fn try_to_ask(settings: &'a Settings) -> Result<Option<Self>, String> {
        let socket = &settings.socket.path;
        let why = match timeout(PATIENCE, send(socket, Method::GET, "/v1/ring", Vec::new())).await {
            Ok(Ok((status, answer))) => return Ok(Self::of(settings, status, &answer)),
            Ok(Err(ClientError::Connect { source, .. })) if is_nobody(&source) => return Ok(None),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("it did not answer within {}", humantime::format_duration(PATIENCE)),
        };
        Err(format!(
            "the sidecar on {} did not say which ring it serves, so this command cannot tell whether it reads the \
             same ring: {why}",
            socket.display()
        ))
    }

    fn of(settings: &'a Settings, status: StatusCode, answer: &[u8]) -> Option<Self> {
        let ring: Value = serde_json::from_slice(answer).ok()?;
        let has_keys = ring["keys"].as_array().is_some_and(|keys| !keys.is_empty());
        let is_ours = status.is_success() && ring["issuer"] == settings.issuer.as_str();
        (is_ours && has_keys).then_some(Self { settings, ring })
    }

    /// The path of the sidecar's socket.
    pub(super) fn socket(&self) -> String {
        self.settings.socket.path.display().to_string()
    }

    /// Refuses a ring that shares no key with the sidecar's, unless the settings name another ring on purpose.
    pub(super) fn agrees(&self, records: &[KeyRecord]) -> Result<(), Failure> {
        let is_known = |key: &KeyRecord| self.kids().any(|kid| kid == key.kid().as_str());
        if records.iter().any(is_known) || self.is_another_on_purpose() {
            return Ok(());
        }
        Err(Failure {
            text: self.contradiction(records),
            answer: String::new(),
            code: NOT_THE_RING,
        })
    }

    /// The same check before a key is revoked. If the ring has the key, it is the one that the user means,
    /// whatever the sidecar has.
    pub(super) fn agrees_to_revoke(&self, records: &[KeyRecord], kid: &Kid) -> Result<(), Failure> {
        match records.iter().any(|key| key.kid() == kid) {
            true => Ok(()),
            false => self.agrees(records),
        }
    }

    fn kids(&self) -> impl Iterator<Item = &str> {
        let keys = self.ring["keys"].as_array().map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|key| key["kid"].as_str())
    }

    /// Provider, custody and key of the sidecar's ring. An older sidecar does not report them.
    fn origin(&self) -> Option<[&str; 3]> {
        let mut words = self.ring["origin"].as_str()?.splitn(3, ' ');
        Some([words.next()?, words.next()?, words.next()?])
    }

    /// The settings in which the two rings differ: name, the sidecar's value, ours, and whether
    /// ours was given explicitly.
    fn differences(&self) -> Vec<(&'static str, String, String, bool)> {
        let Some(theirs) = self.origin() else { return Vec::new() };
        let origin = &self.settings.origin;
        let custody = match origin.custody {
            Custody::Remote => "remote",
            Custody::Sealed => "sealed",
        };
        let ours = [origin.provider.as_str(), custody, &origin.key];
        let names = ["provider", "custody", "key"];
        let all = names.into_iter().zip(theirs).zip(ours);
        all.filter(|((_, theirs), ours)| theirs != ours)
            .map(|((name, theirs), ours)| {
                let is_written = value(self.settings, name).is_some_and(|(_, source)| source != Source::Default);
                (name, theirs.to_owned(), ours.to_owned(), is_written)
            })
            .collect()
    }

    /// Whether the difference is intended. A switch of providers begins like this: the first key of the new ring is
    /// created while sidecars still serve the old one.
    fn is_another_on_purpose(&self) -> bool {
        self.differences().iter().any(|(_, _, _, is_written)| *is_written)
    }

    fn contradiction(&self, records: &[KeyRecord]) -> String {
        let (count, active) = (self.kids().count(), in_phase(&self.ring, "active"));
        let keys = if count == 1 {
            "1 key".to_owned()
        } else {
            format!("{count} keys")
        };
        let active = active.map_or_else(String::new, |kid| format!(", of which {kid} signs"));
        let found = match records.len() {
            0 => "no keys".to_owned(),
            1 => "1 key, and it is not one of these".to_owned(),
            others => format!("{others} keys, and none is one of these"),
        };
        format!(
            "the sidecar on {socket} serves a ring of {keys}{active}, but {place} has {found}. This is another ring, \
             so nothing was changed. {cause}. To change this other ring on purpose, set --socket to a \
             path where no sidecar listens",
            socket = self.socket(),
            place = place(self.settings, &self.settings.origin),
            cause = self.cause(),
        )
    }

    /// What the operator should look at.
    fn cause(&self) -> String {
        let differences = self.differences();
        if !differences.is_empty() {
            let told = differences.iter().map(|(name, theirs, ours, _)| {
                let variable = name.to_ascii_uppercase();
                format!("SIGNET_{variable} is {theirs} there, and here it is not set, which means {ours}")
            });
            return format!(
                "Run this command with the settings of the sidecar: {}",
                told.collect::<Vec<_>>().join(", ")
            );
        }
        let origin = &self.settings.origin;
        let (setting, lost) = match (origin.provider, &origin.store) {
            (ProviderName::Local, _) => (
                "SIGNET_DATA_DIR and SIGNET_STORE here with those of the sidecar, and check that the same volume is \
                 mounted at that path",
                "the directory was emptied",
            ),
            (_, Some(Store::File(_))) => (
                "SIGNET_STORE here with that of the sidecar, and check that the same volume is mounted at that path",
                "the file was deleted",
            ),
            (_, Some(Store::With(..))) => (
                "SIGNET_STORE and the provider's variables (docs/providers) here with those of the sidecar",
                "the ring was deleted in its store",
            ),
            (_, None) => (
                "the provider's variables (docs/providers) here with those of the sidecar",
                "the keys were deleted in the provider",
            ),
        };
        format!(
            "Compare {setting}. If they are the same, {lost}: restore it from a backup. Do not restart the sidecar \
             before that, because it has the ring in memory"
        )
    }
}

/// The value of a setting, and its source.
fn value<'a>(settings: &'a Settings, name: &str) -> Option<(Option<&'a str>, Source)> {
    let mut all = settings.effective().iter();
    let found = all.find(|effective| effective.setting.name == name)?;
    Some((found.value.as_deref(), found.source))
}

/// Where the command reads the ring.
fn place(settings: &Settings, origin: &Origin) -> String {
    match &origin.store {
        Some(Store::File(path)) => path.display().to_string(),
        Some(Store::With(..)) => {
            let store = value(settings, "store").and_then(|(store, _)| store);
            store.unwrap_or("the store").to_owned()
        }
        None => format!("the ring {} of {}", origin.key, origin.provider),
    }
}
