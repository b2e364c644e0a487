//! The JSON object that a run prints. Times are in microseconds unless the name says otherwise.

use serde::Serialize;

use crate::drive::Outcome;
use crate::plan::Protocol;
use crate::process::Usage;

/// The figures of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    target: String,
    transport: &'static str,
    protocol: &'static str,
    connections: usize,
    /// Requests in flight on each connection.
    streams: usize,
    warmup_s: f64,
    window_s: f64,
    /// The number of requests in the window.
    requests: u64,
    requests_per_s: f64,
    units_per_request: u32,
    units_per_s: f64,
    latency_us: Latency,
    /// The number of answers in the whole run, all of which were checked.
    answers_checked: u64,
    distinct_bodies: usize,
    generator_cpu_us_per_request: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

#[derive(Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct Server {
    pids: Vec<u32>,
    #[serde(flatten)]
    usage: Usage,
    cpu_us_per_request: f64,
    cpu_us_per_unit: f64,
    /// The average number of busy cores.
    cores: f64,
}

impl Report {
    pub(crate) fn new(outcome: &Outcome) -> Self {
        let plan = &outcome.plan;
        let latencies = &outcome.latencies;
        let requests = latencies.count();
        let window_s = outcome.window.as_secs_f64();
        let requests_per_s = requests as f64 / window_s;
        let server = outcome.server.clone().map(|usage| Server {
            pids: plan.pids.clone(),
            cpu_us_per_request: usage.cpu_s * 1e6 / requests as f64,
            cpu_us_per_unit: usage.cpu_s * 1e6 / requests as f64 / f64::from(plan.units),
            cores: usage.cpu_s / window_s,
            usage,
        });
        Self {
            target: plan.target.to_string(),
            transport: plan.target.transport(),
            protocol: match plan.protocol {
                Protocol::Http1 => "h1",
                Protocol::Http2 => "h2",
            },
            connections: plan.connections,
            streams: plan.streams,
            warmup_s: plan.warmup.as_secs_f64(),
            window_s,
            requests,
            requests_per_s,
            units_per_request: plan.units,
            units_per_s: requests_per_s * f64::from(plan.units),
            latency_us: Latency {
                mean: latencies.mean_us(),
                p50: latencies.quantile_us(0.5),
                p90: latencies.quantile_us(0.9),
                p99: latencies.quantile_us(0.99),
                max: latencies.max_us(),
            },
            answers_checked: outcome.answered,
            distinct_bodies: plan.supply.len(),
            generator_cpu_us_per_request: outcome.generator.cpu_s * 1e6 / requests as f64,
            server,
        }
    }
}
