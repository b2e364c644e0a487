//! The state of the sidecar's stream of keys, as the sources of keys see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use signet_core::{Issuer, Timestamp};
use tokio::sync::Notify;

/// The state of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The first connection is being made.
    Starting,
    /// Events come.
    Live,
    /// The stream is lost. The last event arrived at this instant of the steady clock.
    Lost(Timestamp),
}

/// What the sources of keys know about the stream.
#[derive(Debug)]
pub(super) struct Link {
    state: ArcSwap<State>,
    /// The issuers of tokens with unknown keys that have not been reported to the sidecar yet.
    reports: Mutex<BTreeSet<Issuer>>,
    has_reports: Notify,
}

impl Link {
    /// A link whose first connection is being made.
    pub(super) fn new() -> Self {
        Self {
            state: ArcSwap::from_pointee(State::Starting),
            reports: Mutex::default(),
            has_reports: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        **self.state.load()
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// When the last event arrived, if the stream is lost.
    pub(super) fn lost_at(&self) -> Option<Timestamp> {
        match self.state() {
            State::Lost(at) => Some(at),
            State::Live | State::Starting => None,
        }
    }

    /// Tells the sidecar, a little later, that a token of this issuer named an unknown key. However many tokens do, the
    /// sidecar gets a report for each issuer at most every second, and fetches keys at most once in its own cool-down.
    pub(super) fn report(&self, issuer: &Issuer) {
        if self.lost_at().is_none() && self.reports.lock().insert(issuer.clone()) {
            self.has_reports.notify_one();
        }
    }

    /// Waits until there is something to report, and takes it.
    pub(super) async fn reports(&self) -> BTreeSet<Issuer> {
        self.has_reports.notified().await;
        std::mem::take(&mut *self.reports.lock())
    }
}
