//! What operators see: logs and metrics.

mod libraries;
pub mod logs;
pub mod metered;
pub mod metrics;
