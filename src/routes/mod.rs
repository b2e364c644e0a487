//! What each listener answers. `Service` is what the routes share; the routes of each listener are in a file each.
//!
//! The requests that a gateway sends for every one of its own (`sign`, `verify`, `authorize`, and the JWKS) are told
//! apart by hand, before the `warp` filters that serve the rest: `docs/decisions/0002-warp.md` has the figures.

pub mod admin;
pub mod asked;
pub mod authorize;
pub mod check;
pub mod grpc;
pub mod head;
pub mod introspect;
pub mod kubernetes;
pub mod local;
pub mod public;
pub mod sign;
mod turn;
pub mod verify;

use std::sync::Arc;

use signet_base::Clock;
use signet_clock_watch::ClockWatch;
use signet_core::Issuer;
use signet_core::mint::Template;
use signet_verify::{Identity, Verifier};

use crate::answers::Answers;
use crate::nudge::Nudge;
use crate::published::Published;
use crate::settings::Kubernetes;
use crate::signing::Signing;
use crate::telemetry::metrics::Metrics;

/// What the routes of the local socket share.
#[derive(Debug)]
pub struct Service {
    /// The latest snapshot.
    pub published: Arc<Published>,
    /// The way to a reading of the rings before its time.
    pub nudge: Arc<Nudge>,
    /// What every token has in common.
    pub template: Template,
    /// Our own `iss`.
    pub issuer: Issuer,
    /// Where tokens are checked.
    pub verifier: Verifier<Answers>,
    /// The headers that name the client to the service behind the gateway.
    pub identity: Identity,
    /// What the API server of Kubernetes is told, if tokens are signed for it.
    pub kubernetes: Option<Kubernetes>,
    /// The way to signatures.
    pub signing: Signing,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether that can be believed.
    pub clock_watch: Arc<ClockWatch>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}
