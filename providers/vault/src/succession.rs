//! How the successor of a key is created: claim, create, commit.
//!
//! 1. *Claim*: the record names the next version, one more than transit's latest, by check-and-set.
//! 2. *Create*: transit creates the key, or rotates it.
//! 3. *Commit*: the claim becomes a key of the record, by check-and-set.
//!
//! The key is in the ring as soon as transit has the version that the claim names, no matter which replica created
//! it. It is therefore listed from its creation time on. After a crash at any step, the next call continues. An
//! abandoned claim is taken over after a while. If its owner then wakes and rotates too, the extra version is in no
//! claim and never in the ring.
//!
//! If transit refuses a replica, the replica withdraws its claim, and another one can create the key at once. It makes
//! no claims for a while, because they would delay the others.

use std::time::Duration;

use signet_api::{CreateDecision, ErrorKind, Failure, NewKey};
use signet_core::jwk::Jwk;
use signet_core::{KeyRecord, KeyState, Timestamp};
use tokio::time::sleep;

use crate::handle::{Remote, RingState};
use crate::names::{transit_key, transit_keys, transit_type};
use crate::record::{ClaimOf, Entry, TransitVersion};
use crate::refusal::{REST, Refusal};

/// The number of attempts at a swap. A swap fails only if another one succeeded; so many
/// failures in a row are not a race.
const TRIES: usize = 64;
/// The pause between checks of another handle's claim.
const STEP: Duration = Duration::from_millis(100);
/// The maximum number of these pauses in one `create`.
const MOST_STEPS: usize = 50;
/// After this time, a claim of another handle counts as abandoned.
const STALE: Duration = Duration::from_secs(30);
impl Remote {
    /// The successor of this key, created here or by somebody else.
    pub(crate) async fn successor(&self, new: &NewKey) -> Result<KeyRecord, Failure> {
        let mut refusal = self.creating.lock().await;
        let (mut waited, mut made) = (0, false);
        for _ in 0..TRIES + MOST_STEPS {
            let ring = self.read_ring().await?;
            if let Some(key) = &ring.claimed {
                // This key is the newest now, no matter which replica created it.
                let key = key.clone();
                if self.committed(&ring, &key).await? && new.successor_of.as_ref() != Some(key.kid()) {
                    return Ok(key);
                }
                continue;
            }
            match new.decide(ring.newest()) {
                CreateDecision::New => {}
                CreateDecision::Newest(newest) => return Ok(newest.clone()),
                CreateDecision::Lost(kid) => return Err(self.unknown(kid)),
            }
            if let Some(claim) = &ring.record.claim
                && (made || self.is_another_s(claim))
            {
                if waited == MOST_STEPS {
                    return Err(self.unanswered(claim));
                }
                waited += 1;
                sleep(STEP).await;
                continue;
            }
            made = self.claimed_and_made(new, ring, &mut refusal).await?;
        }
        Err(self.outrun())
    }

    /// Claims the next version and makes transit create it. `false` if another replica was faster.
    async fn claimed_and_made(
        &self,
        new: &NewKey,
        ring: RingState,
        last_refusal: &mut Option<Refusal>,
    ) -> Result<bool, Failure> {
        let name = transit_key(&self.ring, new.algorithm, new.rsa_bits);
        if let Some(refusal) = last_refusal.take_if(|refusal| !refusal.holds(&name, self.clock.now())) {
            tracing::debug!(
                transit_key = refusal.transit_key,
                "asking transit again for a key that it refused to create"
            );
        }
        if let Some(refusal) = &*last_refusal {
            return Err(refusal.failure.clone());
        }
        let wanted = transit_type(new.algorithm, new.rsa_bits);
        if ring.version.is_none() && !self.is_a_new_ring().await? {
            return Ok(false);
        }
        let from_transit;
        let held = match ring.transit.get(&name) {
            Some(held) => held.as_ref(),
            None => {
                from_transit = self.transit.read(&name).await?;
                from_transit.as_ref()
            }
        };
        if let Some(held) = held.filter(|held| held.key_type != wanted || held.soft_deleted) {
            let (held_type, path) = (&held.key_type, self.transit.key_path(&name));
            let text = match held.soft_deleted {
                true => {
                    format!(
                        "{path} is of type {held_type} and soft-deleted. Restore it, because it has keys of this \
                         ring"
                    )
                }
                false => format!(
                    "{path} is of type {held_type}, but must be {wanted}. Find out who created it, and delete it \
                     only if nobody uses it. Keep SIGNET_KEY: another one starts a new ring, and \
                     every token of this one is refused"
                ),
            };
            return Err(Failure::new(ErrorKind::KeyUnusable, text));
        }
        let latest = held.map_or(0, |held| held.latest_version);
        let number = ring.record.last_number + 1;
        let mut record = ring.record;
        record.last_number = number;
        record.claim = Some(ClaimOf {
            number,
            place: TransitVersion {
                transit_key: name.clone(),
                version: latest + 1,
            },
            algorithm: new.algorithm,
            predecessor: new.successor_of.clone(),
            terms: new.terms,
            nonce: self.nonce.clone(),
            claimed_at_ms: self.clock.now(),
        });
        if self.write_record(ring.version, &record).await?.is_none() {
            return Ok(false);
        }
        let made = match latest {
            0 => self.transit.create(&name, wanted).await,
            _ => self.transit.rotate(&name).await,
        };
        let Err(mut failure) = made else {
            return Ok(true);
        };
        if is_for_good(failure.kind) {
            self.give_up(number).await;
            failure.text.push_str(&format!(
                ". Another replica may create the key meanwhile; this one tries again after {} s",
                REST.as_secs()
            ));
            *last_refusal = Some(Refusal {
                transit_key: name,
                at: self.clock.now(),
                failure: failure.clone(),
            });
        }
        Err(failure)
    }

