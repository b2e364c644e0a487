//! The condition that is listed while the keys of a trusted issuer have a problem.

use signet_base::{Moment, Outage};
use signet_core::Timestamp;
use signet_issuers::Trusted;
use signet_verify::NoKeys;

use super::Memory;
use super::words::from_disk;
use crate::conditions::{Condition, Effect, ISSUERS, State};

/// A trusted issuer whose keys have a problem.
#[derive(Clone, Debug)]
pub(super) struct IssuerFacts {
    pub(super) name: String,
    /// Why the keys cannot be fetched. `None` if no fetch was tried yet.
    pub(super) outage: Option<Outage>,
    /// Why the issuer's tokens cannot be judged, if they cannot.
    pub(super) lost: Option<NoKeys>,
    /// When the keys were fetched, if an earlier process fetched them and stored them on disk.
    pub(super) kept: Option<Timestamp>,
    /// Since when the keys have been too old.
    pub(super) too_old_at: Option<Timestamp>,
}

impl IssuerFacts {
    /// `now` is the time by a clock that nobody can set. The wall clock was set forward by `set_by` milliseconds since.
    pub(super) fn of(trusted: &Trusted, now: Timestamp, set_by: i64) -> Option<Self> {
        let outage = trusted.outage().map(|outage| Outage {
            since: outage.since.shifted(set_by),
            reason: outage.reason.clone(),
        });
        let lost = trusted.keys_at(now).err();
        (outage.is_some() || lost.is_some() || !trusted.was_tried()).then(|| Self {
            name: trusted.terms().issuer.to_string(),
            outage,
            lost,
            too_old_at: trusted.usable_until().map(|at| at.shifted(set_by)),
            kept: trusted.kept().map(|(fetched_at, _)| fetched_at),
        })
    }
}

impl Memory {
    /// All replicas share the issuer, so requests would fail on any other replica too, and all other tokens are
    /// accepted. A failure is therefore only reported. Only a new process waits until it has tried a fetch, so that its
    /// first requests find the keys.
    pub(super) fn issuer(&mut self, issuer: &IssuerFacts, now: Moment) -> Condition {
        let name = &issuer.name;
        let (state, detail) = match (&issuer.outage, issuer.lost) {
            (None, Some(NoKeys::TooOld)) => (
                State::IssuerTooOld,
                format!(
                    "the keys of {name} are older than max_stale, so requests with its tokens get 503; they are being fetched now"
                ),
            ),
            (None, _) => (
                State::IssuerNotAsked,
                format!("the keys of {name} are being fetched for the first time"),
            ),
            (Some(outage), None) => (
                State::IssuerFails,
                format!(
                    "the keys of {name} cannot be fetched, so the last ones{} stay in use: {}",
                    from_disk(issuer.kept),
                    outage.reason
                ),
            ),
            (Some(outage), Some(NoKeys::Never)) => (
                State::IssuerNeverRead,
                format!(
                    "the keys of {name} were never fetched, so requests with its tokens get 503: {}",
                    outage.reason
                ),
            ),
            (Some(outage), Some(NoKeys::TooOld)) => (
                State::IssuerTooOld,
                format!(
                    "the keys of {name} are older than max_stale, so requests with its tokens get 503: {}",
                    outage.reason
                ),
            ),
        };
        let began = match (state, &issuer.outage) {
            (State::IssuerNotAsked, _) => None,
            (State::IssuerTooOld, _) => Some(issuer.too_old_at.unwrap_or(now.wall())),
            (_, outage) => outage.as_ref().map(|outage| outage.since),
        };
        Condition {
            name: ISSUERS,
            ok: state.effect() != Effect::LostHere,
            state,
            since: self.started.date_at(now),
            failing_since: began.map(|at| self.since(ISSUERS, name, state, at, now)),
            detail,
        }
    }
}
