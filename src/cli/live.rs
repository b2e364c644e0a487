//! `signet schedule --live`: the real rings, and when each step of a switch between providers is safe.

use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;
use signet_api::ProviderError;
use signet_base::{Clock, SystemClock, rfc3339};
use signet_core::{Phase, Policy, Timestamp};

use crate::app;
use crate::cli::neighbour::Neighbour;
use crate::cli::{Failure, millis, table, to_json, waits};
use crate::reading::Reading;
use crate::ring_view::AlsoView;
use crate::settings::{Origin, Settings};
use crate::timeline::{Timeline, text};

#[derive(Serialize)]
struct Live {
    now: String,
    /// All rings, the signing one first.
    rings: Vec<AlsoView>,
    switches: Vec<Switch>,
}

/// Moving from the signing ring to one that is also published. The times are right if the last
/// replica takes the step now.
#[derive(Serialize)]
struct Switch {
    from: &'static str,
    to: &'static str,
    /// Whether the other ring has a key to sign with.
    has_keys: bool,
    /// The time from when the last replica publishes the other ring until all verifiers have its
    /// keys: R + max(M, V) + 2S.
    publish_for_ms: u64,
    sign_with_it_from: String,
    /// The time from when the last replica signs with the other ring until the last token of this
    /// ring has expired: T + R + 2S.
    keep_for_ms: u64,
    remove_the_first_from: String,
}

pub(super) async fn live(settings: &Settings, json: bool) -> Result<String, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let neighbour = Neighbour::ask(settings).await;
    let from = read(settings, &settings.origin, &clock, json).await?;
    let agrees = neighbour.map_or(Ok(()), |neighbour| neighbour.agrees(from.records()));
    let mut others = Vec::new();
    for origin in &settings.also {
        others.push(read(settings, origin, &clock, json).await?);
    }
    let (policy, now) = (&settings.policy, clock.now());
    let view = |ring: &Reading| AlsoView::new(ring.provider(), ring.records(), &ring.schedule(policy, now));
    let live = Live {
        now: rfc3339(now),
        switches: others.iter().map(|to| switch(&from, to, policy, now)).collect(),
        rings: [&from].into_iter().chain(&others).map(view).collect(),
    };
    let answer = if json { to_json(&live) } else { drawn(live, policy, now) };
    match agrees {
        Ok(()) => Ok(answer),
        Err(failure) => Err(Failure { answer, ..failure }),
    }
}

fn drawn(live: Live, policy: &Policy, now: Timestamp) -> String {
    let picture = live.rings.split_first().map(|(signing, also)| {
        let timeline = Timeline::of_rings(signing.provider, &signing.keys, also, policy, now);
        text::draw(&timeline, true)
    });
    as_text(live, &picture.unwrap_or_default())
}

/// Reads the ring. A ring that does not exist yet is empty and is not created.
async fn read(
    settings: &Settings,
    origin: &Origin,
    clock: &Arc<dyn Clock>,
    json: bool,
) -> Result<Reading, ProviderError> {
    if app::is_untouched(settings, origin).await {
        return Ok(Reading::new(origin.provider.as_str(), Vec::new(), clock.now()));
    }
    let provider = waits::report_slow_calls(app::look(settings, origin, Arc::clone(clock)).await?, json);
    Reading::open(&*provider, &**clock).await
}

fn switch(from: &Reading, to: &Reading, policy: &Policy, now: Timestamp) -> Switch {
    let durations = policy.durations();
    let publish_for = durations.least_lead();
    // A key may have been created with a longer maximum lifetime of tokens than the policy has now.
    let bound = from.records().iter().filter_map(|key| key.terms);
    let longest = bound.map(|terms| terms.token_max_ttl).max().unwrap_or_default();
    let longer = longest.saturating_sub(durations.token_max_ttl);
    let keep_for = policy.terms().retention + longer;
    let signs = |phase| matches!(phase, Phase::Active | Phase::Pending);
    let newest = to
        .schedule(policy, now)
        .keys
        .iter()
        .filter(|key| signs(key.phase))
        .filter_map(|key| to.records().iter().find(|record| *record.kid() == key.kid))
        .map(|record| record.created_at)
        .max();
    let publish_from = newest.map_or(now, |created| created.max(now));
    Switch {
        from: from.provider(),
        to: to.provider(),
        has_keys: newest.is_some(),
        publish_for_ms: millis(publish_for),
        sign_with_it_from: rfc3339(publish_from.plus(publish_for)),
        keep_for_ms: millis(keep_for),
        remove_the_first_from: rfc3339(now.plus(keep_for)),
    }
}

fn as_text(live: Live, picture: &str) -> String {
    let heading = [
        "PROVIDER",
        "PHASE",
        "KID",
        "CREATED",
        "SIGNS FROM",
        "UNTIL",
        "LEAVES THE JWKS",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let dash = || "-".to_owned();
    for ring in live.rings {
        rows.extend(ring.keys.into_iter().map(|key| {
            vec![
                ring.provider.to_owned(),
                key.phase.as_str().to_owned(),
                key.kid,
                key.created_at,
                key.activates_at.unwrap_or_else(dash),
                key.superseded_at.unwrap_or_else(dash),
                key.expires_at.unwrap_or_else(dash),
            ]
        }));
    }
    let mut text = format!("Now: {}\n\n{picture}\n{}", live.now, table(&rows));
    for switch in live.switches {
        let Switch { from, to, .. } = switch;
        let span = |ms| format_duration(Duration::from_millis(ms)).to_string();
        text.push_str(&format!("\nFrom {from} to {to}:\n"));
        if !switch.has_keys {
            text.push_str(&format!(
                "  {to} has no key yet. Create its first one with `SIGNET_PROVIDER={to} signet keys rotate`, then \
                 run this command again.\n"
            ));
            continue;
        }
        text.push_str(&format!(
            "  1. Start all replicas with SIGNET_ALSO_PUBLISH={to}. Every verifier has the keys of {to} {} later.\n  \
                If the last replica starts now, switch at {}: set SIGNET_PROVIDER={to} and \
             SIGNET_ALSO_PUBLISH={from}.\n  2. The last token of {from} expires {} after the last \
             replica was started with these two settings.\n     If that is now, you can remove \
             SIGNET_ALSO_PUBLISH={from} at {}.\n",
            span(switch.publish_for_ms),
            switch.sign_with_it_from,
            span(switch.keep_for_ms),
            switch.remove_the_first_from,
        ));
    }
    text
}
