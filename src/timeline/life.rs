//! The times in a key's life, and what follows from them: its bar, and the next events.

use signet_core::{Phase, Policy, Timestamp};

use super::{Bar, Coming, Stretch, short};
use crate::ring_view::{KeyView, instant};

/// A key, created or planned.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) name: String,
    alg: &'static str,
    /// `None` if the key is not created yet.
    phase: Option<Phase>,
    pub(super) published_at: Timestamp,
    signs_from: Option<Timestamp>,
    superseded_at: Option<Timestamp>,
    pub(super) leaves_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    /// Since when the next key is due. Until it is created, nobody knows when it will sign.
    due_since: Option<Timestamp>,
}

impl Life {
    /// A key that follows the policy from its first signature on. The first key of a ring does not wait, which here
    /// means a creation before the epoch.
    pub(super) fn planned(name: String, signs_from: Timestamp, policy: &Policy) -> Self {
        let terms = policy.terms();
        let superseded_at = signs_from.plus(policy.durations().rotation_period);
        Self {
            name,
            alg: policy.algorithm().as_str(),
            phase: None,
            published_at: signs_from.minus(terms.lead).max(Timestamp::from_millis(0)),
            signs_from: Some(signs_from),
            superseded_at: Some(superseded_at),
            leaves_at: Some(superseded_at.plus(terms.retention)),
            revoked_at: None,
            due_since: None,
        }
    }

    /// Whether the key is drawn. Keys that are not published are only listed, but a revoked key must be visible.
    pub(super) fn is_drawn(&self) -> bool {
        self.phase != Some(Phase::Expired)
    }

    fn is_good(&self) -> bool {
        self.is_drawn() && self.revoked_at.is_none()
    }

    pub(super) fn bar(&self, from: Timestamp, to: Timestamp) -> Bar {
        let end = self.revoked_at.unwrap_or(to).min(to);
        let superseded = self.superseded_at.unwrap_or(end);
        // A key may be superseded before it ever signed.
        let signs = self.signs_from.unwrap_or(end).min(superseded);
        let leaves = self.leaves_at.unwrap_or(end);
        let stretches = [
            (Phase::Pending, self.published_at, signs),
            (Phase::Active, signs, superseded),
            (Phase::Retiring, superseded, leaves),
        ];
        let within = |(phase, begin, stop): (Phase, Timestamp, Timestamp)| Stretch {
            phase,
            from: begin.max(from),
            to: stop.min(end),
        };
        Bar {
            name: self.name.clone(),
            phase: self.phase,
            stretches: stretches
                .map(within)
                .into_iter()
                .filter(|stretch| stretch.from < stretch.to)
                .collect(),
            revoked_at: self.revoked_at,
        }
    }
}

/// The lives of the keys in this view of the ring.
pub(super) fn of_keys(keys: &[KeyView], now: Timestamp) -> Vec<Life> {
    keys.iter()
        .map(|key| {
            let signs_from = key.activates_at.as_deref().map(instant);
            Life {
                name: short(&key.kid),
                alg: key.alg,
                phase: Some(key.phase),
                published_at: instant(&key.created_at),
                // A key may already sign before its own activation time, because no other key could.
                signs_from: match key.phase {
                    Phase::Active => Some(signs_from.map_or(now, |at| at.min(now))),
                    _ => signs_from,
                },
                superseded_at: key.superseded_at.as_deref().map(instant),
                leaves_at: key.expires_at.as_deref().map(instant),
                revoked_at: key.revoked.as_ref().map(|revoked| instant(&revoked.at)),
                due_since: None,
            }
        })
        .collect()
}

/// Adds the key that is not created yet, and its effects on the newest one.
pub(super) fn plan_the_next(lives: &mut Vec<Life>, policy: &Policy, now: Timestamp) {
    let terms = policy.terms();
    let serves = |life: &&mut Life| matches!(life.phase, Some(Phase::Active | Phase::Pending));
    let Some(newest) = lives.iter_mut().rfind(serves) else {
        // The ring is empty, or all its keys are revoked. The next key signs at once.
        let mut next = Life::planned("next key".to_owned(), now, policy);
        next.published_at = now;
        next.due_since = Some(lives.iter().filter_map(|life| life.revoked_at).max().unwrap_or(now));
        lives.push(next);
        return;
    };
    let begins = newest.signs_from.unwrap_or(newest.published_at);
    let (due_at, is_due) = match newest.alg == policy.algorithm().as_str() {
        true => (
            begins.plus(policy.successor_after()),
            begins.plus(policy.successor_after()) < now,
        ),
        // The key is due as soon as this one signs. Nobody knows since when the policy has another algorithm.
        false => (begins.max(now), begins <= now),
    };
    let due_since = is_due.then_some(due_at);
    // If it is overdue, its lead still starts now.
    let takes_over = due_at.max(now).plus(terms.lead);
    newest.superseded_at = Some(takes_over);
    newest.leaves_at = Some(takes_over.plus(terms.retention));
    newest.due_since = due_since;
    lives.push(Life {
        due_since,
        ..Life::planned("next key".to_owned(), takes_over, policy)
    });
}

/// What these keys will do, soonest first.
pub(super) fn coming(lives: &[Life], now: Timestamp) -> Vec<Coming> {
    let mut coming: Vec<Coming> = leaving(lives, now).collect();
    for life in lives.iter().filter(|life| life.is_good()) {
        let Life { name, .. } = life;
        if let Some(since) = life.due_since {
            // Its later events would move each time that the page is loaded, so they are left out.
            if life.phase.is_none() {
                coming.push(Coming {
                    at: since,
                    is_due: true,
                    what: format!("{name} is created and published as soon as the provider allows it"),
                });
            }
            continue;
        }
        if life.phase.is_none() && life.published_at >= now {
            coming.push(Coming {
                at: life.published_at,
                is_due: false,
                what: format!("{name} is created and published"),
            });
        }
        let Some(at) = life.signs_from.filter(|at| *at > now || life.phase.is_none()) else {
            continue;
        };
        let before = lives
            .iter()
            .find(|before| before.is_good() && before.superseded_at == Some(at));
        coming.push(Coming {
            at,
            is_due: false,
            what: match before {
                Some(before) => format!("{name} signs, {} retires", before.name),
                None => format!("{name} signs"),
            },
        });
    }
    // After its activation, a planned key has no events that should be shown. The sort keeps the order of equal times.
    coming.sort_by_key(|coming| coming.at);
    coming
}

/// Which of the keys leave the JWKS, and when. Planned keys are left out, because that is too far away.
pub(super) fn leaving(lives: &[Life], now: Timestamp) -> impl Iterator<Item = Coming> {
    let leaves = lives
        .iter()
        .filter(move |life| life.is_good() && life.due_since.is_none());
    leaves.filter_map(move |life| {
        life.leaves_at.filter(|at| *at > now).map(|at| Coming {
            at,
            is_due: false,
            what: format!("{} leaves the JWKS", life.name),
        })
    })
}
