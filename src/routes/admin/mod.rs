//! The admin listener: `/livez`, `/readyz`, `/metrics`, and a status page for people.

mod advice;
mod combined;
mod html;
mod page;
mod picture;

use std::sync::{Arc, OnceLock};

use http::{Request, StatusCode};
use signet_base::{Clock, Moment};
use signet_core::{Issuer, Policy};
use signet_edge::Handler;
use signet_edge::body::Arriving;
use warp::{Filter as _, Reply as _};

use crate::conditions::Report;
use crate::filters::{Filters, into_filters, json, refusal};
use crate::http::{Response, Streamed};
use crate::problems;
use crate::published::Published;
use crate::readiness::Readiness;
use crate::ring_view::RingView;
use crate::routes::head::{self, read};
use crate::telemetry::metrics::Metrics;
use page::Page;

/// Nothing may be loaded or run, and no other page may embed this one. Only the page's own style is allowed.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pages show of this sidecar, even before its ring is open.
#[derive(Debug)]
pub struct About {
    /// The provider of the signing ring.
    pub provider: &'static str,
    /// The issuer of the ring's tokens.
    pub issuer: Issuer,
    /// The rotation policy.
    pub policy: Policy,
    /// The clock for all times on the pages.
    pub clock: Arc<dyn Clock>,
    /// The metrics for `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// Answers operators and monitoring. It works from the start of the process: liveness must not depend on the provider,
/// which may not answer while the ring is opened.
#[derive(Clone)]
pub struct Admin {
    filters: Filters,
    open: Arc<OnceLock<Open>>,
}

/// What can be shown once the ring is open.
struct Open {
    published: Arc<Published>,
    readiness: Arc<Readiness>,
}

impl Admin {
    /// Makes the routes for a process that is starting.
    #[must_use]
    pub fn new(about: About) -> Self {
        let open: Arc<OnceLock<Open>> = Arc::default();
        let began = Moment::now(&*about.clock);
        let About { provider, metrics, .. } = about;
        let live = warp::path!("livez").and(read()).map(|| "ok\n".into_response());
        let ready = warp::path!("readyz").and(read()).map({
            let (open, clock) = (Arc::clone(&open), Arc::clone(&about.clock));
            move || match open.get() {
                Some(open) => answer(&open.readiness.report()),
                None => answer(&Report::starting(provider, began.date_at(Moment::now(&*clock)))),
            }
        });
        let numbers = warp::path!("metrics").and(read()).map({
            let open = Arc::clone(&open);
            move || {
                // Zeros would look like measurements and raise alarms.
                let Some(open) = open.get() else {
                    return refusal(problems::starting());
                };
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                metrics.readiness(&open.readiness.report());
                warp::reply::with_header(metrics.text(), "content-type", kind).into_response()
            }
        });
        let page = warp::path::end().and(read()).map({
            let open = Arc::clone(&open);
            let (policy, clock) = (about.policy, about.clock);
            let unread = RingView::unread(&about.issuer, &policy);
            move || {
                let now = clock.now();
                let page = |ring: &RingView, report: &Report| {
                    let policy = &policy;
                    Page {
                        provider,
                        ring,
                        report,
                        policy,
                        now,
                    }
                    .to_html()
                };
                let html = match open.get() {
                    None => {
                        let began_at = began.date_at(Moment::now(&*clock));
                        page(&unread, &Report::starting(provider, began_at))
                    }
                    Some(open) => {
                        let snapshot = open.published.at(now);
                        page(&snapshot.ring, &open.readiness.report_on(&snapshot))
                    }
                };
                let html = warp::reply::html(html);
                let html = warp::reply::with_header(html, "content-security-policy", CONTENT_SECURITY_POLICY);
                warp::reply::with_header(html, "cache-control", "no-store").into_response()
            }
        });
        let routes = live.or(ready).unify().or(numbers).unify().or(page).unify().boxed();
        Self {
            filters: into_filters(routes),
            open,
        }
    }

    /// Passes the open ring to the pages.
    pub fn open(&self, published: Arc<Published>, readiness: Arc<Readiness>) {
        // This happens only once.
        let _ = self.open.set(Open { published, readiness });
    }
}

impl Handler for Admin {
    type Streamed = Streamed;

    async fn handle(&self, request: Request<Arriving>) -> Response {
        let method = request.method().clone();
        head::answer(&method, (self.filters)(request).await)
    }
}

fn answer(report: &Report) -> warp::reply::Response {
    let body = serde_json::to_vec(report).unwrap_or_default();
    let mut response = json(body.into());
    if !report.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