    /// Withdraws this handle's claim, if it is still there. If that fails, the claim is taken over when it is old.
    async fn give_up(&self, number: u64) {
        let given_up = async {
            for _ in 0..TRIES {
                let (mut record, version) = self.read_record().await?;
                let is_ours = |claim: &ClaimOf| claim.number == number && claim.nonce == self.nonce;
                if record.claim.take_if(|claim| is_ours(claim)).is_none()
                    || self.write_record(version, &record).await?.is_some()
                {
                    return Ok(());
                }
            }
            Err(self.outrun())
        };
        if let Err(failure) = given_up.await {
            let after = STALE.as_secs();
            tracing::warn!(%failure,
                "the claim for a key that transit refused to create cannot be removed; another replica takes it over \
                 after {after} s");
        }
    }

    /// Turns the claim into a key of the record. `false` if another replica was faster.
    pub(crate) async fn committed(&self, ring: &RingState, key: &KeyRecord) -> Result<bool, Failure> {
        let mut record = ring.record.clone();
        let Some(claim) = record.claim.take() else {
            return Ok(false);
        };
        let name = claim.place.transit_key.clone();
        record.keys.push(Entry {
            number: claim.number,
            place: claim.place,
            algorithm: claim.algorithm,
            kid: key.kid().clone(),
            public: Jwk::from(&key.public),
            created_at_ms: key.created_at,
            predecessor: claim.predecessor,
            terms: claim.terms,
            state: KeyState::Enabled,
            destroyed: false,
            revoked: None,
        });
        let Some(version) = self.write_record(ring.version, &record).await? else {
            return Ok(false);
        };
        let keys: Vec<KeyRecord> = ring.keys.iter().chain([key]).cloned().collect();
        self.remember(version, &record, &keys, None);
        // If the newest key was revoked, transit could not refuse to sign with it until there was a newer version.
        let mut names = record.transit_keys_with_a_revoked_key();
        names.insert(&name);
        for name in names {
            let held = ring.transit.get(name).and_then(Option::as_ref);
            if held
                .is_some_and(|held| held.min_encryption_version.max(1) >= record.threshold(name, held.latest_version))
            {
                continue;
            }
            if let Err(failure) = self.confined(name).await {
                tracing::warn!(%failure, "transit may still sign with a key that was retired or revoked; Signet does not");
            }
        }
        Ok(true)
    }

    /// Whether a claim belongs to another handle that may still be at work.
    fn is_another_s(&self, claim: &ClaimOf) -> bool {
        let (now, then): (Timestamp, Timestamp) = (self.clock.now(), claim.claimed_at_ms);
        claim.nonce != self.nonce && now.since(then) <= STALE && then.since(now) <= STALE
    }

    fn unanswered(&self, claim: &ClaimOf) -> Failure {
        let text = format!(
            "version {} of {} was claimed, but transit has not created it yet. Signet tries again; an abandoned \
             claim is taken over after {} s",
            claim.place.version,
            self.transit.key_path(&claim.place.transit_key),
            STALE.as_secs()
        );
        Failure::new(ErrorKind::Unavailable, text)
    }

    /// Fails if transit has keys of this ring but there is no record, which means that the record was lost. `false` if
    /// there is a record by now.
    async fn is_a_new_ring(&self) -> Result<bool, Failure> {
        for name in transit_keys(&self.ring) {
            let found = match self.transit.read(&name).await {
                // A policy may cover only the algorithms in use.
                Err(failure) if failure.kind == ErrorKind::PermissionDenied => None,
                found => found?,
            };
            if found.is_some() {
                // Replicas write the record first, so the record of a faster replica exists by now.
                if self.read_record().await?.1.is_some() {
                    return Ok(false);
                }
                let location = self.record.location();
                return Err(Failure::new(
                    ErrorKind::BadAnswer,
                    format!(
                        "{} exists, but the record of its keys in {location} does not. If there was a ring, restore \
                         the record from a backup. For a new ring, set another SIGNET_KEY, \
                         or delete that transit key: every token of its keys is then refused",
                        self.transit.key_path(&name)
                    ),
                ));
            }
        }
        Ok(true)
    }
}

/// Whether transit created nothing and would refuse again. After a timeout, it may have created the key.
const fn is_for_good(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied | ErrorKind::InvalidConfig | ErrorKind::NotFound
    )
}
