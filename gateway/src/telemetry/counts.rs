//! What the threads of the data path count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use signet_core::Issuer;
use signet_core::verify::Refusal;

use super::cells::Cells;
use super::series::{EndpointSeries, HostSeries};

/// The code of a token that was accepted.
pub(super) const ACCEPTED: &str = "accepted";
/// The other verdicts on tokens besides those of [`Refusal`].
const REFUSED: [&str; 4] = ["no_token", "unfit_claim", "missing_role", "no_keys"];

/// A counter of the process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    RequestBegun,
    RequestEnded,
    ConnectionOpened,
    ConnectionClosed,
    ReloadDone,
    ReloadRefused,
    CertificatesDone,
    CertificatesRefused,
}

/// The first counter of a verdict on a token. It follows the events.
const VERDICTS: usize = Event::CertificatesRefused as usize + 1;

/// What was counted of a source of keys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SourceCounts {
    pub(super) fetched: u64,
    pub(super) failed: u64,
    pub(super) keys: usize,
    pub(super) fetched_at: i64,
}

/// All counts of the process. Those of an endpoint or host disappear with the last plan that has it.
#[derive(Debug)]
pub(super) struct Counts {
    endpoints: Mutex<BTreeMap<(String, String), Weak<EndpointSeries>>>,
    hosts: Mutex<BTreeMap<(String, u16), Weak<HostSeries>>>,
    sources: Mutex<BTreeMap<Issuer, SourceCounts>>,
    process: Cells,
    verdicts: Vec<&'static str>,
}

impl Default for Counts {
    fn default() -> Self {
        let verdicts: Vec<&'static str> = [ACCEPTED]
            .into_iter()
            .chain(REFUSED)
            .chain(Refusal::ALL.iter().map(|refusal| refusal.code()))
            .collect();
        Self {
            endpoints: Mutex::default(),
            hosts: Mutex::default(),
            sources: Mutex::default(),
            process: Cells::new(VERDICTS + verdicts.len()),
            verdicts,
        }
    }
}

impl Counts {
    /// The series of an endpoint with the labels of these, which are used if no plan has any.
    pub(super) fn endpoint(&self, of_plan: &Arc<EndpointSeries>) -> Arc<EndpointSeries> {
        let name = (of_plan.route.clone(), of_plan.method.clone());
        known(&self.endpoints, name, || Arc::clone(of_plan))
    }

    pub(super) fn host(&self, address: &str, port: u16) -> Arc<HostSeries> {
        known(&self.hosts, (address.to_owned(), port), || {
            Arc::new(HostSeries::new(address, port))
        })
    }

    pub(super) fn endpoints(&self) -> Vec<Arc<EndpointSeries>> {
        living(&self.endpoints)
    }

    pub(super) fn hosts(&self) -> Vec<Arc<HostSeries>> {
        living(&self.hosts)
    }

    pub(super) fn on_source(&self, name: &Issuer, event: impl FnOnce(&mut SourceCounts)) {
        event(locked(&self.sources).entry(name.clone()).or_default());
    }

    pub(super) fn keep_sources(&self, names: &[&Issuer]) {
        locked(&self.sources).retain(|name, _| names.contains(&name));
    }

    pub(super) fn sources(&self) -> Vec<(Issuer, SourceCounts)> {
        let sources = locked(&self.sources);
        sources.iter().map(|(name, counts)| (name.clone(), *counts)).collect()
    }

    pub(super) fn on_event(&self, event: Event) {
        self.process.add(event as usize, 1);
    }

    pub(super) fn events(&self, event: Event) -> u64 {
        self.process.sum(event as usize)
    }

    /// How many more there are of the first event than of the second. The second is read first, so the result is never
    /// below zero.
    pub(super) fn difference(&self, begun: Event, ended: Event) -> u64 {
        let ended = self.events(ended);
        self.events(begun).saturating_sub(ended)
    }

    pub(super) fn on_token(&self, code: &str) {
        if let Some(number) = self.verdicts.iter().position(|known| *known == code) {
            self.process.add(VERDICTS + number, 1);
        }
    }

    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = self.verdicts.iter().enumerate();
        all.map(|(number, code)| (*code, self.process.sum(VERDICTS + number)))
    }
}

/// The series with this name, which is made if no plan has it.
fn known<N: Ord, S>(all: &Mutex<BTreeMap<N, Weak<S>>>, name: N, make: impl FnOnce() -> Arc<S>) -> Arc<S> {
    let mut all = locked(all);
    if let Some(series) = all.get(&name).and_then(Weak::upgrade) {
        return series;
    }
    let series = make();
    all.insert(name, Arc::downgrade(&series));
    series
}

/// The series that a plan has.
fn living<N: Ord, S>(all: &Mutex<BTreeMap<N, Weak<S>>>) -> Vec<Arc<S>> {
    let mut all = locked(all);
    all.retain(|_, series| series.strong_count() > 0);
    all.values().filter_map(Weak::upgrade).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
