//! What operators see: logs and metrics.

pub mod logs;
pub mod metered;
pub mod metrics;
pub mod seldom;
