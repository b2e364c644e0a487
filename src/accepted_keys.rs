//! Every key that this sidecar accepts, as a document for gateways that verify tokens themselves.
//!
//! The document is built from what the verifier uses: the latest snapshot of our own ring, and the last fetched keys of
//! each trusted issuer. If the keys of an issuer cannot be used now, the document lists the issuer without keys.

use std::sync::Arc;

use bytes::Bytes;
use signet_base::{Clock, rfc3339};
use signet_clock_watch::ClockWatch;
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, Audience, Issuer, Timestamp};
use signet_issuers::accepted::{self, AcceptedIssuer, AcceptedKey, FORMAT};
use signet_issuers::{Issuers, KeysAt, Trusted};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::discovery;
use crate::published::Published;
use crate::ring_view::KeyView;
use crate::snapshot::Snapshot;

/// The document, kept up to date for those who follow it.
#[derive(Debug)]
pub struct AcceptedKeys {
    /// Our own `iss`.
    issuer: Issuer,
    /// The audiences that are accepted if a request names none.
    audiences: Vec<Audience>,
    published: Arc<Published>,
    issuers: Arc<Issuers>,
    clock: Arc<dyn Clock>,
    clock_watch: Arc<ClockWatch>,
    document: watch::Sender<Bytes>,
}

impl AcceptedKeys {
    /// The keys of our own ring and of these trusted issuers.
    #[must_use]
    pub fn new(
        own: (Issuer, Vec<Audience>),
        published: Arc<Published>,
        issuers: Arc<Issuers>,
        clock: Arc<dyn Clock>,
        clock_watch: Arc<ClockWatch>,
    ) -> Self {
        let (issuer, audiences) = own;
        Self {
            issuer,
            audiences,
            published,
            issuers,
            clock,
            clock_watch,
            document: watch::Sender::default(),
        }
    }

    /// Follows the document. It is up to date when this returns.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Bytes> {
        let followed = self.document.subscribe();
        self.renew();
        followed
    }

    /// Renews the document after every change until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let (mut snapshots, mut fetches) = (self.published.renewals(), self.issuers.changes());
        loop {
            let is_open = tokio::select! {
                () = shutdown.cancelled() => return,
                changed = snapshots.changed() => changed.is_ok(),
                changed = fetches.changed() => changed.is_ok(),
            };
            if !is_open {
                return;
            }
            // Without followers, the document is not renewed now; the next follower renews it.
            if self.document.receiver_count() > 0 {
                self.renew();
            }
        }
    }

    fn renew(&self) {
        // The document is built while the lock is held, so an older document never replaces a newer one.
        self.document.send_if_modified(|last| {
            let document = self.compose();
            let is_new = *last != document;
            *last = document;
            is_new
        });
    }

    fn compose(&self) -> Bytes {
        let now = self.clock.now();
        let mut issuers = vec![self.own(&self.published.at(now))];
        let mut trusted: Vec<AcceptedIssuer> = self.issuers.iter().map(|trusted| self.trusted(trusted, now)).collect();
        trusted.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        issuers.append(&mut trusted);
        let document = accepted::AcceptedKeys {
            format: FORMAT.to_owned(),
            issuers,
        };
        serde_json::to_vec(&document).unwrap_or_default().into()
    }

    fn own(&self, snapshot: &Snapshot) -> AcceptedIssuer {
        let base = self.issuer.as_str().trim_end_matches('/');
        let mut keys: Vec<AcceptedKey> = match snapshot.asleep {
            // Others may have revoked keys meanwhile, so no token can be judged until the ring was read.
            Some(_) => Vec::new(),
            None => snapshot
                .published
                .values()
                .map(|key| AcceptedKey {
                    jwk: Jwk::from(key),
                    published_until: published_until(snapshot, key.kid().as_str()),
                })
                .collect(),
        };
        keys.sort_by(|one, other| one.jwk.kid.cmp(&other.jwk.kid));
        let mut algorithms: Vec<Algorithm> = snapshot.published.values().map(|key| key.algorithm()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        AcceptedIssuer {
            issuer: self.issuer.clone(),
            own: true,
            discovery_url: Some(format!("{base}{}", discovery::OPENID)),
            jwks_url: Some(format!("{base}{}", discovery::JWKS)),
            algorithms,
            audiences: self.audiences.clone(),
            audience_claim: None,
            scope_claims: Vec::new(),
            usable_until: None,
            keys,
        }
    }

    fn trusted(&self, trusted: &Trusted, now: Timestamp) -> AcceptedIssuer {
        let terms = trusted.terms();
        let usable = self.clock_watch.by_age(now, |at| trusted.keys_at(at)).ok();
        let jwks = usable.map(|current| current.keys().to_jwks()).unwrap_or_default();
        let discovery_url = match &terms.keys_at {
            KeysAt::Jwks(_) => None,
            KeysAt::Discovery(url) => Some(url.to_string()),
        };
        // Ages are measured by a clock that nobody can set. The reader has only the wall clock.
        let usable_until = trusted.usable_until().map(|at| at.shifted(self.clock_watch.set_by()));
        AcceptedIssuer {
            issuer: terms.issuer.clone(),
            own: false,
            discovery_url,
            jwks_url: trusted.jwks_url().map(|url| url.to_string()),
            algorithms: terms.algorithms.clone(),
            audiences: terms.audiences.clone(),
            audience_claim: terms.dialect.audience.as_ref().map(ToString::to_string),
            scope_claims: terms.dialect.scope.iter().map(ToString::to_string).collect(),
            usable_until: usable_until.map(rfc3339),
            keys: jwks
                .into_iter()
                .map(|jwk| AcceptedKey {
                    jwk,
                    published_until: None,
                })
                .collect(),
        }
    }
}

/// When all rings that have this key stop publishing it. `None` if that is not known for one of them.
fn published_until(snapshot: &Snapshot, kid: &str) -> Option<String> {
    let also = snapshot.ring.also.iter().flat_map(|also| &also.keys);
    let views = snapshot.ring.keys.iter().chain(also);
    let published = views.filter(|view| view.kid == kid && view.phase.is_published());
    let ends: Option<Vec<&String>> = published.map(|view: &KeyView| view.expires_at.as_ref()).collect();
    // Instants of this form are in the order of their texts.
    ends?.into_iter().max().cloned()
}
