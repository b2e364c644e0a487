//! What each listener answers. `Service` is what the routes share; the routes of each listener are in a file each.
//!
//! The requests that a gateway sends for every one of its own (`sign`, `verify`, `authorize`, and the JWKS) are told
//! apart by hand, before the `warp` filters that serve the rest: `docs/decisions/0002-warp.md` has the figures.

pub mod admin;
pub mod asked;
pub mod authorize;
pub mod check;
pub mod head;
pub mod introspect;
pub mod kubernetes;
pub mod local;
pub mod public;
pub mod sign;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use signet_base::Clock;
use signet_core::mint::Template;
use signet_core::{Audience, Issuer};

use crate::clock_watch::ClockWatch;
use crate::identity::Identity;
use crate::issuers::Issuers;
use crate::keeper::Nudge;
use crate::lane::Lane;
use crate::published::Published;
use crate::remote::Remote;
use crate::settings::Kubernetes;
use crate::telemetry::metrics::Metrics;
use crate::token_cache::TokenCache;

/// What the routes of the local socket share.
#[derive(Debug)]
pub struct Service {
    /// The latest snapshot.
    pub published: Arc<Published>,
    /// The way to a reading of the rings before its time.
    pub nudge: Arc<Nudge>,
    /// What every token has in common.
    pub template: Template,
    /// The `iss` that `verify` requires.
    pub issuer: Issuer,
    /// The audiences that `verify` requires when the request names none.
    pub audience: Vec<Audience>,
    /// The other issuers whose tokens are accepted.
    pub issuers: Arc<Issuers>,
    /// The headers that name the client to the service behind the gateway.
    pub identity: Identity,
    /// What the API server of Kubernetes is told, if tokens are signed for it.
    pub kubernetes: Option<Kubernetes>,
    /// S: the most that any clock is off.
    pub clock_skew: Duration,
    /// Tokens verified before.
    pub cache: TokenCache,
    /// Where slow signatures are computed.
    pub lane: Lane,
    /// The way to signatures that the provider computes.
    pub remote: Arc<Remote>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it was set.
    pub clock_watch: Arc<ClockWatch>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}
