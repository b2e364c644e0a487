//! A ring as this replica last read it: the list, when it was requested, and why reading fails, if it does.

use std::sync::Arc;

use signet_api::{ErrorKind, KeyProvider, Operation, ProviderError};
use signet_base::{Clock, Outage, chain};
use signet_core::lapse::sure_retention;
use signet_core::{KeyRecord, Lapse, Lapses, Phase, Policy, Schedule, Timestamp, faults, schedule, schedule_after};
use tracing::{error, info, warn};

use signet_base::{brief, rfc3339};

/// What follows from a reading at one instant.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The instant, by the steady clock.
    pub at: Timestamp,
    /// The lapses that still matter.
    pub lapses: Lapses,
    /// The schedule of the keys.
    pub schedule: Schedule,
}

/// The last list of a ring. A failed reading does not change it: the last good ring continues by its schedule.
#[derive(Clone, Debug)]
pub struct Reading {
    provider: &'static str,
    records: Arc<[KeyRecord]>,
    at: Timestamp,
    /// When the ring could not be read for a long time, before the last reading.
    lapses: Lapses,
    failure: Option<Outage>,
    /// Whether the last attempt to read succeeded, even if an action that was due then failed.
    was_read: bool,
}

impl Reading {
    /// Reads a ring for the first time.
    ///
    /// # Errors
    /// [`ProviderError`] if the provider cannot list its keys.
    pub async fn open(provider: &dyn KeyProvider, clock: &dyn Clock) -> Result<Self, ProviderError> {
        let asked_at = clock.now();
        let records = provider.list().await?;
        Ok(Self::new(provider.capabilities().provider, records, asked_at))
    }

    /// A list that was requested at this instant.
    #[must_use]
    pub fn new(provider: &'static str, records: Vec<KeyRecord>, at: Timestamp) -> Self {
        Self {
            provider,
            records: records.into(),
            at,
            lapses: Lapses::default(),
            failure: None,
            was_read: true,
        }
    }

    /// Sets the lapses that an earlier process recorded.
    #[must_use]
    pub fn after(self, lapses: Lapses) -> Self {
        Self { lapses, ..self }
    }

    /// Handles a time in which this process, or an earlier one, did not run.
    ///
    /// It signed nothing during that time. If even the last token from before may have expired, the reading counts from
    /// now on, without any lapses.
    pub fn on_pause(&mut self, policy: &Policy, now: Timestamp) {
        if now
            >= self
                .at
                .plus(policy.durations().bearable_age() + policy.terms().retention)
        {
            self.lapses = Lapses::default();
            self.at = now;
        }
    }

    /// Replaces the list.
    ///
    /// `asked_at` is the time before the call, because a change during the call may be missing in the answer.
    ///
    /// # Errors
    /// `BadAnswer` if the list is empty while keys of the last one are still published. Signet never empties a ring,
    /// and with a new ring every valid token would be refused.
    pub fn renew(
        &mut self,
        mut records: Vec<KeyRecord>,
        asked_at: Timestamp,
        policy: &Policy,
    ) -> Result<(), ProviderError> {
        if records.is_empty() {
            self.is_not_lost(asked_at, policy)?;
        }
        if faults::has("a revocation is not shared") {
            records.iter_mut().for_each(|key| key.revoked = None);
        }
        if faults::has("a key counts from when it was first seen") {
            for key in &mut records {
                let known = self.records.iter().find(|known| known.kid() == key.kid());
                key.created_at = known.map_or(asked_at, |known| known.created_at);
            }
        }
        let lapses = self.lapses_at(policy, asked_at);
        let begun = lapses.iter().find(|lapse| lapse.to.is_none()).copied();
        self.lapses = lapses.ended(asked_at);
        self.records = records.into();
        self.at = asked_at;
        if let Some(lapse) = begun {
            self.tell_what_is_put_off(lapse, policy);
        }
        Ok(())
    }

