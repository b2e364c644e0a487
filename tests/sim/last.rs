//! What must hold at the end, when all trouble is over, and by when a revoked key must be gone.

use signet_core::Phase;

use crate::plan::Plan;
use crate::sky::{MINUTE, Ms, ms};
use crate::witness::{State, Witness};

/// Checks that a revoked key is gone from all replicas that can reach the provider, and that something else signs.
pub(crate) fn judge_gone(witness: &Witness, now: Ms, name: usize) {
    let mut state = witness.state();
    let Some(revoked) = state.keys[name].revoked else {
        return;
    };
    let terms = state.terms;
    // After an outage, a replica may wait up to R, and its breaker half a minute.
    let since = revoked - terms.refresh - MINUTE;
    for seat in 0..state.seats.len() {
        let Some(live) = &state.seats[seat].live else { continue };
        let Some(view) = &live.view else { continue };
        let cut_off = !state.weather.is_calm(seat, since, now);
        // A replica that was stopped reads when it continues.
        if cut_off || live.started > since || view_is_young(&state, seat, revoked) || live.gate.is_stopped() {
            continue;
        }
        let uses = view.names.contains(&name) || view.active == Some(name);
        let silent = view.active.is_none();
        let what = if uses {
            "still uses k"
        } else {
            "signs with nothing after the revocation of k"
        };
        if uses || silent {
            let text = format!(
                "replica {seat} {what}{name}, {} s after it was revoked",
                (now - revoked) / 1000
            );
            state.broken(now, "8 a revoked key is gone within the bound", text);
            return;
        }
    }
    state.trace.line(now, format_args!("k{name} is gone everywhere"));
}

fn view_is_young(state: &State, seat: usize, revoked: Ms) -> bool {
    state.seats[seat].resumed.is_some_and(|at| at > revoked)
}

/// Checks that all is well again and nothing is left over.
pub(crate) fn judge(witness: &Witness, now: Ms, plan: &Plan) {
    let mut state = witness.state();
    let mut common: Option<(usize, Vec<usize>)> = None;
    for seat in 0..state.seats.len() {
        let Some(live) = &state.seats[seat].live else { continue };
        let Some(view) = live.view.as_ref().filter(|_| state.seats[seat].is_ready(now)) else {
            state.broken(
                now,
                "5 all is well when trouble is over",
                format!("replica {seat} is not ready"),
            );
            return;
        };
        let Some(active) = view.active else { continue };
        let age = now - state.keys[active].born;
        let longest = |span: fn(&signet_core::Policy) -> Ms| plan.policies.iter().map(span).max().unwrap_or(0);
        let (period, lead) = (
            longest(|policy| ms(policy.durations().rotation_period)),
            longest(|policy| ms(policy.terms().lead)),
        );
        if age > period + 2 * lead + 2 * state.terms.skew + MINUTE {
            let text = format!("replica {seat} signs with k{active}, made {} h ago", age / 3_600_000);
            state.broken(now, "5 all is well when trouble is over", text);
            return;
        }
        let ring = live.config.ring;
        common.get_or_insert_with(|| (ring, view.names.to_vec()));
    }
    judge_orphans(&mut state, now, plan, common);
}

/// Checks that the fleet publishes each key that is enabled in the provider.
fn judge_orphans(state: &mut State, now: Ms, plan: &Plan, common: Option<(usize, Vec<usize>)>) {
    let (Some((ring, published)), true) = (common, plan.expired_keys.is_some()) else {
        return;
    };
    // How long a replica must have seen a key as expired before it erases it.
    let patience = state.terms.refresh + state.terms.hold + 2 * state.terms.skew;
    let left = (0..state.keys.len()).find(|name| {
        let key = &state.keys[*name];
        key.ring == ring && !key.retired && key.revoked.is_none() && !published.contains(name)
            // The key may have been created, or have expired, a moment ago.
            && now - key.born.max(key.dies) > patience + 2 * state.terms.refresh + 4 * state.terms.skew + MINUTE
    });
    if let Some(name) = left {
        state.broken(
            now,
            "7 no orphans",
            format!("k{name} is enabled, and nobody publishes or retires it"),
        );
    }
    let expired = state
        .seats
        .iter()
        .filter_map(|seat| seat.live.as_ref()?.snapshot.as_ref());
    let waiting = expired
        .map(|snapshot| snapshot.count(Phase::Pending))
        .max()
        .unwrap_or(0);
    if waiting > 1 && state.terms.claim == signet_api::Claim::Atomic {
        state.broken(now, "7 no orphans", format!("{waiting} keys wait to sign"));
    }
}
