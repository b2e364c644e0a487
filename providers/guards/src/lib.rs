//! Decorators over any provider: deadlines, retries, pacing, a breaker, distrust.
//!
//! Every provider stands behind the same line, and none of them retries or paces on its own:
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
//! The first stands next to the provider. Each attempt of a retry takes a token and asks the breaker; a caller who waits
//! for a token finds out from the breaker, not from the provider, that the provider went down meanwhile.
//!
//! A guard is an [`Around`]: it sees which call is made and how it ended, and decides whether and when it is made again.
//! [`Guarded`] is the one place that knows the calls of [`KeyProvider`](signet_api::KeyProvider). [`Checked`] knows them
//! too, as it looks at each answer. This crate knows no vendor and no HTTP: kinds of errors are all that it goes by.

mod around;
mod breaking;
mod checked;
mod memory;
mod paced;
mod retrying;
mod time_limited;
mod words;

pub use around::{Around, Call, Guard, Guarded};
pub use breaking::{Breaking, Breaks};
pub use checked::Checked;
pub use paced::{Pace, Paced};
pub use retrying::{Retries, Retrying};
pub use time_limited::{Deadlines, TimeLimited};
