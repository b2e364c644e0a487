//! Tokens whose signature was verified a moment ago, so that it is not verified again.
//!
//! What is remembered is only that a key signed this text, and what the text says. Each use checks again that the key
//! is still published, that the token has not expired, and that it is for this caller; so an entry can outlive neither
//! its key, nor its `exp`, nor a revocation. Nothing is remembered of tokens that were refused, so garbage takes no
//! room. The key of the map is a SHA-256 of the whole text: two texts with one entry would be a collision of SHA-256.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderValue;
use prost::Message as _;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;
use signet_core::verify::Authentic;

use crate::grpc::as_struct;
use crate::identity::{HeaderBound, Identity, Source, Unfit};
use crate::telemetry::seldom::Seldom;

/// A token that a key signed, with the answers it leads to: each encoded once, when it is first asked for.
#[derive(Debug)]
pub struct Entry {
    /// The proof.
    pub authentic: Authentic,
    active: OnceLock<Bytes>,
    headers: OnceLock<Result<Box<[HeaderValue]>, Unfit>>,
    metadata: OnceLock<Option<Bytes>>,
}

impl Entry {
    /// Keeps a proof.
    #[must_use]
    pub fn new(authentic: Authentic) -> Self {
        Self {
            authentic,
            active: OnceLock::new(),
            headers: OnceLock::new(),
            metadata: OnceLock::new(),
        }
    }

    /// The answer of `verify` when the token is good.
    #[must_use]
    pub fn active(&self) -> &Bytes {
        self.active.get_or_init(|| {
            // Other issuers' kids may be any text.
            let (claims, kid) = (
                self.authentic.payload(),
                Value::from(self.authentic.kid().as_str()).to_string(),
            );
            // In one piece of its own size, as it is kept.
            [r#"{"active":true,"claims":"#, claims, r#","kid":"#, &kid, "}"]
                .concat()
                .into()
        })
    }

    /// The values of the headers that name the client to the service behind the gateway, in the order of
    /// [`Identity::names`]. There is one [`Identity`] in a process.
    ///
    /// # Errors
    /// [`Unfit`] if they could not arrive there as they were signed.
    pub fn headers(&self, identity: &Identity) -> Result<&[HeaderValue], &Unfit> {
        let made = self.headers.get_or_init(|| {
            let values = identity.values(&Source {
                subject: self.authentic.subject(),
                scope: self.authentic.scope(),
                payload: self.authentic.payload(),
            });
            // The reason names the header; it never quotes a claim, which may be private.
            values.inspect_err(|unfit| {
                static LOGGED: Seldom<String> = Seldom::new();
                let kind = match unfit {
                    Unfit::Claim { header, .. } => header.to_string(),
                    Unfit::TooLarge { .. } => String::new(),
                };
                if let Some(held_back) = LOGGED.may_log(kind) {
                    tracing::warn!(%unfit, held_back, "authorize and Envoy's check refuse a good token, because its claims do not fit into the headers");
                }
            })
        });
        made.as_deref()
    }

    /// The claims as Envoy's dynamic metadata, a `google.protobuf.Struct`, encoded.
    #[must_use]
    pub fn metadata(&self) -> Bytes {
        let payload = self.authentic.payload();
        let kept = self.metadata.get_or_init(|| {
            let made = metadata(payload);
            // Claims of many small numbers grow to several times their length: they are made anew each time.
            (made.len() <= MOST_METADATA * payload.len()).then_some(made)
        });
        kept.clone().unwrap_or_else(|| metadata(payload))
    }
}

fn metadata(payload: &str) -> Bytes {
    // An object of JSON was proven, so there is always one.
    let claims = serde_json::from_str(payload).unwrap_or_default();
    as_struct(&claims).encode_to_vec().into()
}

/// Claims whose metadata is longer than so many times the claims are not kept as metadata.
const MOST_METADATA: usize = 2;

/// The name of a token in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes the whole text.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(octets)
    }
}

#[derive(Clone, Debug)]
struct BySize {
    headers: HeaderBound,
}

/// Octets that one entry of the configured number stands for. A common token with its answers takes less.
const SHARE: usize = 4096;

/// What the cache itself and the allocator need for an entry and its answers.
const OVERHEAD: usize = 256;

impl Entry {
    /// Octets that it takes, once all its answers are made: what weighs does not change later.
    fn octets(&self, headers: HeaderBound) -> usize {
        let (payload, kid) = (self.authentic.payload().len(), self.authentic.kid().as_str().len());
        // Each octet of a kid may be an escape of six in JSON.
        let active = payload + 6 * kid + 64;
        let headers = headers.octets(payload, self.authentic.scope().map_or(0, str::len));
        let metadata = MOST_METADATA * payload;
        OVERHEAD + size_of::<Self>() + self.authentic.octets_held() + active + headers + metadata
    }
}

impl Weighter<Fingerprint, Arc<Entry>> for BySize {
    fn weight(&self, _: &Fingerprint, entry: &Arc<Entry>) -> u64 {
        let octets = entry.octets(self.headers);
        u64::try_from(octets.div_ceil(SHARE)).unwrap_or(u64::MAX)
    }
}

/// The cache; bounded in memory, whatever the tokens.
#[derive(Debug)]
pub struct TokenCache {
    tokens: Cache<Fingerprint, Arc<Entry>, BySize>,
}

impl TokenCache {
    /// Room for so many common tokens, 4 KiB each; 0 remembers none. A token that takes more, with the answers that it
    /// leads to, counts as several.
    #[must_use]
    pub fn new(entries: usize, headers: HeaderBound) -> Self {
        Self {
            tokens: Cache::with_weighter(entries, u64::try_from(entries).unwrap_or(u64::MAX), BySize { headers }),
        }
    }

    /// The token, if it was verified before.
    #[must_use]
    pub fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry>> {
        self.tokens.get(fingerprint)
    }

    /// Remembers a token.
    pub fn keep(&self, fingerprint: Fingerprint, entry: Arc<Entry>) {
        self.tokens.insert(fingerprint, entry);
    }
}
