//! The keys of one place in the file: from the sidecar's stream while there is one, and otherwise from the gateway's own fetches.
//!
//! Both sources have the same keys, those of the place that the file names. From the stream come the keys of
//! the issuers that are published at this place, and of no others. Each key verifies only tokens with the `iss` of
//! its issuer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use signet_core::jwk::JwkSet;
use signet_core::verify::{Authentic, Refusal, Unproven};
use signet_core::{ForeignKeys, Issuer, Kid, Timestamp, VerifyingKey};
use signet_issuers::accepted::AcceptedIssuer;
use signet_issuers::{IssuerKeys, KeysAt, Location};
use signet_verify::{KeySource, Keys, NoKeys};

use super::link::Link;

/// How long the last keys of a stream are used after the sidecar's last event, if the gateway cannot fetch keys itself
/// either.
const MAX_STALE: Duration = Duration::from_secs(4 * 3600);

/// The keys of one issuer, as the sidecar sent them. Instants are of the steady clock.
#[derive(Debug)]
pub(super) struct SentKeys {
    issuer: Issuer,
    keys: ForeignKeys,
    jwks_url: Option<Location>,
    usable_until: Option<Timestamp>,
    /// The ends of keys that the ring stops publishing.
    ends: Vec<(Kid, Timestamp)>,
}

impl SentKeys {
    /// Reads the keys of an issuer. `None` if it has no key that can be used. Instants are of the wall clock, which was
    /// set by this many milliseconds.
    pub(super) fn read(sent: AcceptedIssuer, set_by: i64) -> Option<Self> {
        let instant = |text: &str| {
            let since = humantime::parse_rfc3339(text)
                .ok()?
                .duration_since(std::time::UNIX_EPOCH)
                .ok()?;
            let at = Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?);
            Some(at.shifted(-set_by))
        };
        let usable_until = match &sent.usable_until {
            // If a date cannot be read, the keys must not be used for ever.
            Some(text) => Some(instant(text)?),
            None => None,
        };
        let mut ends = Vec::new();
        for key in &sent.keys {
            if let (Some(kid), Some(text)) = (&key.jwk.kid, &key.published_until) {
                ends.push((Kid::new(kid), instant(text)?));
            }
        }
        let set = JwkSet {
            keys: sent.keys.into_iter().map(|key| key.jwk).collect(),
        };
        let document = serde_json::to_vec(&set).ok()?;
        // The sidecar has judged the moduli of RSA keys, which takes milliseconds for each.
        let keys = ForeignKeys::parse_judged(&document, &sent.algorithms).ok()?;
        Some(Self {
            issuer: sent.issuer,
            keys,
            jwks_url: sent.jwks_url.and_then(|url| Location::parse_over_http(&url).ok()),
            usable_until,
            ends,
        })
    }

    fn is_published(&self, kid: &str, now: Timestamp) -> bool {
        let end = self.ends.iter().find(|(ending, _)| ending.as_str() == kid);
        end.is_none_or(|(_, end)| now < *end)
    }
}

/// Where the file says that the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    /// The URL of the keys, or of a discovery document.
    pub at: KeysAt,
    /// The issuer of the discovery document.
    pub discovered: Option<String>,
    /// The `iss` that tokens must have, if the file says so.
    pub issuer: Option<String>,
}

impl KeyPlace {
    fn has(&self, sent: &SentKeys) -> bool {
        let is_here = match &self.at {
            KeysAt::Jwks(url) => sent.jwks_url.as_ref() == Some(url),
            KeysAt::Discovery(_) => self.discovered.as_deref() == Some(sent.issuer.as_str()),
        };
        let issuer = self.issuer.as_deref();
        is_here && issuer.is_none_or(|issuer| issuer == sent.issuer.as_str())
    }
}

/// The keys of a place, at one instant. If several issuers publish at the same URL, it has the keys of all of them.
#[derive(Debug)]
struct StreamedKeys {
    issuers: Vec<Arc<SentKeys>>,
    /// When the first key stops being usable.
    first_end: Option<Timestamp>,
    usable_until: Option<Timestamp>,
    /// The instant of the look-up, if a key is no longer usable by then.
    now: Option<Timestamp>,
}

impl StreamedKeys {
    fn new(issuers: Vec<Arc<SentKeys>>) -> Option<Self> {
        if issuers.is_empty() {
            return None;
        }
        let ends = issuers.iter().flat_map(|sent| &sent.ends);
        let first_end = ends.map(|(_, end)| *end).min();
        let usable_until = issuers.iter().filter_map(|sent| sent.usable_until).min();
        Some(Self {
            issuers,
            first_end,
            usable_until,
            now: None,
        })
    }

