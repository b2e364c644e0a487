//! The metrics of `/metrics`, in the OpenMetrics text format. `docs/gateway.md` says what to watch.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use signet_core::{Issuer, Timestamp};

use super::collector::Collected;
use super::counts::{self, Counts, Event};
use super::series::{EndpointSeries, HostSeries};

/// The code of a token that was accepted.
pub const ACCEPTED: &str = counts::ACCEPTED;

/// All metrics of the process. They outlive a plan.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counts: Arc<Counts>,
    ready: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let (counts, ready) = (Arc::new(Counts::default()), Gauge::default());
        let mut registry = Registry::default();
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("signet_gateway_build", "The version of the gateway", version);
        registry.register("signet_gateway_ready", "1 while /readyz answers 200", ready.clone());
        registry.register_collector(Box::new(Collected(Arc::clone(&counts))));
        Self {
            registry,
            counts,
            ready,
        }
    }
}

impl Metrics {
    /// The text of `/metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The series of an endpoint of a plan. If an earlier plan also had the endpoint, its series go on counting.
    #[must_use]
    pub fn endpoint(&self, of_plan: &Arc<EndpointSeries>) -> Arc<EndpointSeries> {
        self.counts.endpoint(of_plan)
    }

    /// The series of a host. All backends and plans with the host share them.
    #[must_use]
    pub fn host(&self, address: &str, port: u16) -> Arc<HostSeries> {
        self.counts.host(address, port)
    }

    /// Handles the arrival of a request.
    pub(super) fn on_begun(&self) {
        self.counts.on_event(Event::RequestBegun);
    }

    /// Handles the end of an answer.
    pub(super) fn on_ended(&self) {
        self.counts.on_event(Event::RequestEnded);
    }

    /// Counts the verdict on a token, by its code.
    pub fn on_token(&self, code: &str) {
        self.counts.on_token(code);
    }

    /// Counts a reload of the file.
    pub fn on_reload(&self, is_done: bool) {
        self.counts.on_event(match is_done {
            true => Event::ReloadDone,
            false => Event::ReloadRefused,
        });
    }

    /// Counts certificates that have changed.
    pub fn on_certificates(&self, are_good: bool) {
        self.counts.on_event(match are_good {
            true => Event::CertificatesDone,
            false => Event::CertificatesRefused,
        });
    }

    /// Forgets the sources of keys that the plan no longer needs. Their age would raise an alarm.
    pub fn keep_sources(&self, names: &[&Issuer]) {
        self.counts.keep_sources(names);
    }

    /// Updates the metric of readiness.
    pub fn on_readiness(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }
}

impl signet_edge::Record for Metrics {
    fn on_opened(&self) {
        self.counts.on_event(Event::ConnectionOpened);
    }

    fn on_closed(&self) {
        self.counts.on_event(Event::ConnectionClosed);
    }

    /// The gateway listens on no socket, so it refuses no peer.
    fn on_peer_refused(&self) {}
}

impl signet_issuers::Record for Metrics {
    /// A rate misses the first event of a counter that starts with it, so the counters exist from the start with 0.
    fn on_followed(&self, issuer: &Issuer) {
        self.counts.on_source(issuer, |_| {});
    }

    fn on_fetched(&self, issuer: &Issuer, is_ok: bool) {
        self.counts.on_source(issuer, |source| match is_ok {
            true => source.fetched += 1,
            false => source.failed += 1,
        });
    }

    fn on_keys(&self, issuer: &Issuer, count: usize, asked_at: Timestamp) {
        self.counts.on_source(issuer, |source| {
            source.keys = count;
            source.fetched_at = asked_at.as_secs();
        });
    }
}
