//! The admin listener: `/livez`, `/readyz`, `/metrics`, and a page for people.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use signet_api::Clock;
use signet_core::{Policy, Timestamp};
use warp::{Filter as _, Reply as _};

use crate::clock::rfc3339;
use crate::http::Response;
use crate::http::accept::Handler;
use crate::http::filters::{Filters, into_filters, json};
use crate::remote::Remote;
use crate::snapshot::{Published, Signer, Signs, Snapshot};
use crate::telemetry::metrics::Metrics;

/// One named condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Its name.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Since when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What that means.
    pub detail: String,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    conditions: Vec<Condition>,
}

/// Every condition. Liveness has none: a provider that is down is no reason to restart.
///
/// The ring is too old once another replica may sign with a key that is not in it: such a key is created after the last
/// reading, and signs a lead later, by clocks that may be off by S each.
#[must_use]
pub fn conditions(snapshot: &Snapshot, remote: &Remote, policy: &Policy, now: Timestamp) -> Vec<Condition> {
    let durations = policy.durations();
    let bearable = durations.publish_lead.saturating_sub(durations.clock_skew * 2);
    let age = now.since(snapshot.refreshed_at);
    let whole = Duration::from_secs(age.as_secs());
    let ring = match &snapshot.refresh_failure {
        None => Condition {
            name: "ring",
            ok: true,
            since: None,
            detail: format!("read {} ago", humantime::format_duration(whole)),
        },
        Some(outage) => Condition {
            name: "ring",
            ok: age < bearable,
            since: Some(rfc3339(outage.since)),
            detail: format!(
                "the provider fails, and the ring read {} ago is in use, which is safe up to {}: {}",
                humantime::format_duration(whole),
                humantime::format_duration(bearable),
                outage.reason
            ),
        },
    };
    let signing = match (&snapshot.signer, remote.outage()) {
        // All replicas share the provider: no other would do better, and the rest goes on. So it is told, and no more.
        (
            Ok(Signer {
                signs: Signs::Remote, ..
            }),
            Some(outage),
        ) => Condition {
            name: "signing",
            ok: true,
            since: Some(rfc3339(outage.since)),
            detail: format!("the provider does not sign: {}", outage.reason),
        },
        (Ok(signer), _) => Condition {
            name: "signing",
            ok: true,
            since: None,
            detail: format!("key {} signs", signer.public.kid()),
        },
        (Err(outage), _) => Condition {
            name: "signing",
            ok: false,
            since: Some(rfc3339(outage.since)),
            detail: outage.reason.clone(),
        },
    };
    let count = snapshot.published.len();
    let jwks = Condition {
        name: "jwks",
        ok: count > 0,
        since: None,
        detail: format!("{count} keys are published"),
    };
    let also = snapshot.also_failures.iter().map(|(provider, outage)| Condition {
        name: "also_publish",
        // Its last keys stay published, and nobody else's promise hangs on newer ones for now.
        ok: true,
        since: Some(rfc3339(outage.since)),
        detail: format!(
            "the ring of {provider} cannot be read, and its last keys stay: {}",
            outage.reason
        ),
    });
    [ring, signing, jwks].into_iter().chain(also).collect()
}

/// Answers operators and their machines.
#[derive(Clone)]
pub struct Admin {
    filters: Filters,
}

impl Admin {
    /// Makes the filters.
    #[must_use]
    pub fn new(
        published: Arc<Published>,
        remote: Arc<Remote>,
        policy: Policy,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = move || {
            let snapshot = published.load_full();
            let conditions = conditions(&snapshot, &remote, &policy, clock.now());
            (snapshot, conditions)
        };
        let live = warp::path!("livez").and(warp::get()).map(|| "ok\n".into_response());
        let ready = warp::path!("readyz").and(warp::get()).map({
            let state = state.clone();
            move || readiness(state().1)
        });
        let numbers = warp::path!("metrics").and(warp::get()).map(move || {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            warp::reply::with_header(metrics.text(), "content-type", kind).into_response()
        });
        let page = warp::path::end().and(warp::get()).map(move || {
            let (snapshot, conditions) = state();
            let policy = "default-src 'none'; style-src 'unsafe-inline'";
            warp::reply::with_header(
                warp::reply::html(page(&snapshot, &conditions)),
                "content-security-policy",
                policy,
            )
            .into_response()
        });
        let routes = live.or(ready).unify().or(numbers).unify().or(page).unify().boxed();
        Self {
            filters: into_filters(routes),
        }
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Response {
        (self.filters)(request).await
    }
}

fn readiness(conditions: Vec<Condition>) -> warp::reply::Response {
    let ready = conditions.iter().all(|condition| condition.ok);
    let body = serde_json::to_vec(&Readiness { ready, conditions }).unwrap_or_default();
    let mut response = json(body.into());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem;border-bottom:1px solid #ddd}\
code{font-size:.9em}.ok{color:#176b2c}.bad{color:#b00020;font-weight:bold}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}.ok{color:#7bd88f}\
.bad{color:#ff7a85}}";

fn page(snapshot: &Snapshot, conditions: &[Condition]) -> String {
    let ready = conditions.iter().all(|condition| condition.ok);
    let (class, word) = if ready { ("ok", "ready") } else { ("bad", "not ready") };
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Signet: {word}</title><style>{STYLE}</style>\
         <h1>Signet is <span class={class}>{word}</span></h1><p>Issuer <code>{}</code></p><table>",
        escape(&snapshot.ring.issuer)
    );
    for condition in conditions {
        let (class, word) = if condition.ok { ("ok", "good") } else { ("bad", "bad") };
        let since = condition.since.as_deref().unwrap_or("");
        let _ = write!(
            html,
            "<tr><th>{}<td class={class}>{word}<td>{}<td>{}",
            condition.name,
            escape(since),
            escape(&condition.detail)
        );
    }
    html.push_str(
        "</table><h2>Keys</h2><table><tr><th>Phase<th>Key<th>Algorithm<th>Created<th>Signs from<th>Leaves the JWKS",
    );
    for key in &snapshot.ring.keys {
        let blank = String::new();
        let _ = write!(
            html,
            "<tr><td>{}<td><code>{}</code><td>{}<td>{}<td>{}<td>{}",
            key.phase.as_str(),
            escape(&key.kid),
            key.alg,
            key.created_at,
            key.activates_at.as_ref().unwrap_or(&blank),
            key.expires_at.as_ref().unwrap_or(&blank)
        );
    }
    html.push_str("</table>");
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
