//! Verifiers with their own caches. None fetches for an unknown kid.

use std::sync::Arc;

use signet::snapshot::Snapshot;

use crate::rng::Rng;
use crate::sky::{MINUTE, Ms};

/// How a verifier keeps a JWKS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// As its `Cache-Control` says.
    AsToldTo,
    /// For this time, whatever the JWKS's headers say: Envoy 10 min, Istio 20 min, others for all of V.
    For(Ms),
}

#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) keeps: Keeps,
    /// How far its clock is off.
    pub(crate) offset: Ms,
    pub(crate) cache: Option<Cached>,
}

#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) names: Arc<[usize]>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) until: Ms,
}

impl Verifier {
    pub(crate) fn drawn(rng: &mut Rng, skew: Ms, budget: Ms) -> Self {
        let fixed = [10 * MINUTE, 20 * MINUTE, budget];
        let allowed: Vec<Ms> = fixed.into_iter().filter(|keeps| *keeps <= budget).collect();
        let keeps = if rng.percent(34) {
            Keeps::AsToldTo
        } else {
            Keeps::For(rng.pick(&allowed))
        };
        Self {
            keeps,
            offset: rng.between(-skew, skew),
            cache: None,
        }
    }

    pub(crate) fn fresh(&self, now: Ms) -> Option<&Cached> {
        self.cache.as_ref().filter(|cached| now < cached.until)
    }
}
