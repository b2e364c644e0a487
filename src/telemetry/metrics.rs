//! The metrics of `/metrics`, in the OpenMetrics text format. `docs/operations.md` says what to watch.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use signet_api::{ErrorKind, Operation};
use signet_core::verify::Refusal;
use signet_core::{Issuer, Phase, Timestamp};
use signet_issuers::Record;

use crate::conditions::{Condition, Report, SIGNING, State};
use crate::snapshot::Snapshot;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
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

/// The results of a fetch.
const OK: &str = "ok";
const FAILED: &str = "failed";

impl ByFetch {
    fn new(issuer: &Issuer, outcome: &'static str) -> Self {
        let issuer = issuer.as_str().to_owned();
        Self { issuer, outcome }
    }
}

/// The labels of `signet_sign_refused_total`: the problems of `/v1/sign` in `docs/errors.md`.
const SIGN_REFUSALS: [&str; 19] = [
    "invalid_request",
    "invalid_batch",
    "broken_body",
    "body_timeout",
    "body_too_large",
    "method_not_allowed",
    "invalid_claims",
    "contradicting_claim",
    "missing_claim",
    "invalid_claim",
    "invalid_ttl",
    "invalid_typ",
    "too_large",
    "signing_unavailable",
    "provider_unavailable",
    "provider_refused",
    "token_too_long",
    "overloaded",
    "internal",
];