    /// Refuses an empty list while keys of the last one are still needed.
    fn is_not_lost(&self, now: Timestamp, policy: &Policy) -> Result<(), ProviderError> {
        let schedule = self.schedule(policy, now);
        let published = schedule.keys.iter().filter(|key| key.phase.is_published()).count();
        if published == 0 {
            return Ok(());
        }
        let text = format!(
            "the ring is empty, but had {published} published key(s) when it was last read at {}: it was lost, or a \
             setting leads to another place (SIGNET_KEY, SIGNET_STORE, SIGNET_DATA_DIR, or a volume that \
             is not mounted). No new ring is created, because every valid token would be refused. \
             Restore the ring or correct the setting. If you removed it on purpose, stop all its \
             sidecars, remove last-good.json from the data directory of each, and start them again",
            rfc3339(self.at)
        );
        Err(ProviderError::new(
            self.provider,
            Operation::List,
            ErrorKind::BadAnswer,
            text,
        ))
    }

    fn tell_what_is_put_off(&self, lapse: Lapse, policy: &Policy) {
        let elsewhere = schedule(&self.records, policy, self.at);
        for (usual, here) in elsewhere.keys.iter().zip(self.schedule(policy, self.at).keys) {
            if here.phase == Phase::Pending && here.activates_at != usual.activates_at {
                warn!(
                    provider = self.provider,
                    kid = %here.kid,
                    not_read_since = %rfc3339(lapse.from),
                    activates_at = here.activates_at.map(rfc3339),
                    "the ring was not read for too long, so other replicas may not have this key yet: it starts to \
                     sign later here"
                );
            }
        }
    }

    /// Handles the end of a turn in which everything succeeded.
    pub fn on_success(&mut self, now: Timestamp) {
        if let Some(outage) = self.failure.take() {
            info!(provider = self.provider, after = %brief(now.since(outage.since)), "the provider answers again");
        }
    }

    /// Handles a failed reading or action. The failure is logged only if its reason differs from the last one.
    pub fn on_failure(&mut self, failure: &ProviderError, asked_at: Timestamp) {
        let reason = chain(failure);
        let known = self.failure.as_ref();
        if known.is_none_or(|outage| outage.reason != reason) {
            error!(
                provider = self.provider,
                kind = failure.kind.as_str(),
                "the ring cannot be read or changed, so the last good ring stays in use: {reason}"
            );
        }
        let was_read = !matches!(failure.operation, Operation::Open | Operation::List);
        // A ring that cannot be read is a different problem from one that cannot be changed, with its own beginning.
        let same = known.filter(|_| self.was_read == was_read);
        let since = same.map_or(asked_at, |outage| outage.since);
        self.failure = Some(Outage { since, reason });
        self.was_read = was_read;
    }

    /// The name of the provider.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        self.provider
    }

    /// The keys of the ring.
    #[must_use]
    pub fn records(&self) -> &[KeyRecord] {
        &self.records
    }

    /// When the keys were requested.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Why the ring cannot be read, or an action that is due fails. `None` if nothing fails.
    #[must_use]
    pub const fn failure(&self) -> Option<&Outage> {
        self.failure.as_ref()
    }

    /// Whether the last attempt to read succeeded. If so, a failure is about an action that was due.
    #[must_use]
    pub const fn was_read(&self) -> bool {
        self.was_read
    }

    /// When the ring could not be read for a long time, before the last reading.
    #[must_use]
    pub const fn lapses(&self) -> &Lapses {
        &self.lapses
    }

    /// The lapses that matter now, including one that has begun since the last reading.
    #[must_use]
    pub fn lapses_at(&self, policy: &Policy, now: Timestamp) -> Lapses {
        self.lapses.at(&self.records, self.at, policy, now)
    }

    /// The schedule of the keys now.
    #[must_use]
    pub fn schedule(&self, policy: &Policy, now: Timestamp) -> Schedule {
        self.standing(policy, now).schedule
    }

    /// What follows from the reading now.
    #[must_use]
    pub fn standing(&self, policy: &Policy, now: Timestamp) -> Standing {
        let lapses = self.lapses_at(policy, now);
        Standing {
            at: now,
            schedule: schedule_after(&lapses, &self.records, policy, now),
            lapses,
        }
    }

    /// The schedule by a wall clock that was set by this many milliseconds.
    #[must_use]
    pub fn schedule_of_set_clock(&self, standing: Standing, policy: &Policy, set_by: i64) -> Schedule {
        if set_by == 0 {
            return standing.schedule;
        }
        let by_wall = standing.at.shifted(set_by);
        let by_wall = schedule_after(&standing.lapses, &self.records, policy, by_wall);
        standing.schedule.bridged(&by_wall, set_by)
    }

    /// Until when a token of this key is accepted everywhere, whatever others have read since.
    ///
    /// If the successor is missing in this list, it was created after the list, and signs one lead later, by clocks
    /// that may each be off by S. If it is in the list, it may sign elsewhere although it does not sign here.
    #[must_use]
    pub fn sure_until(&self, record: &KeyRecord, policy: &Policy, standing: &Standing) -> Timestamp {
        let sure = sure_retention(record, policy);
        let lead = policy.terms_of(record).lead;
        let unknown = self
            .at
            .plus((lead + sure).saturating_sub(policy.durations().clock_skew * 2));
        let superseded = |elsewhere: &Schedule| {
            let known = elsewhere.keys.iter().find(|key| key.kid == *record.kid());
            known.and_then(|key| key.superseded_at)
        };
        // When a key is superseded depends on the list and on lapses, not on the current time.
        let superseded = match standing.lapses.is_empty() {
            true => superseded(&standing.schedule),
            false => superseded(&schedule(&self.records, policy, self.at)),
        };
        superseded.map_or(unknown, |at| unknown.min(at.plus(sure)))
    }
}

