//! `signet schedule`: the timeline under a policy. A policy that is refused is reported when the settings are read.

use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;

use crate::cli::{millis, table, to_json};
use crate::settings::Settings;
use crate::timeline::{Timeline, text};

/// How many keys to show.
const KEYS: u32 = 4;

/// The life of one key. All times count from the creation of the first key.
#[derive(Serialize)]
struct Life {
    key: u32,
    published_at_ms: u64,
    signs_from_ms: u64,
    superseded_at_ms: u64,
    leaves_jwks_at_ms: u64,
}

pub(super) fn schedule(settings: &Settings, json: bool) -> String {
    let policy = &settings.policy;
    let terms = policy.terms();
    let period = policy.successor_after() + terms.lead;
    let lives: Vec<Life> = (0..KEYS)
        .map(|key| {
            let signs_from = period * key;
            Life {
                key: key + 1,
                // The first key of a ring signs at once.
                published_at_ms: millis(signs_from.saturating_sub(terms.lead)),
                signs_from_ms: millis(signs_from),
                superseded_at_ms: millis(signs_from + period),
                leaves_jwks_at_ms: millis(signs_from + period + terms.retention),
            }
        })
        .collect();
    if json {
        return to_json(&lives);
    }
    let after = |ms: u64| format!("+{}", format_duration(Duration::from_millis(ms)));
    let heading = ["KEY", "PUBLISHED", "SIGNS FROM", "UNTIL", "LEAVES THE JWKS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(lives.iter().map(|life| {
        vec![
            life.key.to_string(),
            after(life.published_at_ms),
            after(life.signs_from_ms),
            after(life.superseded_at_ms),
            after(life.leaves_jwks_at_ms),
        ]
    }));
    let durations = policy.durations();
    format!(
        "A ring that is created now:\n\n{}\n{}\nA key is published {} before it signs. At least {} is needed = \
         refresh interval {} + the longer of max-age {} and verifier cache {} + 2 × clock skew {}.\nA key \
         stays published for {} after its last signature = longest token lifetime {} + refresh interval {} + \
         2 × clock skew {}.\n",
        text::draw(&Timeline::of_policy(policy), false),
        table(&rows),
        format_duration(terms.lead),
        format_duration(durations.least_lead()),
        format_duration(durations.refresh_interval),
        format_duration(durations.jwks_max_age),
        format_duration(durations.verifier_cache),
        format_duration(durations.clock_skew),
        format_duration(terms.retention),
        format_duration(durations.token_max_ttl),
        format_duration(durations.refresh_interval),
        format_duration(durations.clock_skew),
    )
}
