//! A request and its answer, from the arrival of the request's head to the last byte of the answer.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::Telemetry;
use super::series::EndpointSeries;
use super::status::LEFT;

/// The facts that are recorded at the end.
#[derive(Clone, Copy, Debug)]
struct Facts {
    since: Instant,
    status: u16,
    octets: u64,
}

/// A request that is being answered. If it is dropped before [`Exchange::finish`], its client has left.
#[derive(Debug)]
pub struct Exchange<'a> {
    telemetry: &'a Arc<Telemetry>,
    series: &'a Arc<EndpointSeries>,
    facts: Facts,
    is_over: bool,
}

impl<'a> Exchange<'a> {
    /// Begins with a request. It belongs to these series until its endpoint is known.
    pub fn begin(telemetry: &'a Arc<Telemetry>, series: &'a Arc<EndpointSeries>) -> Self {
        telemetry.metrics.on_begun();
        Self {
            telemetry,
            series,
            facts: Facts {
                since: Instant::now(),
                status: LEFT,
                octets: 0,
            },
            is_over: false,
        }
    }

    /// Handles the choice of an endpoint.
    pub fn on_routed(&mut self, series: &'a Arc<EndpointSeries>) {
        self.series = series;
    }

    /// Ends with an answer whose body has this length.
    pub fn finish(mut self, status: StatusCode, octets: u64) {
        self.facts.status = status.as_u16();
        self.facts.octets = octets;
    }

    /// Goes on with an answer that is streamed. It is recorded when it ends.
    #[must_use]
    pub fn stream(mut self, status: StatusCode) -> Streaming {
        self.facts.status = status.as_u16();
        self.is_over = true;
        Streaming {
            telemetry: Arc::clone(self.telemetry),
            series: Arc::clone(self.series),
            facts: self.facts,
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            record(self.telemetry, self.series, &self.facts);
        }
    }
}

/// An answer that is being passed on. It is recorded when it is dropped.
#[derive(Debug)]
pub struct Streaming {
    telemetry: Arc<Telemetry>,
    series: Arc<EndpointSeries>,
    facts: Facts,
}

impl Streaming {
    /// Handles a piece of the answer.
    pub fn on_piece(&mut self, octets: usize) {
        self.facts.octets += u64::try_from(octets).unwrap_or(0);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        record(&self.telemetry, &self.series, &self.facts);
    }
}

fn record(telemetry: &Telemetry, series: &EndpointSeries, facts: &Facts) {
    series.on_answered(facts.status, facts.since.elapsed(), facts.octets);
    telemetry.metrics.on_ended();
}
