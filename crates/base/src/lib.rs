//! Small tools that all crates of Signet need.
//!
//! - Time: [`Clock`] reads it; [`Moment`] is an instant that can be dated even after somebody has set the clock;
//!   [`rfc3339`], [`http_date`] and [`brief`] format it; [`Jitter`] keeps replicas apart.
//! - Errors: [`chain`] prints an error with its causes, [`quote`] makes foreign text safe for a log, [`LogLimit`]
//!   limits repeated log lines, and [`Outage`] says what fails and since when.
//! - Network: [`Nearness`] distinguishes this machine from others, [`USER_AGENT`] is our name in requests, and
//!   [`proxies`] distinguishes a failure of a proxy from one of the server behind it.
//!
//! This crate knows no keys and no tokens, does no I/O over the network, and has no async runtime.
//!
//! ```
//! use signet_base::{Clock as _, Outage, SystemClock, rfc3339};
//!
//! let outage = Outage {
//!     since: SystemClock.now(),
//!     reason: "the provider cannot be reached".to_owned(),
//! };
//! println!("since {}: {}", rfc3339(outage.since), outage.reason);
//! ```

mod agent;
mod chain;
mod clock;
mod date;
mod jitter;
mod log_limit;
mod manual;
mod moment;
mod nearness;
mod outage;
pub mod proxies;
mod quote;
mod span;

pub use agent::{APPLICATION_ID, USER_AGENT};
pub use chain::chain;
pub use clock::{Clock, SystemClock};
pub use date::{http_date, rfc3339};
pub use jitter::Jitter;
pub use log_limit::{FailureLogLimit, LogLimit};
pub use manual::ManualClock;
pub use moment::Moment;
pub use nearness::Nearness;
pub use outage::Outage;
pub use quote::{causes, quote};
pub use span::brief;
