//! The metrics of `/metrics`, in the OpenMetrics text format. `docs/operations.md` says what to watch.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use signet_core::{Phase, Timestamp};

use crate::snapshot::Snapshot;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    provider: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    provider: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByIssuer {
    issuer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFetch {
    issuer: String,
    outcome: &'static str,
}

/// Every metric. Those of the data path are reached without a look-up.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Tokens signed.
    pub signed: Counter,
    /// Tokens found good.
    pub accepted: Counter,
    /// Open connections, of all listeners.
    pub connections: Gauge,
    /// Peers turned away at the socket.
    pub peers_refused: Counter,
    sign_refused: Family<ByCode, Counter>,
    token_refused: Family<ByCode, Counter>,
    keys: Family<ByPhase, Gauge>,
    ring_refreshed: Gauge,
    refresh_failing: Gauge,
    signing_available: Gauge,
    calls: Family<ByCall, Counter>,
    call_seconds: Family<ByOperation, Histogram>,
    issuer_fetches: Family<ByFetch, Counter>,
    issuer_keys: Family<ByIssuer, Gauge>,
    issuer_keys_fetched: Family<ByIssuer, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("signet");
        let metrics = Self {
            signed: Counter::default(),
            accepted: Counter::default(),
            connections: Gauge::default(),
            peers_refused: Counter::default(),
            sign_refused: Family::default(),
            token_refused: Family::default(),
            keys: Family::default(),
            ring_refreshed: Gauge::default(),
            refresh_failing: Gauge::default(),
            signing_available: Gauge::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14))),
            issuer_fetches: Family::default(),
            issuer_keys: Family::default(),
            issuer_keys_fetched: Family::default(),
            registry: Registry::default(),
        };
        registry.register("tokens_signed", "Tokens signed", metrics.signed.clone());
        registry.register(
            "sign_refused",
            "Requests to sign that were refused, by reason",
            metrics.sign_refused.clone(),
        );
        registry.register("tokens_accepted", "Tokens found good", metrics.accepted.clone());
        registry.register(
            "tokens_refused",
            "Tokens found bad, by reason",
            metrics.token_refused.clone(),
        );
        registry.register(
            "connections",
            "Open connections of all listeners",
            metrics.connections.clone(),
        );
        registry.register(
            "peers_refused",
            "Peers turned away at the socket",
            metrics.peers_refused.clone(),
        );
        registry.register("keys", "Keys of the ring, by phase", metrics.keys.clone());
        registry.register_with_unit(
            "ring_refreshed_timestamp",
            "When the provider was last read, since the Unix epoch",
            Unit::Seconds,
            metrics.ring_refreshed.clone(),
        );
        registry.register(
            "refresh_failing",
            "1 while the provider cannot be read, or refuses what is due",
            metrics.refresh_failing.clone(),
        );
        registry.register(
            "signing_available",
            "1 while a key can sign",
            metrics.signing_available.clone(),
        );
        registry.register(
            "provider_calls",
            "Calls of the provider, by outcome",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "provider_call_duration",
            "How long calls of the provider took",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register(
            "issuer_fetches",
            "Fetches of a trusted issuer's keys, by outcome",
            metrics.issuer_fetches.clone(),
        );
        registry.register("issuer_keys", "Keys of a trusted issuer", metrics.issuer_keys.clone());
        registry.register_with_unit(
            "issuer_keys_fetched_timestamp",
            "When a trusted issuer's keys were last fetched, since the Unix epoch",
            Unit::Seconds,
            metrics.issuer_keys_fetched.clone(),
        );
        Self { registry, ..metrics }
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

    /// Counts a refused request to sign.
    pub fn refused_to_sign(&self, code: &'static str) -> u64 {
        self.sign_refused.get_or_create(&ByCode { code }).inc()
    }

    /// Counts a refused token.
    pub fn refused(&self, code: &'static str) -> u64 {
        self.token_refused.get_or_create(&ByCode { code }).inc()
    }

    /// Shows the ring of a new snapshot.
    pub fn ring(&self, snapshot: &Snapshot) {
        for phase in [
            Phase::Pending,
            Phase::Active,
            Phase::Retiring,
            Phase::Expired,
            Phase::Revoked,
        ] {
            let count = i64::try_from(snapshot.count(phase)).unwrap_or(i64::MAX);
            self.keys.get_or_create(&ByPhase { phase: phase.as_str() }).set(count);
        }
        self.ring_refreshed.set(snapshot.refreshed_at.as_secs());
        self.refresh_failing.set(i64::from(snapshot.refresh_failure.is_some()));
        self.signing_available.set(i64::from(snapshot.signer.is_ok()));
    }

    /// Counts a fetch of a trusted issuer's keys.
    pub fn fetched_issuer(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.issuer_fetches.get_or_create(&ByFetch { issuer, outcome }).inc();
    }

    /// Shows how many keys a trusted issuer has, and when that was asked.
    pub fn issuer_keys(&self, issuer: &str, count: usize, at: Timestamp) {
        let by = ByIssuer {
            issuer: issuer.to_owned(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.issuer_keys.get_or_create(&by).set(count);
        self.issuer_keys_fetched.get_or_create(&by).set(at.as_secs());
    }

    /// Counts a call of the provider.
    pub fn called(&self, provider: &'static str, operation: &'static str, outcome: &'static str, seconds: f64) {
        self.calls
            .get_or_create(&ByCall {
                provider,
                operation,
                outcome,
            })
            .inc();
        self.call_seconds
            .get_or_create(&ByOperation { provider, operation })
            .observe(seconds);
    }
}
