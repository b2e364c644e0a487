//! Logs and metrics for operators.

mod libraries;
pub mod logs;
pub mod metered;
pub mod metrics;
