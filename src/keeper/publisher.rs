//! Makes snapshots: a pure function of the facts and the clock, which never waits.

use std::collections::HashMap;
use std::sync::Arc;

use signet_api::{Capabilities, Custody};
use signet_base::{Clock, Outage};
use signet_clock_watch::ClockWatch;
use signet_core::{Kid, Phase, Schedule, Timestamp};
use tracing::{info, warn};

use super::RingSettings;
use super::control::is_enabled;
use super::facts::{Facts, SharedFacts};
use crate::reading::Reading;
use crate::ring_view::{AlsoView, RingView};
use crate::snapshot::{NoSigner, NoSignerCause, Parts, Signs, Snapshot};
use crate::telemetry::metrics::Metrics;

/// What snapshots are made from.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) shared: Arc<SharedFacts>,
    pub(super) settings: RingSettings,
    /// The name of the signing ring.
    pub(super) origin: String,
    pub(super) capabilities: Capabilities,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clock_watch: Arc<ClockWatch>,
    pub(super) metrics: Arc<Metrics>,
    /// Why the last snapshots had no signer, and since when.
    pub(super) unsigned: Option<(NoSignerCause, Timestamp)>,
    /// The phases in the last snapshot, to log each change once. `None` before the first snapshot.
    pub(super) phases: Option<HashMap<Kid, Phase>>,
}

impl Publisher {
    /// The snapshot for now.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let shared = Arc::clone(&self.shared);
        let snapshot = shared.look(|facts| self.snapshot_of(facts));
        self.metrics.ring(&snapshot);
        snapshot
    }

    fn snapshot_of(&mut self, facts: &Facts) -> Snapshot {
        let (policy, now, set_by) = (self.settings.policy, self.clock.now(), self.clock_watch.set_by());
        let by_wall = |ring: &Reading, standing| ring.schedule_of_set_clock(standing, &policy, set_by);
        let standing = facts.ring.standing(&policy, now);
        let schedule = by_wall(&facts.ring, standing.clone());
        self.log_phases(&schedule);
        let also = facts.also.iter();
        let also: Vec<_> = also
            .map(|ring| (ring, by_wall(ring, ring.standing(&policy, now))))
            .collect();
        let mut view = RingView::new(&self.settings.issuer, &policy, facts.ring.records(), &schedule);
        view.origin = Some(self.origin.clone());
        view.also = also
            .iter()
            .map(|(ring, schedule)| AlsoView::new(ring.provider(), ring.records(), schedule))
            .collect();

        let asleep_at = self.asleep_at(facts);
        let asleep = (asleep_at <= now).then(|| Outage {
            since: facts.news_by,
            reason: "this process was suspended for a while, so it reads its ring before it answers again".to_owned(),
        });
        let changes = also.iter().filter_map(|(_, schedule)| schedule.next_look);
        let changes = changes
            .chain(schedule.next_look)
            .chain((asleep_at > now).then(|| asleep_at.shifted(set_by)));
        let signer = match &asleep {
            Some(outage) => Err(NoSigner {
                cause: NoSignerCause::Asleep,
                outage: outage.clone(),
            }),
            None => self.signer(facts, &schedule, now),
        };
        let signer = signer.map_err(|none| self.since_it_began(none));
        if signer.is_ok() {
            self.unsigned = None;
        }
        Snapshot::new(Parts {
            ring: &facts.ring,
            standing: &standing,
            schedule: &schedule,
            policy: &policy,
            set_by,
            view,
            signer,
            longest_message: self.capabilities.longest_message,
            also: &also,
            holds_until: changes.min(),
            unwritten: facts.unwritten.clone(),
            asleep,
        })
    }

    /// From when the facts count as those of a stopped process, and not of a failing provider. The next reading is
    /// overdue then, and others may already sign with keys that this process has not seen.
    fn asleep_at(&self, facts: &Facts) -> Timestamp {
        let bearable = self.settings.policy.durations().bearable_age();
        facts.news_by.max(facts.ring.at().plus(bearable))
    }

    /// Returns `none` with the time of the first snapshot that had no signer for this cause.
    fn since_it_began(&mut self, none: NoSigner) -> NoSigner {
        let known = self.unsigned.filter(|(cause, _)| *cause == none.cause);
        let since = known.map_or(none.outage.since, |(_, since)| since.min(none.outage.since));
        self.unsigned = Some((none.cause, since));
        NoSigner {
            outage: Outage { since, ..none.outage },
            ..none
        }
    }

    /// The active key, and what signs with it.
    fn signer(&self, facts: &Facts, schedule: &Schedule, now: Timestamp) -> Result<(Kid, Signs), NoSigner> {
        let none = |cause, reason| NoSigner {
            cause,
            outage: Outage { since: now, reason },
        };
        let active = schedule.active().map(|key| key.kid.clone());
        let active = active.ok_or_else(|| none(NoSignerCause::NoKey, "no key of the ring is active".to_owned()))?;
        if let Some(key) = facts.unsealed.get(&active) {
            return Ok((active, Signs::Here(Arc::clone(key))));
        }
        if !is_enabled(facts.ring.records(), &active) {
            let reason = format!("the active key {active} is disabled in the provider");
            return Err(none(NoSignerCause::Disabled, reason));
        }
        match self.capabilities.custody {
            Custody::Remote => Ok((active, Signs::Remote)),
            Custody::Sealed => Err(NoSigner {
                cause: NoSignerCause::Sealed,
                outage: match (facts.unseal_failures.get(&active), facts.ring.failure()) {
                    (Some(failure), _) => failure.clone(),
                    (None, Some(failure)) => Outage {
                        since: failure.since,
                        reason: format!("the active key {active} cannot be unsealed: {}", failure.reason),
                    },
                    (None, None) => Outage {
                        since: now,
                        reason: format!("the active key {active} is being unsealed"),
                    },
                },
            }),
        }
    }

    fn log_phases(&mut self, schedule: &Schedule) {
        let is_start = self.phases.is_none();
        let phases = self.phases.get_or_insert_default();
        for key in &schedule.keys {
            let before = phases.insert(key.kid.clone(), key.phase);
            if before == Some(key.phase) {
                continue;
            }
            let previous_phase = before.map(Phase::as_str);
            match key.phase {
                // This was logged when it happened, which may be long ago.
                Phase::Revoked if is_start => {
                    info!(kid = %key.kid, "a key of the ring is revoked, so its tokens are refused")
                }
                Phase::Revoked => warn!(
                    kid = %key.kid,
                    previous_phase,
                    "a key was revoked, so its tokens are refused from now on"
                ),
                phase if previous_phase.is_none() => {
                    info!(kid = %key.kid, phase = phase.as_str(), "found a key in the ring")
                }
                phase => info!(
                    kid = %key.kid,
                    phase = phase.as_str(),
                    previous_phase,
                    "the phase of a key changed"
                ),
            }
        }
        phases.retain(|kid, _| schedule.keys.iter().any(|key| key.kid == *kid));
    }
}
