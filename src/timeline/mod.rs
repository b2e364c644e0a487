//! Keys as bars over time, and the next events: the layout that `signet schedule` and the status page share.
//!
//! It knows no characters, colours or clocks, only which phase each key has at which time, including the key
//! that is not created yet. The entry points are [`Timeline::of_policy`] and [`Timeline::of_rings`];
//! [`text`] draws for a terminal.

mod life;
pub mod text;

use std::time::Duration;

use signet_base::brief;
use signet_core::{Phase, Policy, Timestamp};

use crate::ring_view::{AlsoView, KeyView};
use life::Life;

/// The maximum number of keys to draw for a policy.
const MOST_KEYS: u32 = 6;
/// The maximum number of marks on the axis.
const MOST_TICKS: u128 = 6;

/// One key over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The name in the picture: the first characters of the kid, or a description of a planned key.
    pub name: String,
    /// The phase of the key now. `None` if it is not created yet.
    pub phase: Option<Phase>,
    /// The phases within the window, in order. Empty ones are left out.
    pub stretches: Vec<Stretch>,
    /// When the key was revoked, which ended its last phase.
    pub revoked_at: Option<Timestamp>,
}

/// A phase of a key, cut to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The phase: pending, active or retiring.
    pub phase: Phase,
    /// The beginning of the phase.
    pub from: Timestamp,
    /// The end of the phase.
    pub to: Timestamp,
}

/// The bars of one ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The provider, if there are several rings. The first lane is that of the signing ring.
    pub provider: Option<&'static str>,
    /// The keys of the ring, oldest first.
    pub bars: Vec<Bar>,
}

/// An event that will happen by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coming {
    /// When the event will happen. If it is already due, since when.
    pub at: Timestamp,
    /// Whether the event should have happened already and waits for the provider.
    pub is_due: bool,
    /// A description: a sentence without its full stop.
    pub what: String,
}

/// The picture: lanes of bars on one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The time of the mark.
    pub now: Timestamp,
    /// The beginning of the axis.
    pub from: Timestamp,
    /// The end of the axis.
    pub to: Timestamp,
    /// The signing ring, then those that are also published.
    pub lanes: Vec<Lane>,
    /// Coming events, soonest first.
    pub coming: Vec<Coming>,
}

impl Timeline {
    /// The first two periods of a new ring that is created at time 0.
    #[must_use]
    pub fn of_policy(policy: &Policy) -> Self {
        let (now, terms) = (Timestamp::from_millis(0), policy.terms());
        let period = policy.durations().rotation_period;
        let to = now.plus(period * 2).plus(terms.retention);
        let lives: Vec<Life> = (0..MOST_KEYS)
            .map(|index| Life::planned(format!("key {}", index + 1), now.plus(period * index), policy))
            .take_while(|life| life.published_at < to)
            .collect();
        let mut coming = life::coming(&lives, now);
        coming.retain(|coming| coming.at <= to);
        Self::new(now, now, to, vec![(None, lives)], coming)
    }

    /// The current rings, with the next key of the signing ring.
    #[must_use]
    pub fn of_rings(
        provider: &'static str,
        keys: &[KeyView],
        also: &[AlsoView],
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let terms = policy.terms();
        let mut signing = life::of_keys(keys, now);
        life::plan_the_next(&mut signing, policy, now);
        let mut coming = life::coming(&signing, now);
        let mut lanes = vec![((!also.is_empty()).then_some(provider), signing)];
        for ring in also {
            let lives = life::of_keys(&ring.keys, now);
            let leave = life::leaving(&lives, now);
            coming.extend(leave.map(|leave| Coming {
                what: format!("{} ({})", leave.what, ring.provider),
                ..leave
            }));
            lanes.push((Some(ring.provider), lives));
        }
        coming.sort_by_key(|coming| coming.at);

        let back = policy.durations().rotation_period.saturating_add(terms.retention);
        let drawn = || lanes.iter().flat_map(|(_, lives)| lives).filter(|life| life.is_drawn());
        let earliest = drawn().map(|life| life.published_at).min().unwrap_or(now);
        let latest = drawn().filter_map(|life| life.leaves_at).max().unwrap_or(now);
        // A key that nobody rotates, or one that was revoked long ago, must not squeeze the rest into a corner.
        let from = earliest.min(now).max(now.minus(back));
        let to = latest.max(now.plus(terms.lead)).min(now.plus(back).plus(terms.lead));
        Self::new(now, from, to, lanes, coming)
    }

    fn new(
        now: Timestamp,
        from: Timestamp,
        to: Timestamp,
        lanes: Vec<(Option<&'static str>, Vec<Life>)>,
        coming: Vec<Coming>,
    ) -> Self {
        let lanes = lanes
            .into_iter()
            .map(|(provider, lives)| Lane {
                provider,
                bars: lives
                    .iter()
                    .filter(|life| life.is_drawn())
                    .map(|life| life.bar(from, to))
                    .filter(|bar| !bar.stretches.is_empty() || bar.revoked_at.is_some_and(|at| at >= from))
                    .collect(),
            })
            .collect();
        Self {
            now,
            from,
            to,
            lanes,
            coming,
        }
    }

    /// How far away the event is, in words.
    #[must_use]
    pub fn when(&self, coming: &Coming) -> String {
        let (late, left) = (self.now.since(coming.at), coming.at.since(self.now));
        match coming.is_due {
            true if late.is_zero() => "due".to_owned(),
            true => format!("due for {}", brief(late)),
            false if left.is_zero() => "now".to_owned(),
            false => format!("in {}", brief(left)),
        }
    }

    /// The position of an instant on the axis, from 0 to 1.
    #[must_use]
    pub fn position(&self, at: Timestamp) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64();
        if whole == 0.0 {
            return 0.0;
        }
        (at.since(self.from).as_secs_f64() / whole).clamp(0.0, 1.0)
    }

    /// Marks at round distances from now, on both sides. Now itself is not one of them.
    #[must_use]
    pub fn ticks(&self) -> Vec<(Timestamp, String)> {
        let step = step(self.to.since(self.from));
        let side = |limit: Duration| (1_u32..).map(move |n| step * n).take_while(move |span| *span <= limit);
        let before = side(self.now.since(self.from)).map(|span| (self.now.minus(span), format!("-{}", brief(span))));
        let after = side(self.to.since(self.now)).map(|span| (self.now.plus(span), format!("+{}", brief(span))));
        let mut before: Vec<_> = before.collect();
        before.reverse();
        before.into_iter().chain(after).collect()
    }
}

/// The smallest round distance that gives few marks.
fn step(whole: Duration) -> Duration {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let fine = [1, 2, 5, 10, 15, 30];
    let round = fine
        .into_iter()
        .chain(fine.map(|n| n * MINUTE))
        .chain([1, 2, 3, 6, 12].map(|n| n * HOUR))
        .chain([1, 2, 7, 14, 30, 90, 180, 360].map(|n| n * DAY));
    let fits = |seconds: &u64| whole.as_millis() / u128::from(seconds * 1000) <= MOST_TICKS;
    Duration::from_secs(round.into_iter().find(fits).unwrap_or(1800 * DAY))
}

/// The beginning of a kid, enough to distinguish the keys of one ring at a glance.
#[must_use]
pub fn short(kid: &str) -> String {
    kid.chars().take(8).collect()
}

#[cfg(test)]
mod tests;
