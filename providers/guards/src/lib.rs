//! Decorators for any provider: deadlines, retries, pacing, a circuit breaker, and checks of all answers.
//!
//! The sidecar puts the same guards around every provider, so no provider retries or paces on its own:
//!
//! ```text
//! let provider = provider
//!     .guarded(TimeLimited::new(Deadlines::default()))
//!     .guarded(Breaking::new(Breaks::default(), Jitter::default()))
//!     .guarded(Paced::new(control, sign))
//!     .guarded(Retrying::new(Retries::default(), Jitter::default()))
//!     .guarded(metered);
//! let provider = Checked::new(provider, clock, skew);
//! ```
//!
//! The first guard is the closest to the provider. Each retry takes a token from the pace and asks the breaker. If the
//! provider goes down while a caller waits for a token, the breaker answers the caller and no call is made.
//!
//! A guard implements [`Guard`]: it sees which call is made and how it ended, and decides whether and when to repeat
//! it. Only [`Guarded`] and [`Checked`], which examines each answer, know all the calls of
//! [`KeyProvider`](signet_api::KeyProvider). This crate knows no vendor and no HTTP, and decides only by the kinds of
//! errors.

mod breaking;
mod checked;
mod guard;
mod memory;
mod paced;
mod retrying;
mod time_limited;
mod words;

pub use breaking::{Breaking, Breaks};
pub use checked::Checked;
pub use guard::{Guard, GuardExt, Guarded, Invocation};
pub use paced::{Pace, Paced};
pub use retrying::{Retries, Retrying};
pub use time_limited::{Deadlines, TimeLimited};
