//! The task that follows the sidecar's stream of keys, and passes the keys to validators.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use signet_base::{Jitter, chain};
use signet_clock_watch::ClockWatch;
use signet_core::Timestamp;
use signet_issuers::accepted::AcceptedKeys;
use signet_issuers::{IssuerKeys, Trusted};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::connect;
use super::events::{KeysEvent, KeysStream, StreamError};
use super::keys::{KeyPlace, SentKeys, SidecarKeys};
use super::link::{Link, State};
use crate::sidecar_settings::SidecarSettings;

/// The first wait before connecting again. Each further wait is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The maximum wait before connecting again.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long the gateway waits for a lost stream to come back, for example during an update of the sidecar, before it
/// fetches keys itself.
const GRACE: Duration = Duration::from_secs(30);
/// The minimum time between two reports of unknown keys.
const REPORTS_APART: Duration = Duration::from_secs(1);
/// How long a report may take.
const REPORT_DEADLINE: Duration = Duration::from_secs(2);
/// How long the start waits for the first keys of an expected sidecar.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sidecar beside the gateway, as the source of keys for validators.
#[derive(Debug)]
pub struct Sidecar {
    settings: SidecarSettings,
    clock_watch: Arc<ClockWatch>,
    link: Arc<Link>,
    /// The last keys that the sidecar sent.
    sent: Mutex<Vec<Arc<SentKeys>>>,
    /// The sources that get the sidecar's keys. Sources of a file that is no longer used have been dropped.
    sources: Mutex<Vec<Weak<SidecarKeys>>>,
    is_followed: AtomicBool,
    /// Whether the first connection was made, or failed.
    was_tried: watch::Sender<bool>,
}

