//! `signet keys`: talks to the provider directly, so that it works when no sidecar runs.
//!
//! What changes the ring is logged as an audit event: who, when, what, why.

use std::sync::Arc;

use clap::ArgMatches;
use serde_json::json;
use signet_api::{Clock, KeyProvider, NewKey};
use signet_core::schedule::Due;
use signet_core::{KeyRecord, Kid, Phase, Revocation, Schedule, schedule};
use tracing::info;

use crate::app;
use crate::cli::{Failure, is_json, table, to_json};
use crate::clock::{SystemClock, rfc3339};
use crate::ring_view::RingView;
use crate::settings::Settings;

pub(super) async fn keys(settings: &Settings, verb: &str, args: &ArgMatches) -> Result<String, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let provider = app::open_guarded(settings, &settings.origin, Arc::clone(&clock), Arc::default()).await?;
    let ring = Ring {
        provider,
        settings,
        clock,
    };
    let reason = || args.get_one::<String>("reason").map_or("", String::as_str);
    match verb {
        "list" => ring.list(is_json(args)).await,
        "rotate" => ring.rotate(reason(), is_json(args)).await,
        "revoke" => {
            let kid = args.get_one::<String>("kid").map_or("", String::as_str);
            ring.revoke(&Kid::new(kid), reason(), is_json(args)).await
        }
        _ => ring.prune(is_json(args)).await,
    }
}

struct Ring<'a> {
    provider: Arc<dyn KeyProvider>,
    settings: &'a Settings,
    clock: Arc<dyn Clock>,
}

impl Ring<'_> {
    async fn read(&self) -> Result<(Vec<KeyRecord>, Schedule), Failure> {
        let records = self.provider.list().await?;
        let schedule = schedule(&records, &self.settings.policy, self.clock.now());
        Ok((records, schedule))
    }

    async fn create_next(&self, schedule: &Schedule) -> Result<KeyRecord, Failure> {
        let newest = schedule.keys.last().map(|key| key.kid.clone());
        let new = NewKey::under(&self.settings.policy, self.settings.rsa_bits, newest);
        Ok(self.provider.create(&new).await?)
    }

    async fn list(&self, json: bool) -> Result<String, Failure> {
        let (records, schedule) = self.read().await?;
        let view = RingView::new(&self.settings.issuer, &self.settings.policy, &records, &schedule);
        if json {
            return Ok(to_json(&view));
        }
        let heading = ["PHASE", "KID", "ALG", "CREATED", "SIGNS FROM", "LEAVES THE JWKS"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        let dash = || "-".to_owned();
        rows.extend(view.keys.into_iter().map(|key| {
            vec![
                key.phase.as_str().to_owned(),
                key.kid,
                key.alg.to_owned(),
                key.created_at,
                key.activates_at.unwrap_or_else(dash),
                key.expires_at.unwrap_or_else(dash),
            ]
        }));
        Ok(table(&rows))
    }

    async fn rotate(&self, reason: &str, json: bool) -> Result<String, Failure> {
        let (_, schedule) = self.read().await?;
        if let Some(pending) = schedule.keys.iter().find(|key| key.phase == Phase::Pending) {
            let at = pending.activates_at.map(rfc3339).unwrap_or_default();
            return Err(Failure::usage(format!(
                "the next key, {}, waits already and signs from {at}; wait for that, or revoke the active key if it \
                 is compromised",
                pending.kid
            )));
        }
        let key = self.create_next(&schedule).await?;
        let (_, schedule) = self.read().await?;
        let at = schedule
            .keys
            .iter()
            .find(|scheduled| scheduled.kid == *key.kid())
            .and_then(|key| key.activates_at);
        let at = at.map(rfc3339).unwrap_or_default();
        audit("rotate", key.kid(), reason);
        if json {
            return Ok(to_json(&json!({ "kid": key.kid().as_str(), "activates_at": at })));
        }
        Ok(format!(
            "created {}; it is published now and signs from {at}\n",
            key.kid()
        ))
    }

    async fn revoke(&self, kid: &Kid, reason: &str, json: bool) -> Result<String, Failure> {
        let revocation = Revocation {
            at: self.clock.now(),
            reason: reason.to_owned(),
        };
        self.provider.revoke(kid, &revocation).await?;
        audit("revoke", kid, reason);
        // If nothing else can sign, the successor is made here: no sidecar needs to be running for it.
        let (_, schedule) = self.read().await?;
        let mut successor = None;
        if schedule.active().is_none() && schedule.due.iter().any(|due| matches!(due, Due::Successor { .. })) {
            let key = self.create_next(&schedule).await?;
            audit("create", key.kid(), "successor of a revoked key");
            successor = Some(key.kid().clone());
        }
        let durations = self.settings.policy.durations();
        let bound = humantime::format_duration(durations.refresh_interval + durations.clock_skew);
        let cached = humantime::format_duration(durations.jwks_max_age.max(durations.verifier_cache));
        if json {
            let successor = successor.as_ref().map(Kid::as_str);
            return Ok(to_json(
                &json!({ "revoked": kid.as_str(), "successor": successor, "bound": bound.to_string() }),
            ));
        }
        let mut text = format!(
            "revoked {kid}; every sidecar refuses it within {bound}, and services that keep the JWKS themselves within \
             {cached} more\n"
        );
        if let Some(successor) = successor {
            text.push_str(&format!("created {successor}; it signs at once\n"));
        }
        Ok(text)
    }

    async fn prune(&self, json: bool) -> Result<String, Failure> {
        let pruned = self.provider.prune().await?;
        for what in &pruned {
            info!(target: "audit", action = "prune", what, uid = uid(), "audit");
        }
        if json {
            return Ok(to_json(&json!({ "pruned": pruned })));
        }
        let mut text: String = pruned.iter().map(|what| format!("removed {what}\n")).collect();
        if text.is_empty() {
            text.push_str("nothing to remove\n");
        }
        Ok(text)
    }
}

fn audit(action: &str, kid: &Kid, reason: &str) {
    info!(target: "audit", action, %kid, reason, uid = uid(), "audit");
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}
