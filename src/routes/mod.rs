//! The routes of each listener, in a file each. They share [`Service`].
//!
//! The requests that a gateway makes for each of its own (`sign`, `verify`, `authorize` and the JWKS) are routed by
//! hand, before the `warp` filters that serve the rest. `docs/decisions/0002-warp.md` has the figures.

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
mod refused;
pub mod sign;
pub mod streams;
mod turn;
pub mod verify;

use std::sync::Arc;

use signet_base::Clock;
use signet_clock_watch::ClockWatch;
use signet_core::Issuer;
use signet_core::mint::Template;
use signet_verify::{Identity, Verifier};

use crate::accepted_keys::AcceptedKeys;
use crate::answers::Answers;
use crate::nudge::Nudge;
use crate::published::Published;
use crate::settings::Kubernetes;
use crate::signing::Signing;
use crate::telemetry::metrics::Metrics;

/// What the routes of the local socket share.
#[derive(Debug)]
pub struct Service {
    /// The published snapshots.
    pub published: Arc<Published>,
    /// Every key that is accepted, for gateways that verify tokens themselves.
    pub accepted_keys: Arc<AcceptedKeys>,
    /// Causes early readings of the rings.
    pub nudge: Arc<Nudge>,
    /// The parts that all tokens share.
    pub template: Template,
    /// Our own `iss`.
    pub issuer: Issuer,
    /// Verifies tokens for all routes.
    pub verifier: Verifier<Answers>,
    /// The headers that identify the client to the service behind the gateway.
    pub identity: Identity,
    /// The values for the API server of Kubernetes, if tokens are signed for it.
    pub kubernetes: Option<Kubernetes>,
    /// Signs messages with the active key.
    pub signing: Signing,
    /// The clock for all decisions.
    pub clock: Arc<dyn Clock>,
    /// Whether the clock is in doubt.
    pub clock_watch: Arc<ClockWatch>,
    /// The metrics to update.
    pub metrics: Arc<Metrics>,
}