#[cfg(test)]
mod tests {
    use signet_core::algorithm::RsaBits;
    use signet_core::{Algorithm, Durations, KeyState, Kid, Lapse, Revocation, SigningKey};

    use super::*;

    const MIN: i64 = 60;

    /// The default policy: the lead is 1 h, a ring may be 38 min old, the minimum lead is 23 min, the retention 63 min.
    fn policy() -> Policy {
        Policy::new(Durations::default(), Algorithm::EdDSA).expect("the defaults are safe")
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_secs(minutes * MIN)
    }

    fn key(created: i64) -> KeyRecord {
        let key = SigningKey::generate(Algorithm::EdDSA, RsaBits::default()).expect("a key");
        KeyRecord {
            public: key.verifying_key().clone(),
            created_at: at(created),
            sequence: 0,
            predecessor: None,
            terms: Some(policy().terms()),
            state: KeyState::Enabled,
            revoked: None,
        }
    }

    fn active(reading: &Reading, now: i64) -> Kid {
        let schedule = reading.schedule(&policy(), at(now));
        schedule.active().expect("one is").kid.clone()
    }

    #[test]
    fn whether_the_ring_was_read_is_told_by_what_failed_last() {
        let mut reading = Reading::new("vault", vec![key(0)], at(0));
        for (operation, was_read) in [
            (Operation::List, false),
            (Operation::Create, true),
            (Operation::Open, false),
            (Operation::Retire, true),
        ] {
            let failure = ProviderError::new("vault", operation, ErrorKind::Unavailable, "down");
            reading.on_failure(&failure, at(1));
            assert_eq!(reading.was_read(), was_read, "{operation:?}");
        }
    }

