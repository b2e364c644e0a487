//! The admin listener: `/livez`, `/readyz`, `/metrics`, and a page for people.

mod advice;
mod page;
mod picture;

use std::sync::Arc;

use http::{Request, StatusCode};
use signet_base::Clock;
use signet_core::Policy;
use warp::{Filter as _, Reply as _};

use crate::http::Response;
use crate::http::accept::Handler;
use crate::http::body::Arriving;
use crate::http::filters::{Filters, into_filters, json};
use crate::published::Published;
use crate::readiness::{Readiness, Report};
use crate::routes::head::{self, read};
use crate::telemetry::metrics::Metrics;
use page::Page;

/// Nothing is loaded and nothing runs; only the page's own style is used, and nobody frames it.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers operators and their machines.
#[derive(Clone)]
pub struct Admin {
    filters: Filters,
}

impl Admin {
    /// Makes the filters. `provider` is where the keys of the ring that signs are kept.
    #[must_use]
    pub fn new(
        published: Arc<Published>,
        readiness: Arc<Readiness>,
        provider: &'static str,
        policy: Policy,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let live = warp::path!("livez").and(read()).map(|| "ok\n".into_response());
        let ready = warp::path!("readyz").and(read()).map({
            let readiness = Arc::clone(&readiness);
            move || answer(&readiness.report())
        });
        let numbers = warp::path!("metrics").and(read()).map({
            let readiness = Arc::clone(&readiness);
            move || {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                metrics.readiness(&readiness.report());
                warp::reply::with_header(metrics.text(), "content-type", kind).into_response()
            }
        });
        let page = warp::path::end().and(read()).map(move || {
            let now = clock.now();
            let snapshot = published.at(now);
            let page = Page {
                provider,
                ring: &snapshot.ring,
                report: &readiness.report_on(&snapshot),
                policy: &policy,
                now,
            };
            let html = warp::reply::html(page.to_html());
            let html = warp::reply::with_header(html, "content-security-policy", CONTENT_SECURITY_POLICY);
            warp::reply::with_header(html, "cache-control", "no-store").into_response()
        });
        let routes = live.or(ready).unify().or(numbers).unify().or(page).unify().boxed();
        Self {
            filters: into_filters(routes),
        }
    }
}

impl Handler for Admin {
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
