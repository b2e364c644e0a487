//! Watches the JWKS: when each key is first and last in it, and whether a cache could outlive a change.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::traffic::Signer;
use super::verifier::max_age;
use crate::http::Connection;
use crate::time::{instant, next_beat};
use crate::{kids, say};

const POLL: Duration = Duration::from_millis(20);

/// The time of one key in the JWKS.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// When the last answer without it was requested, or when the sidecar was started.
    not_before: Instant,
    first: Instant,
    last: Instant,
    /// When the first answer without it arrived.
    gone: Option<Instant>,
}

/// What was seen in the JWKS.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    spans: HashMap<String, Span>,
    pub most_keys: usize,
    pub polls: u64,
    pub changes: usize,
    fresh_until: Option<Instant>,
}

pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch. `since` is a time before the sidecar was started.
    pub fn start(address: SocketAddr, since: Instant) -> Self {
        let (seen, done) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
            move || {
                let mut connection = Connection::tcp(address).expect("the JWKS is served");
                let mut asked_before = None;
                let mut beat = instant();
                while !done.load(Ordering::Relaxed) {
                    let asked = instant();
                    let answer = connection.get("/.well-known/jwks.json").expect("an answer");
                    let life = max_age(answer.header("cache-control").expect("Cache-Control"));
                    let set = kids(&answer.json());
                    seen.lock().take(asked_before.unwrap_or(since), asked, &set, life);
                    asked_before = Some(asked);
                    next_beat(&mut beat, POLL);
                }
            }
        });
        Self { seen, done, thread }
    }

    pub fn gone_at(&self, kid: &str) -> Option<Instant> {
        self.seen.lock().spans.get(kid)?.gone
    }

    pub fn stop(self) -> Seen {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch saw nothing wrong");
        self.seen.lock().clone()
    }
}

impl Seen {
    fn take(&mut self, asked_before: Instant, asked: Instant, set: &[String], life: Duration) {
        let now = instant();
        let (mut came, mut went) = (false, false);
        for kid in set {
            let span = self.spans.entry(kid.clone()).or_insert_with(|| {
                came = true;
                Span {
                    not_before: asked_before,
                    first: now,
                    last: now,
                    gone: None,
                }
            });
            assert!(span.gone.is_none(), "{kid} came back into the JWKS");
            span.last = now;
        }
        for (kid, span) in &mut self.spans {
            if span.gone.is_none() && !set.contains(kid) {
                span.gone = Some(now);
                went = true;
            }
        }
        if (came || went) && self.polls > 0 {
            self.changes += 1;
        }
        // A key may be added at any moment, because an operator may request one. The lead covers caches of that time.
        assert!(
            !went || self.fresh_until.is_none_or(|until| until <= now),
            "a cache that does as max-age says would have outlived a key"
        );
        self.fresh_until = self.fresh_until.max(Some(asked + life));
        self.most_keys = self.most_keys.max(set.len());
        self.polls += 1;
    }

    pub fn kids(&self) -> impl Iterator<Item = &String> {
        self.spans.keys()
    }

    /// Checks that every key except the first signed its first token at least one lead after it was published.
    pub fn check_leads(&self, signers: &[Signer], lead: Duration, write: Duration) {
        let mut shortest = Duration::MAX;
        for signer in &signers[1..] {
            let span = self.spans.get(&signer.kid).expect("a key that signs was published");
            let measured = signer.first_seen.saturating_duration_since(span.not_before);
            assert!(
                measured + write >= lead,
                "{} signed {measured:?} after the last JWKS without it; the lead is {lead:?}",
                signer.kid
            );
            shortest = shortest.min(signer.first_asked.saturating_duration_since(span.first));
        }
        say(format!(
            "shortest time from first seen in the JWKS to first signature: {shortest:?} (lead {lead:?})"
        ));
    }

    /// Checks that every key which was superseded long enough ago has left, and that none left before
    /// its last token had expired.
    pub fn check_departures(&self, signers: &[Signer], retention: Duration) {
        let mut departed = 0;
        for pair in signers.windows(2) {
            let Some(gone) = self.spans[&pair[0].kid].gone else {
                continue;
            };
            let stayed = gone.saturating_duration_since(pair[1].first_asked);
            let least = retention.saturating_sub(Duration::from_millis(200));
            assert!(
                stayed >= least,
                "{} left {stayed:?} after it was superseded",
                pair[0].kid
            );
            assert!(
                stayed <= retention + Duration::from_secs(1),
                "{} stayed {stayed:?}",
                pair[0].kid
            );
            departed += 1;
        }
        assert!(departed > 0, "no retired key left the JWKS");
    }
}
