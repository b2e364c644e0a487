//! What operators see of the gateway: metrics now, and what each request came to.
//!
//! [`Telemetry`] is the entry point. A request costs a few additions to counters that its thread does not share, and two
//! looks at the clock. This module knows no listener and no settings.

mod cells;
mod collector;
mod counts;
pub mod exchange;
pub mod metrics;
pub mod series;
mod status;

use std::sync::Arc;

use metrics::Metrics;

/// Everything that is recorded while the gateway runs.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The metrics of `/metrics`.
    pub metrics: Arc<Metrics>,
}
