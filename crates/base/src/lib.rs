//! What every crate of Signet needs and no domain owns.
//!
//! [`Clock`] is how time enters the program; [`rfc3339`], [`http_date`] and [`brief`] write it; [`Jitter`] keeps replicas
//! apart; [`chain`] prints an error with its causes, and [`quote`] what others wrote; [`Seldom`] bounds lines of the log; [`Outage`] says since when something fails,
//! and why; [`Nearness`] tells this machine from others; [`USER_AGENT`] names us to others; [`proxies`] tells a
//! failure of the proxy from one of the server. This crate knows no key, no token, no
//! network and no async runtime.
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
mod manual;
mod nearness;
mod outage;
pub mod proxies;
mod quote;
mod seldom;
mod span;

pub use agent::{APPLICATION_ID, USER_AGENT};
pub use chain::chain;
pub use clock::{Clock, SystemClock};
pub use date::{http_date, rfc3339};
pub use jitter::Jitter;
pub use manual::ManualClock;
pub use nearness::Nearness;
pub use outage::Outage;
pub use quote::{causes, quote};
pub use seldom::{Seldom, SeldomFailing};
pub use span::brief;