    #[test]
    fn a_failure_of_another_kind_has_an_instant_of_its_own() {
        let mut reading = Reading::new("vault", vec![key(0)], at(0));
        for (minute, operation, since) in [
            (1, Operation::Create, 1),
            (2, Operation::Create, 1),
            (3, Operation::List, 3),
            (4, Operation::Open, 3),
            (5, Operation::Retire, 5),
        ] {
            let failure = ProviderError::new("vault", operation, ErrorKind::Unavailable, "down");
            reading.on_failure(&failure, at(minute));
            assert_eq!(
                reading.failure().map(|outage| outage.since),
                Some(at(since)),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn a_ring_that_is_empty_all_at_once_is_lost_until_nobody_needs_its_last_keys() {
        let mut reading = Reading::new("vault", vec![key(0)], at(0));
        let lost = reading.renew(Vec::new(), at(10), &policy()).expect_err("it is lost");
        assert_eq!((lost.kind, lost.operation), (ErrorKind::BadAnswer, Operation::List));
        assert!(chain(&lost).contains("had 1 published key(s)"), "{}", chain(&lost));
        assert_eq!(reading.records().len(), 1, "the last ring stays in use");
        let mut empty = Reading::new("vault", Vec::new(), at(0));
        empty
            .renew(Vec::new(), at(10), &policy())
            .expect("the ring never had keys");
        let mut revoked = key(0);
        revoked.state = KeyState::Disabled;
        revoked.revoked = Some(Revocation {
            at: at(5),
            reason: String::new(),
        });
        let mut reading = Reading::new("vault", vec![revoked], at(6));
        reading
            .renew(Vec::new(), at(10), &policy())
            .expect("a revoked key may disappear");
    }

    #[test]
    fn a_replica_that_was_out_of_touch_puts_off_what_others_may_lack_also_after_a_restart() {
        let [first, second] = [key(0), key(100)];
        let [first_kid, second_kid] = [&first, &second].map(|key| key.kid().clone());
        let both = vec![first.clone(), second];
        // Without a lapse, the key signs one lead after its creation.
        let mut reading = Reading::new("local", vec![first], at(99));
        reading.renew(both.clone(), at(130), &policy()).expect("not empty");
        assert!(reading.lapses().is_empty());
        assert_eq!(active(&reading, 160), second_kid);

        // The last reading was when others may not have had the key; then there was none for two hours.
        let mut reading = Reading::new("local", both.clone(), at(101));
        assert_eq!(active(&reading, 160), first_kid, "while the replica is out of touch");
        reading.renew(both.clone(), at(180), &policy()).expect("not empty");
        let lapses = reading.lapses().clone();
        let (from, to) = (at(101), Some(at(180)));
        assert_eq!(lapses, Lapses::new(vec![Lapse { from, to }]));
        // Neither further readings nor a restart remove the lapse.
        reading.renew(both.clone(), at(181), &policy()).expect("not empty");
        let again = Reading::new("local", both, at(182)).after(lapses.clone());
        for reading in [reading, again] {
            assert_eq!(*reading.lapses(), lapses);
            assert_eq!(active(&reading, 202), first_kid);
            assert_eq!(active(&reading, 203), second_kid);
        }
    }

    #[test]
    fn a_process_that_did_not_run_brings_back_no_key_that_is_gone() {
        let [first, second] = [key(0), key(100)];
        let kids = |reading: &Reading, now| -> Vec<Kid> {
            let keys = reading.schedule(&policy(), at(now)).keys.into_iter();
            keys.filter(|key| key.phase.is_published()).map(|key| key.kid).collect()
        };
        let both = vec![first.clone(), second.clone()];
        // The last reading was at 99. The last token that the first key signed may expire 38 min and 63 min later.
        for (back, did_run, expected) in [
            (500, true, vec![first.kid().clone(), second.kid().clone()]),
            (500, false, vec![second.kid().clone()]),
            (199, false, vec![first.kid().clone(), second.kid().clone()]),
        ] {
            let mut reading = Reading::new("local", vec![first.clone()], at(99));
            if !did_run {
                reading.on_pause(&policy(), at(back));
            }
            reading.renew(both.clone(), at(back), &policy()).expect("not empty");
            assert_eq!(
                kids(&reading, back),
                expected,
                "read again at {back}, process ran: {did_run}"
            );
        }
    }

    #[test]
    fn a_token_is_sure_until_an_unknown_successor_or_the_known_one_ends_its_key() {
        let [first, second] = [key(0), key(100)];
        // L + T + R + 2S after the reading, less 2S for the clocks at the key's end and 2S for those at its beginning.
        let alone = Reading::new("local", vec![first.clone()], at(90));
        let sure_until = |reading: &Reading, key: &KeyRecord, now: i64| {
            reading.sure_until(key, &policy(), &reading.standing(&policy(), at(now)))
        };
        assert_eq!(sure_until(&alone, &first, 90), at(90 + 60 + 63 - 4));
        // The second key signs elsewhere from 160 on.
        let both = vec![first.clone(), second.clone()];
        let reading = Reading::new("local", both.clone(), at(150));
        // Without a reading after 150, a lapse begins at 188. What signs elsewhere does not depend on it.
        for now in [150, 170, 187, 188, 300] {
            assert_eq!(sure_until(&reading, &first, now), at(160 + 63 - 2), "at {now}");
            assert_eq!(sure_until(&reading, &second, now), at(150 + 60 + 63 - 4), "at {now}");
        }
        // Nor does it depend on a lapse that delays the key here.
        let lapse = Lapse {
            from: at(101),
            to: Some(at(180)),
        };
        let reading = Reading::new("local", both, at(181)).after(Lapses::new(vec![lapse]));
        assert_eq!(active(&reading, 182), *first.kid());
        assert_eq!(sure_until(&reading, &first, 182), at(160 + 63 - 2));
    }
}
