//! How a key is disabled or revoked: first in the record, which Signet obeys, then in transit,
//! as far as that is possible.
//!
//! Transit can forbid and destroy only prefixes: all versions below a number, `min_encryption_version`. A retired key
//! that is newer than one in use can therefore still sign in transit until that one is retired, too; Signet refuses it
//! at once. A revoked key does not wait for that. If it had started to sign, the schedule never returns to an earlier
//! key, so the number is raised above it at once, even above keys that are still published.
//!
//! Transit changes the number without a condition, so a replica with an older record could lower it. Therefore every
//! replica that writes it reads both again, until the number is at least what the record requires.

use signet_api::{ErrorKind, ExpiredKeys, Failure, may_retire};
use signet_core::{KeyState, Kid, Revocation};

use crate::handle::Remote;
use crate::record::Record;
use crate::transit::TransitKey;

/// The number of attempts at a swap. A swap fails only if another one succeeded; so many
/// failures in a row are not a race.
const TRIES: usize = 64;
/// The number of attempts to raise the number. Replicas read again after they write, so they rarely lower the number.
const RAISES: usize = 8;

impl Remote {
    pub(crate) async fn retired(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let ring = self.read_ring().await?;
            if let Some(key) = ring.claimed.as_ref().filter(|key| key.kid() == kid) {
                self.committed(&ring, key).await?;
                continue;
            }
            let index = ring.record.entry(kid).ok_or_else(|| self.unknown(kid))?;
            let entry = &ring.record.keys[index];
            if entry.destroyed && action == ExpiredKeys::Disable {
                return Err(self.unknown(kid));
            }
            may_retire(&ring.keys, kid)?;
            let name = entry.place.transit_key.clone();
            // A revoked key stays in the record. It is never removed, because the revocation would be lost.
            let is_marked = entry.revoked.is_some() || entry.destroyed;
            let mut record = ring.record.clone();
            let changed = &mut record.keys[index];
            match action {
                ExpiredKeys::Disable => changed.state = KeyState::Disabled,
                ExpiredKeys::Destroy if !is_marked => changed.destroyed = true,
                ExpiredKeys::Destroy => {}
            }
            let is_new = changed.destroyed != entry.destroyed || (changed.state != entry.state && !is_marked);
            record.forget_oldest_disabled();
            let mut version = ring.version;
            if is_new {
                version = self.write_record(version, &record).await?;
                let Some(version) = version else {
                    continue;
                };
                self.forbid(kid, "was retired", version);
            }
            let Some(held) = self.confined(&name).await? else {
                return Ok(());
            };
            if action == ExpiredKeys::Destroy {
                self.trimmed(&record, &name, &held).await?;
                if record.keys.iter().any(|entry| entry.kid == *kid && entry.destroyed) {
                    record.keys.retain(|entry| entry.kid != *kid);
                    if self.write_record(version, &record).await?.is_none() {
                        continue;
                    }
                }
            }
            return Ok(());
        }
        Err(self.outrun())
    }

    /// Writes the revocation to the record, whatever transit says or has lost.
    pub(crate) async fn revoked(&self, kid: &Kid, revocation: &Revocation) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (mut record, version) = self.read_record().await?;
            let Some(index) = record.entry(kid) else {
                let ring = self.read_ring().await?;
                match ring.claimed.as_ref().filter(|key| key.kid() == kid) {
                    Some(key) => self.committed(&ring, key).await?,
                    // Either the key was added between the two readings, or it does not exist.
                    None if ring.record.entry(kid).is_some() => true,
                    None => return Err(self.unknown(kid)),
                };
                continue;
            };
            let entry = &mut record.keys[index];
            if entry.destroyed {
                return Err(self.unknown(kid));
            }
            if entry.revoked.is_none() {
                entry.revoked = Some(revocation.clone());
                entry.state = KeyState::Disabled;
                let Some(version) = self.write_record(version, &record).await? else {
                    continue;
                };
                self.forbid(kid, "was revoked", version);
            }
            let name = record.keys[index].place.transit_key.clone();
            // The revocation is stored, so Signet already refuses the key. The next step protects against others with a
            // token.
            if let Err(failure) = self.confined(&name).await {
                tracing::warn!(
                    %kid,
                    %failure,
                    "the key is revoked, and Signet does not use it, but transit was not changed to refuse it: \
                     everybody with a Vault token that may sign can still sign with it. Run \
                     signet keys revoke with this kid again"
                );
            }
            return Ok(());
        }
        Err(self.outrun())
    }

    /// Makes transit refuse to sign with versions below the lowest that may sign. Returns the key as transit has it, or
    /// `None` if there is no such key.
    pub(crate) async fn confined(&self, name: &str) -> Result<Option<TransitKey>, Failure> {
        for _ in 0..RAISES {
            // The record comes first. A replica that changes it meanwhile raises the number later and reads again, too.
            let (record, _) = self.read_record().await?;
            let Some(held) = self.transit.read(name).await? else {
                return Ok(None);
            };
            let latest = held.latest_version;
            if record.ended_revoked(name, latest) {
                // No claim names the version that this creates, so it is never in the ring.
                self.transit.rotate(name).await?;
                continue;
            }
            let least = record.threshold(name, latest);
            if held.min_encryption_version.max(1) >= least {
                return Ok(Some(held));
            }
            self.transit.forbid_below(name, least).await?;
        }
        let text = format!(
            "min_encryption_version of {} was lowered each time that Signet raised it. Find out who else sets it, \
             because only Signet may",
            self.transit.key_path(name)
        );
        Err(Failure::new(ErrorKind::Unavailable, text))
    }

    /// Makes transit destroy the versions below the lowest that is needed. `None` if there were none.
    async fn trimmed(&self, record: &Record, name: &str, held: &TransitKey) -> Result<Option<u64>, Failure> {
        let least = record
            .least_that_is_needed(name)
            .unwrap_or(u64::MAX)
            .min(held.latest_version);
        if least <= held.min_available_version.max(1) {
            return Ok(None);
        }
        self.transit.trim(name, held, least).await?;
        Ok(Some(least))
    }

    /// Destroys the versions that no ring needs, as far as transit allows, and removes keys whose
    /// destruction was interrupted.
    pub(crate) async fn pruned(&self) -> Result<Vec<String>, Failure> {
        let mut gone = Vec::new();
        let (record, _) = self.read_record().await?;
        let mut names: Vec<&str> = record
            .keys
            .iter()
            .map(|entry| entry.place.transit_key.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            // Transit destroys only versions with which it already refuses to sign.
            let Some(held) = self.confined(name).await? else {
                continue;
            };
            if let Some(least) = self.trimmed(&record, name, &held).await? {
                gone.push(format!("the versions of {} below {least}", self.transit.key_path(name)));
            }
        }
        for _ in 0..TRIES {
            let (mut record, version) = self.read_record().await?;
            let before = record.keys.len();
            record.keys.retain(|entry| !entry.destroyed);
            if record.keys.len() == before {
                return Ok(gone);
            }
            if self.write_record(version, &record).await?.is_some() {
                gone.push(format!("{} destroyed keys in the record", before - record.keys.len()));
                return Ok(gone);
            }
        }
        Err(self.outrun())
    }
}