    fn is_published(&self, sent: &SentKeys, kid: &str) -> bool {
        self.now.is_none_or(|now| sent.is_published(kid, now))
    }
}

impl Keys for StreamedKeys {
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        let sent = match self.issuers.as_slice() {
            // `have_signed` compares the issuer once the signature is verified.
            [sent] => sent,
            several => {
                let read = token.read().ok()?;
                several
                    .iter()
                    .find(|sent| read.issuer() == Some(sent.issuer.as_str()))?
            }
        };
        let key = sent.keys.find(token.kid(), token.alg());
        key.filter(|_| self.is_published(sent, token.kid()))
    }

    fn have_signed(&self, token: &Authentic) -> bool {
        let is_of = |sent: &&Arc<SentKeys>| token.issuer() == Some(sent.issuer.as_str());
        self.issuers
            .iter()
            .find(is_of)
            .is_some_and(|sent| sent.keys.have_signed(token) && self.is_published(sent, token.kid().as_str()))
    }
}

/// The keys of a place in the file.
#[derive(Debug)]
pub struct SidecarKeys {
    place: KeyPlace,
    streamed: ArcSwapOption<StreamedKeys>,
    /// The gateway's own fetches. They are paused while the stream has the keys.
    fetched: IssuerKeys,
    link: Arc<Link>,
}

impl SidecarKeys {
    pub(super) fn new(place: KeyPlace, fetched: IssuerKeys, link: Arc<Link>) -> Self {
        Self {
            place,
            streamed: ArcSwapOption::empty(),
            fetched,
            link,
        }
    }

    /// Takes the keys of this place from what the sidecar sent.
    pub(super) fn on_sent(&self, sent: &[Arc<SentKeys>]) {
        let here = sent.iter().filter(|sent| self.place.has(sent)).cloned().collect();
        self.streamed.store(StreamedKeys::new(here).map(Arc::new));
    }

    /// Whether the stream has keys of this place that may be used at this instant.
    pub(super) fn is_streamed(&self, now: Timestamp) -> bool {
        self.streamed_at(now, None).is_ok()
    }

    /// The gateway's own fetches from this place.
    pub(super) const fn fetched(&self) -> &IssuerKeys {
        &self.fetched
    }

    fn streamed_at(&self, now: Timestamp, lost_at: Option<Timestamp>) -> Result<Arc<dyn Keys>, NoKeys> {
        let streamed = self.streamed.load();
        let streamed = streamed.as_ref().ok_or(NoKeys::Never)?;
        let stale_at = lost_at.map(|lost_at| lost_at.plus(MAX_STALE));
        if [streamed.usable_until, stale_at]
            .into_iter()
            .flatten()
            .any(|end| now >= end)
        {
            return Err(NoKeys::TooOld);
        }
        Ok(match streamed.first_end.is_some_and(|end| now >= end) {
            false => Arc::clone(streamed) as Arc<dyn Keys>,
            true => Arc::new(StreamedKeys {
                issuers: streamed.issuers.clone(),
                now: Some(now),
                ..**streamed
            }),
        })
    }
}

impl KeySource for SidecarKeys {
    /// The order: the live stream; keys that this process has fetched after the stream was lost; the last keys of the
    /// stream; keys that an earlier process fetched.
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
        let lost_at = self.link.lost_at();
        let watch = &self.fetched.clock_watch;
        let streamed = watch.by_age(now, |at| self.streamed_at(at, lost_at));
        if streamed.is_ok() && lost_at.is_none() {
            return streamed;
        }
        let fetched = self.fetched.keys_at(now);
        let is_old = self.fetched.trusted.is_held() || self.fetched.trusted.kept().is_some();
        match is_old && streamed.is_ok() {
            true => streamed,
            false => fetched.or(streamed),
        }
    }

    fn on_refused(&self, refusal: Refusal) {
        if !self.fetched.trusted.is_held() {
            self.fetched.on_refused(refusal);
        }
        let may_be_new = matches!(
            refusal,
            Refusal::UnknownKey | Refusal::WrongAlgorithm | Refusal::BadSignature
        );
        let streamed = self.streamed.load();
        let issuers = streamed.iter().flat_map(|streamed| &streamed.issuers);
        for sent in issuers.filter(|_| may_be_new) {
            self.link.report(&sent.issuer);
        }
    }
}
