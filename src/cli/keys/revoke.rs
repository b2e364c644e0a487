//! `signet keys revoke`: marks the key in the provider, which revokes it.
//!
//! A later failure does not stop the other steps: the successor is still created, the sidecar on this machine is
//! notified, and the command reports what was done and what was not.

use serde_json::{Value, json};
use signet_core::schedule::Due;
use signet_core::{Kid, Revocation, Schedule};

use super::audit::Act;
use super::{CommandTarget, OpenRing};
use crate::cli::{Failure, sidecar, to_json};

const DISABLING: &str = "disabling it at the provider";
const READING: &str = "reading the ring";
const CREATING: &str = "creating its successor";

/// A step after the revocation that failed.
struct Undone {
    step: &'static str,
    failure: Failure,
}

pub(super) async fn revoke(target: &CommandTarget<'_>, kid: &Kid, reason: &str, json: bool) -> Result<String, Failure> {
    let settings = target.settings;
    let act = Act::attempt(settings, "revoke", Some(kid), reason);
    let ring = OpenRing::open(target, json)
        .await
        .map_err(|failure| act.failed(failure))?;
    let agrees = ring.agrees(Some(kid)).await;
    agrees.map_err(|failure| act.failed(failure))?;
    let revocation = Revocation {
        at: ring.clock.now(),
        reason: reason.to_owned(),
    };
    let mut undone = Vec::new();
    match ring.provider.revoke(kid, &revocation).await {
        Ok(()) => act.done(Some(kid)),
        Err(error) => {
            let failure = Failure::from(error);
            if !has_mark(&ring, kid).await {
                return Err(act.failed(failure));
            }
            act.done_but(DISABLING, &failure);
            undone.push(Undone {
                step: DISABLING,
                failure,
            });
        }
    }
    let mut successor = None;
    let mut read = ring.read().await;
    if let Ok((_, schedule)) = &read {
        match successor_if_nothing_signs(&ring, schedule).await {
            Ok(None) => {}
            Ok(made) => {
                successor = made;
                // The ring has a new key now, so it is read again.
                read = ring.read().await;
            }
            Err(failed) => undone.push(failed),
        }
    }
    let signs_now = read
        .as_ref()
        .ok()
        .and_then(|(_, schedule)| schedule.active())
        .map(|key| key.kid.as_str());
    let follow = sidecar::notify_and_wait(settings, |ring| {
        let has_next = successor
            .as_ref()
            .is_none_or(|next| sidecar::has_key(ring, next.as_str(), None));
        // A key that the ring has forgotten counts as revoked.
        has_next
            && (sidecar::has_key(ring, kid.as_str(), Some("revoked")) || !sidecar::has_key(ring, kid.as_str(), None))
    })
    .await;
    let durations = settings.policy.durations();
    let bound = humantime::format_duration(durations.refresh_interval + durations.clock_skew).to_string();
    let cached = humantime::format_duration(durations.jwks_max_age.max(durations.verifier_cache));
    let mut text = format!(
        "revoked {kid}; all sidecars that reach the provider refuse it within {bound}, and services that cache the \
         JWKS within another {cached}. A sidecar that cannot reach the provider accepts the key until it \
         can\n"
    );
    if let Some(successor) = &successor {
        text.push_str(&format!("created {successor}; it signs at once\n"));
    }
    match (&read, signs_now) {
        (_, Some(kid)) => text.push_str(&format!("{kid} signs now\n")),
        (Ok(_), None) => {
            text.push_str("no key signs now: a sidecar creates the next key, or you do with `signet keys rotate`\n");
        }
        (Err(_), None) => {}
    }
    text.push_str(&follow.text(settings));
    let signs_now = signs_now.map(str::to_owned);
    if let Err(failure) = read {
        undone.push(Undone { step: READING, failure });
    }
    if json {
        let failed: Vec<Value> = undone
            .iter()
            .map(|undone| json!({"step": undone.step, "error": undone.failure.text}))
            .collect();
        text = to_json(&json!({
            "revoked": kid.as_str(), "successor": successor.as_ref().map(Kid::as_str), "bound": bound,
            "signs_now": signs_now, "sidecar": follow, "failed": failed,
        }));
    }
    match undone.first() {
        None => Ok(text),
        Some(first) => Err(Failure {
            code: first.failure.code,
            text: half_done(kid, &bound, &undone),
            answer: text,
        }),
    }
}

/// Whether the ring says that the key is revoked. `false` if it cannot be read.
async fn has_mark(ring: &OpenRing<'_>, kid: &Kid) -> bool {
    let records = ring.provider.list().await.unwrap_or_default();
    let record = records.iter().find(|record| record.kid() == kid);
    record.is_some_and(|record| record.revoked.is_some())
}

/// Creates the successor here if nothing else can sign, because no sidecar may be running.
async fn successor_if_nothing_signs(ring: &OpenRing<'_>, schedule: &Schedule) -> Result<Option<Kid>, Undone> {
    let nothing_signs = |due: &Due| matches!(due, Due::Successor { reason, .. } if reason.is_urgent());
    if !schedule.due.iter().any(nothing_signs) {
        return Ok(None);
    }
    let act = Act::attempt(ring.settings, "create", None, "successor of a revoked key");
    let made = ring.create_next(schedule).await;
    let key = made.map_err(|failure| Undone {
        step: CREATING,
        failure: act.failed(failure),
    })?;
    act.done(Some(key.kid()));
    Ok(Some(key.kid().clone()))
}

fn half_done(kid: &Kid, bound: &str, undone: &[Undone]) -> String {
    let steps: Vec<String> = undone
        .iter()
        .map(|Undone { step, failure }| format!("{step} failed: {}", failure.text.trim_end_matches('.')))
        .collect();
    format!(
        "{kid} is revoked, and all sidecars that reach the provider refuse it within {bound}, but {}. Correct that and \
         run the command again: it does the remaining steps",
        steps.join("; and ")
    )
}