impl Sidecar {
    /// Makes a value that follows nothing yet, because a file without validators needs no sidecar.
    #[must_use]
    pub fn new(settings: SidecarSettings, clock_watch: Arc<ClockWatch>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            clock_watch,
            link: Arc::new(Link::new()),
            sent: Mutex::default(),
            sources: Mutex::default(),
            is_followed: AtomicBool::new(false),
            was_tried: watch::Sender::new(false),
        })
    }

    /// The keys of a place: from the stream, or else from the gateway's own fetches. From now on the stream is followed
    /// until shutdown.
    pub fn source(
        self: &Arc<Self>,
        place: KeyPlace,
        fetched: IssuerKeys,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Arc<SidecarKeys> {
        let keys = Arc::new(SidecarKeys::new(place, fetched, Arc::clone(&self.link)));
        self.sources.lock().push(Arc::downgrade(&keys));
        keys.on_sent(&self.sent.lock());
        self.hold_fetches();
        if !self.is_followed.swap(true, Ordering::Relaxed) {
            let (sidecar, shutdown) = (Arc::clone(self), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = sidecar.follow() => {}
                    () = sidecar.report() => {}
                }
            });
        }
        keys
    }

    /// Waits for the first keys, for a limited time. If the sidecar is not there, the gateway starts without it.
    pub async fn wait(&self) {
        if self.is_followed.load(Ordering::Relaxed) {
            let mut was_tried = self.was_tried.subscribe();
            let tried = was_tried.wait_for(|was_tried| *was_tried);
            if timeout(PATIENCE, tried).await.is_err() {
                self.on_lost(self.clock_watch.steady_now());
            }
        }
    }

    async fn follow(&self) {
        let (jitter, mut failures, mut reason) = (Jitter::default(), 0_u32, None);
        let mut heard_at = self.clock_watch.steady_now();
        loop {
            let error = match KeysStream::open(&self.settings).await {
                Ok(stream) => self.read(stream, &mut failures, &mut heard_at, &mut reason).await,
                Err(error) => error,
            };
            self.note(&error, &mut reason);
            self.on_lost(heard_at);
            let longest = FIRST_RETRY.saturating_mul(1 << failures.min(8)).min(LONGEST_RETRY);
            failures = failures.saturating_add(1);
            sleep(longest - jitter.up_to(longest / 2)).await;
        }
    }

    /// Reads events until the stream ends.
    async fn read(
        &self,
        mut stream: KeysStream,
        failures: &mut u32,
        heard_at: &mut Timestamp,
        reason: &mut Option<String>,
    ) -> StreamError {
        loop {
            match stream.next().await {
                Ok(event) => {
                    *heard_at = self.clock_watch.steady_now();
                    match event {
                        KeysEvent::Keys(keys) => {
                            *failures = 0;
                            if reason.take().is_some() || self.link.state() != State::Live {
                                info!(issuers = keys.issuers.len(), "the sidecar sends its keys");
                            }
                            self.on_keys(keys);
                        }
                        // Keys may have become too old.
                        KeysEvent::Heartbeat => self.hold_fetches(),
                    }
                }
                Err(error) => return error,
            }
        }
    }

    fn on_keys(&self, keys: AcceptedKeys) {
        let set_by = self.clock_watch.set_by();
        let read = |sent| SentKeys::read(sent, set_by).map(Arc::new);
        let sent: Vec<Arc<SentKeys>> = keys.issuers.into_iter().filter_map(read).collect();
        debug!(issuers = sent.len(), "keys arrived from the sidecar");
        for source in self.sources() {
            source.on_sent(&sent);
        }
        *self.sent.lock() = sent;
        self.link.set(State::Live);
        self.hold_fetches();
        self.was_tried.send_replace(true);
    }

    fn on_lost(&self, heard_at: Timestamp) {
        self.link.set(State::Lost(heard_at));
        self.hold_fetches();
        self.was_tried.send_replace(true);
    }

    /// Stops the gateway's own fetches from places whose keys the stream has, and resumes the others.
    fn hold_fetches(&self) {
        let state = self.link.state();
        let now = self.clock_watch.steady_now();
        let needs_fetches = |source: &SidecarKeys| match state {
            State::Starting => false,
            State::Live => !source.is_streamed(now),
            State::Lost(heard_at) => !source.is_streamed(now) || now >= heard_at.plus(GRACE),
        };
        let sources = self.sources();
        // Several validators may share the fetches from one place.
        let needed: Vec<*const Trusted> = sources
            .iter()
            .filter(|source| needs_fetches(source))
            .map(|source| Arc::as_ptr(&source.fetched().trusted))
            .collect();
        for source in &sources {
            let trusted = &source.fetched().trusted;
            let is_held = !needed.contains(&Arc::as_ptr(trusted));
            trusted.hold(is_held);
            if is_held && state == State::Live {
                // The stream has newer keys.
                trusted.forget();
            }
        }
    }

    fn sources(&self) -> Vec<Arc<SidecarKeys>> {
        let mut sources = self.sources.lock();
        sources.retain(|source| source.strong_count() > 0);
        sources.iter().filter_map(Weak::upgrade).collect()
    }

    /// Logs a failure once for each reason.
    fn note(&self, error: &StreamError, reason: &mut Option<String>) {
        let text = chain(error);
        if reason.as_ref() == Some(&text) {
            return;
        }
        match error.is_absent() && !self.settings.is_expected {
            true => debug!("there is no sidecar, so the gateway fetches keys itself: {text}"),
            false => warn!(
                "no keys arrive from the sidecar; the last ones stay in use, and in {} s the gateway fetches keys \
                 itself: {text}",
                GRACE.as_secs()
            ),
        }
        *reason = Some(text);
    }

    /// Reports tokens with unknown keys.
    async fn report(&self) {
        loop {
            for issuer in self.link.reports().await {
                let body = serde_json::json!({ "issuer": issuer }).to_string();
                let reported = connect::post(&self.settings, "/v1/keys/refresh", Bytes::from(body));
                if let Ok(Err(error)) = timeout(REPORT_DEADLINE, reported).await {
                    debug!(%issuer, "an unknown key could not be reported to the sidecar: {}", chain(&error));
                }
            }
            sleep(REPORTS_APART).await;
        }
    }
}
