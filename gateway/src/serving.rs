//! What serves requests now: a plan, with the backends and the keys that it needs.
//!
//! A reload replaces it as a whole. A request uses the plan that was current when the request began, until its end.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::Authenticator;
use crate::plan::Plan;

/// A plan, with all that its requests need.
#[derive(Debug)]
pub struct Serving<U> {
    /// The compiled file.
    pub plan: Plan,
    /// The validators of the plan, in their order.
    pub authenticators: Vec<Arc<Authenticator>>,
    /// The connections to backends.
    pub upstream: U,
}

/// The plan that serves new requests.
pub type Current<U> = Arc<ArcSwap<Serving<U>>>;
