//! The promises, each checked for one replica whenever something about it changes.

use signet::snapshot::Snapshot;
use signet_api::Custody;
use signet_core::Phase;

use crate::seat::Seat;
use crate::sky::{MINUTE, Ms};
use crate::witness::State;

impl State {
    /// The keys for verifying must be those that are published, and exactly one key of the ring is active.
    pub(crate) fn judge_form(&mut self, now: Ms, seat: usize, snapshot: &Snapshot, names: &[usize]) {
        let accepted = snapshot.published.keys().filter(|kid| {
            let name = self.names.get(*kid);
            name.is_some_and(|name| names.contains(name))
        });
        if accepted.count() != names.len() || snapshot.published.len() != names.len() {
            self.broken(
                now,
                "1 verify accepts what is served",
                format!("replica {seat} differs from its own JWKS"),
            );
        }
        let actives = snapshot.count(Phase::Active);
        // Nothing can sign between the revocation of the newest key and the creation of its successor.
        let none_is_right = snapshot.ring.keys.last().is_none_or(|key| key.phase == Phase::Revoked);
        if actives > 1 || actives == 0 && !none_is_right {
            self.broken(
                now,
                "2 exactly one key is active",
                format!("replica {seat} has {actives} active keys"),
            );
        }
    }

    pub(crate) fn judge_revoked(
        &mut self,
        now: Ms,
        seat: usize,
        snapshot: &Snapshot,
        names: &[usize],
        active: Option<usize>,
    ) {
        let slack = 2 * self.terms.skew;
        let read = self.seats[seat].clock.true_time_of(snapshot.refreshed_at);
        let ring = self.seats[seat].live.as_ref().map(|live| live.config.ring);
        let used = names.iter().copied().chain(active).find(|name| {
            let key = &self.keys[*name];
            Some(key.ring) == ring && key.revoked.is_some_and(|at| at + slack < read)
        });
        if let Some(name) = used {
            self.broken(
                now,
                "8 a revoked key is never used again",
                format!("replica {seat} uses k{name}"),
            );
        }
    }

    /// Replicas that see the same list compute the same times. A replica with a lapse never computes earlier times.
    pub(crate) fn judge_agreement(&mut self, now: Ms, seat: usize, snapshot: &Snapshot) {
        let Some(live) = &self.seats[seat].live else { return };
        let policy = if self.terms.keeps_terms { 0 } else { live.config.policy };
        let (mut list, mut instants) = (format!("{}/{policy}", live.config.ring), Vec::new());
        for key in &snapshot.ring.keys {
            list.push_str(&format!(" {} {}", key.kid, key.revoked.is_some()));
            instants.extend([key.activates_at.clone(), key.superseded_at.clone()]);
        }
        let was_in_touch = snapshot.lapses.is_empty();
        let known = match was_in_touch {
            false => self.agreed.get(&list),
            true => Some(&*self.agreed.entry(list).or_insert_with(|| instants.clone())),
        };
        let Some(known) = known else { return };
        // All texts have the same form and zone, so their order is that of the times.
        let is_right = |(mine, known): (&Option<String>, &Option<String>)| match was_in_touch {
            false => mine.is_none() || known.is_some() && mine >= known,
            true => mine == known,
        };
        if !instants.iter().zip(known).all(is_right) {
            let text = format!("replica {seat} has {instants:?}, another one {known:?}");
            self.broken(now, "6 the same list, the same schedule", text);
        }
    }

    /// With sealed keys, signing needs no provider.
    pub(crate) fn judge_custody(&mut self, now: Ms, seat: usize, snapshot: &Snapshot, before: Option<usize>) {
        let Err(none) = &snapshot.signer else { return };
        if self.terms.custody != Custody::Sealed {
            return;
        }
        let active = snapshot.ring.keys.iter().find(|key| key.phase == Phase::Active);
        let Some(name) = active.and_then(|key| self.names.get(key.kid.as_str()).copied()) else {
            return;
        };
        let started = self.seats[seat].live.as_ref().map_or(now, |live| live.started);
        let known_from = self.keys[name].born.max(started);
        let enough = known_from + self.terms.refresh + MINUTE;
        if let Some(asleep) = &snapshot.asleep {
            // The replica is about to read its ring, and need not answer requests before that.
            let stopped = self.seats[seat]
                .resumed
                .is_some_and(|at| now - at < self.terms.refresh + 2 * MINUTE);
            if !stopped {
                self.broken(
                    now,
                    "5 who runs does not sleep",
                    format!("replica {seat}: {}", asleep.reason),
                );
            }
            return;
        }
        let had = before == Some(name);
        let could = enough < now && self.weather.is_calm(seat, known_from, enough);
        if self.keys[name].revoked.is_none() && (had || could) {
            let text = format!("replica {seat} no longer signs with k{name}: {}", none.outage.reason);
            self.broken(now, "5 sealed keys sign without the provider", text);
        }
    }

    /// A key signs here, so every possible cache must have it.
    pub(crate) fn judge_lead(&mut self, now: Ms, seat: usize, name: usize) {
        if std::mem::replace(&mut self.keys[name].signed, true) {
            return;
        }
        self.figures.signers += 1;
        let key = &self.keys[name];
        if self.is_excused(name, now) || key.revoked.is_some() {
            return;
        }
        let hold = self.terms.hold;
        let mut lacking = None;
        for (other, its) in self.seats.iter().enumerate() {
            let current = its.live.as_ref().and_then(|live| live.view.as_ref());
            let current = current
                .filter(|view| !view.names.contains(&name))
                .and_then(|view| its.served_until(view.from, now));
            let past = its.past.iter().filter(|past| !past.names.contains(&name));
            let last = past.map(|past| past.served_until).chain(current).max();
            if let Some(last) = last.filter(|last| last + hold > now) {
                lacking = lacking.max(Some((last, other)));
            }
        }
        if let Some((last, other)) = lacking {
            let text = format!(
                "replica {seat} signs with k{name}, and replica {other} served a JWKS without it until {} s ago, which may \
                 be cached for {} s",
                (now - last) / 1000,
                hold / 1000
            );
            self.broken(now, "2 every cache has a key before it signs", text);
        }
    }

    /// Every replica that may still be asked to accept a token must have its key.
    pub(crate) fn judge_retention(&mut self, now: Ms, seat: usize, names: &[usize]) {
        let signing = |state: &Self, name: usize| {
            let uses = |seat: &Seat| {
                let view = seat.live.as_ref().and_then(|live| live.view.as_ref());
                view.is_some_and(|view| view.active == Some(name) && seat.is_ready(now))
            };
            state.seats.iter().any(uses)
        };
        let lost = (0..self.keys.len()).rev().find(|name| {
            let key = &self.keys[*name];
            let owed = key.signed && !self.is_excused_or_revoked(*name, now) && !names.contains(name);
            owed && (key.dies > now || signing(self, *name))
        });
        if let Some(name) = lost {
            let left = (self.keys[name].dies - now) / 1000;
            let text = format!("replica {seat} does not publish k{name}, whose tokens may live for {left} s more");
            self.broken(now, "3 a key stays as long as its tokens", text);
        }
    }
}