/// All metrics. Those of the data path need no look-up.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The number of tokens that were signed.
    pub signed: Counter,
    /// The number of tokens that were accepted.
    pub accepted: Counter,
    /// The number of open connections of all listeners.
    connections: Gauge,
    /// The number of connections that the allow-list of the socket refused.
    peers_refused: Counter,
    sign_refused: Family<ByCode, Counter>,
    token_refused: Family<ByCode, Counter>,
    keys: Family<ByPhase, Gauge>,
    ring_refreshed: Gauge,
    refresh_failing: Gauge,
    successor_due: Gauge,
    signing_available: Gauge,
    ready: Gauge,
    conditions: Family<ByState, Gauge>,
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
            successor_due: Gauge::default(),
            signing_available: Gauge::default(),
            ready: Gauge::default(),
            conditions: Family::default(),
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
        registry.register(
            "tokens_accepted",
            "Tokens accepted by verify or authorize",
            metrics.accepted.clone(),
        );
        registry.register(
            "tokens_refused",
            "Tokens refused, by reason",
            metrics.token_refused.clone(),
        );
        registry.register(
            "connections",
            "Open connections of all listeners",
            metrics.connections.clone(),
        );
        registry.register(
            "peers_refused",
            "Connections that the allow-list of the socket refused",
            metrics.peers_refused.clone(),
        );
        registry.register("keys", "Keys of the ring, by phase", metrics.keys.clone());
        registry.register_with_unit(
            "ring_refreshed_timestamp",
            "When the ring was last read from the provider, since the Unix epoch",
            Unit::Seconds,
            metrics.ring_refreshed.clone(),
        );
        registry.register(
            "refresh_failing",
            "1 while the ring cannot be read, or a key that is due cannot be created or retired",
            metrics.refresh_failing.clone(),
        );
        registry.register(
            "successor_due",
            "1 while a new key is due but not created",
            metrics.successor_due.clone(),
        );
        registry.register(
            "signing_available",
            "1 while a key can sign and the last signature succeeded",
            metrics.signing_available.clone(),
        );
        registry.register("ready", "1 while /readyz answers 200", metrics.ready.clone());
        registry.register(
            "condition",
            "Conditions of /readyz, by state",
            metrics.conditions.clone(),
        );
        registry.register(
            "provider_calls",
            "Calls to the provider, by outcome",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "provider_call_duration",
            "Duration of calls to the provider",
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
        // A rate misses the first event of a counter that starts with it, so all counters exist from the start with 0.
        for code in SIGN_REFUSALS {
            metrics.sign_refused.get_or_create(&ByCode { code }).inc_by(0);
        }
        for refusal in Refusal::ALL {
            metrics
                .token_refused
                .get_or_create(&ByCode { code: refusal.code() })
                .inc_by(0);
        }
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
    pub fn on_refused_to_sign(&self, code: &'static str) -> u64 {
        self.sign_refused.get_or_create(&ByCode { code }).inc()
    }

    /// Counts a refused token.
    pub fn on_refused(&self, code: &'static str) -> u64 {
        self.token_refused.get_or_create(&ByCode { code }).inc()
    }

    /// Updates the metrics of the ring from a new snapshot.
    pub fn ring(&self, snapshot: &Snapshot) {
        for phase in Phase::ALL {
            let count = i64::try_from(snapshot.count(phase)).unwrap_or(i64::MAX);
            self.keys.get_or_create(&ByPhase { phase: phase.as_str() }).set(count);
        }
        self.ring_refreshed.set(snapshot.refreshed_at.as_secs());
        self.refresh_failing.set(i64::from(snapshot.refresh_failure.is_some()));
        self.successor_due.set(i64::from(snapshot.successor_is_due));
    }

    /// Updates the metrics of readiness.
    pub fn readiness(&self, report: &Report) {
        self.ready.set(i64::from(report.ready));
        for state in State::ALL {
            let among = report.conditions.iter().filter(|condition| condition.state == *state);
            let count = i64::try_from(among.count()).unwrap_or(i64::MAX);
            self.conditions
                .get_or_create(&ByState { state: state.as_str() })
                .set(count);
        }
        let signs = |condition: &Condition| condition.name == SIGNING && !condition.is_lost();
        let can_sign = report.conditions.iter().any(signs);
        self.signing_available.set(i64::from(can_sign));
    }

    /// Creates the metrics of a provider's calls before the first call.
    pub fn expect_provider(&self, provider: &'static str) {
        for operation in Operation::ALL {
            let operation = operation.as_str();
            for outcome in ErrorKind::ALL.map(ErrorKind::as_str).into_iter().chain(["ok"]) {
                self.calls
                    .get_or_create(&ByCall {
                        provider,
                        operation,
                        outcome,
                    })
                    .inc_by(0);
            }
        }
    }

    /// Counts a call of the provider.
    pub fn on_call(&self, provider: &'static str, operation: &'static str, outcome: &'static str, seconds: f64) {
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

impl signet_edge::Record for Metrics {
    fn on_opened(&self) {
        self.connections.inc();
    }

    fn on_closed(&self) {
        self.connections.dec();
    }

    fn on_peer_refused(&self) {
        self.peers_refused.inc();
    }
}

impl Record for Metrics {
    fn on_followed(&self, issuer: &Issuer) {
        for outcome in [OK, FAILED] {
            self.issuer_fetches
                .get_or_create(&ByFetch::new(issuer, outcome))
                .inc_by(0);
        }
        self.on_keys(issuer, 0, Timestamp::from_secs(0));
    }

    fn on_fetched(&self, issuer: &Issuer, is_ok: bool) {
        let outcome = if is_ok { OK } else { FAILED };
        self.issuer_fetches.get_or_create(&ByFetch::new(issuer, outcome)).inc();
    }

    fn on_keys(&self, issuer: &Issuer, count: usize, asked_at: Timestamp) {
        let by = ByIssuer {
            issuer: issuer.as_str().to_owned(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.issuer_keys.get_or_create(&by).set(count);
        self.issuer_keys_fetched.get_or_create(&by).set(asked_at.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a metric with these labels in the text.
    fn value(text: &str, series: &str) -> Option<String> {
        let line = text
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next().map(str::to_owned)
    }

    #[test]
    fn every_counter_of_a_failure_is_there_before_the_first_one() {
        let metrics = Metrics::default();
        metrics.expect_provider("vault");
        metrics.on_followed(&Issuer::new("https://login.example.com"));
        let text = metrics.text();
        let zero = Some("0".to_owned());
        let errors = include_str!("../../docs/errors.md");
        let mut codes = 0;
        // The columns are code, status, where and meaning.
        for row in errors.lines().filter_map(|line| line.strip_prefix("| `")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if let [word, _, "socket" | "socket, admin" | "all listeners" | "`sign`", ..] = cells[..] {
                let series = format!("signet_sign_refused_total{{code=\"{}\"}}", word.trim_end_matches('`'));
                assert_eq!(value(&text, &series), zero, "{series}");
                codes += 1;
            }
        }
        assert_eq!(codes, SIGN_REFUSALS.len(), "docs/errors.md and the list differ");
        for refusal in Refusal::ALL {
            let series = format!("signet_tokens_refused_total{{code=\"{}\"}}", refusal.code());
            assert_eq!(value(&text, &series), zero, "{series}");
        }
        for operation in Operation::ALL {
            for kind in ErrorKind::ALL {
                let labels = format!(
                    "provider=\"vault\",operation=\"{}\",outcome=\"{}\"",
                    operation.as_str(),
                    kind.as_str()
                );
                let series = format!("signet_provider_calls_total{{{labels}}}");
                assert_eq!(value(&text, &series), zero, "{series}");
            }
        }
        for series in [
            "signet_issuer_fetches_total{issuer=\"https://login.example.com\",outcome=\"failed\"}",
            "signet_issuer_keys_fetched_timestamp_seconds{issuer=\"https://login.example.com\"}",
            "signet_peers_refused_total",
        ] {
            assert_eq!(value(&text, series), zero, "{series}");
        }
    }

    #[test]
    fn each_state_of_a_condition_is_a_series_and_only_that_of_now_counts() {
        let metrics = Metrics::default();
        let condition = |state: State| Condition {
            name: SIGNING,
            ok: true,
            state,
            since: Timestamp::from_secs(0),
            failing_since: None,
            detail: String::new(),
        };
        let at = Timestamp::from_secs(0);
        for state in State::ALL {
            metrics.readiness(&Report {
                ready: true,
                since: at,
                conditions: vec![condition(*state)],
            });
            let text = metrics.text();
            for other in State::ALL {
                let series = format!("signet_condition{{state=\"{}\"}}", other.as_str());
                let expected = if other == state { "1" } else { "0" };
                assert_eq!(
                    value(&text, &series).as_deref(),
                    Some(expected),
                    "{series} in {state:?}"
                );
            }
            let signs = if condition(*state).is_lost() { "0" } else { "1" };
            assert_eq!(
                value(&text, "signet_signing_available").as_deref(),
                Some(signs),
                "{state:?}"
            );
        }
    }

    /// The runbook contains the alerts. An alert with a metric that does not exist would never fire.
    #[test]
    fn every_alert_of_the_runbook_uses_metrics_and_labels_that_exist() {
        let metrics = Metrics::default();
        metrics.expect_provider("vault");
        metrics.on_followed(&Issuer::new("https://login.example.com"));
        metrics.readiness(&Report {
            ready: true,
            since: Timestamp::from_secs(0),
            conditions: Vec::new(),
        });
        metrics.on_call("vault", "sign", "ok", 0.1);
        for phase in Phase::ALL {
            metrics.keys.get_or_create(&ByPhase { phase: phase.as_str() }).set(0);
        }
        let text = metrics.text();
        let runbook = include_str!("../../docs/operations.md");
        let alerts = runbook.split_once("\n## Alerts\n").expect("a section").1;
        let alerts = alerts.split("\n## ").next().expect("a section");
        for alert in alerts.split("\n### ").skip(1) {
            let (name, body) = alert.split_once('\n').expect("a name");
            let expression = body.trim_start().split("\n\n").next().expect("an expression");
            assert!(expression.contains("signet_"), "{name} has no metric: {expression}");
            for metric in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if metric.starts_with("signet_") {
                    let is_there = |line: &str| {
                        line.starts_with(&format!("{metric}{{")) || line.starts_with(&format!("{metric} "))
                    };
                    assert!(text.lines().any(is_there), "{name}: there is no {metric}");
                }
            }
            for label in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                for words in label.split('"').skip(1).step_by(2) {
                    for word in words.split('|') {
                        assert!(text.contains(&format!("\"{word}\"")), "{name}: no series has {word:?}");
                    }
                }
            }
        }
    }
}
