//! Tokens whose signature was verified a moment ago, so that it is not verified again.
//!
//! What is remembered is only that a key signed this text, and what the text says. Each use checks again that the key
//! is still published, that the token has not expired, and that it is for this caller; so an entry can outlive neither
//! its key, nor its `exp`, nor a revocation. Nothing is remembered of tokens that were refused, so garbage takes no
//! room. The key of the map is a SHA-256 of the whole text: two texts with one entry would be a collision of SHA-256.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use signet_core::verify::Authentic;

use crate::identity::{HeaderBound, Identity, Source, Unfit};

/// What a program keeps with each good token beside its identity headers, such as the answers that it leads to. It starts
/// empty and is filled when it is first asked for.
pub trait Kept: Debug + Default + Send + Sync + 'static {
    /// The most octets that it will ever hold outside of itself for this token. The cache is bounded by it.
    fn octets(proof: &Authentic) -> usize;
}

impl Kept for () {
    fn octets(_: &Authentic) -> usize {
        0
    }
}

/// A token that a key signed, with the answers it leads to: each encoded once, when it is first asked for.
#[derive(Debug)]
pub struct Entry<K> {
    /// The proof.
    pub authentic: Authentic,
    /// What the program keeps with it.
    pub kept: K,
    headers: OnceLock<Result<Box<[HeaderValue]>, Unfit>>,
}

impl<K: Kept> Entry<K> {
    /// Keeps a proof.
    #[must_use]
    pub fn new(authentic: Authentic) -> Self {
        Self {
            authentic,
            kept: K::default(),
            headers: OnceLock::new(),
        }
    }

    /// The values of the headers that name the client to the service behind the gateway, in the order of
    /// [`Identity::names`]. There is one [`Identity`] in a process.
    ///
    /// # Errors
    /// [`Unfit`] if they could not arrive there as they were signed.
    pub fn headers(&self, identity: &Identity) -> Result<&[HeaderValue], &Unfit> {
        let made = self.headers.get_or_init(|| {
            identity.values(&Source {
                subject: self.authentic.subject(),
                scope: self.authentic.scope(),
                payload: self.authentic.payload(),
            })
        });
        made.as_deref()
    }

    /// Octets that it takes once all its answers are made: what weighs does not change later.
    fn octets(&self, headers: HeaderBound) -> usize {
        let payload = self.authentic.payload().len();
        let headers = headers.octets(payload, self.authentic.scope().map_or(0, str::len));
        OVERHEAD + size_of::<Self>() + self.authentic.octets_held() + headers + K::octets(&self.authentic)
    }
}

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

impl<K: Kept> Weighter<Fingerprint, Arc<Entry<K>>> for BySize {
    fn weight(&self, _: &Fingerprint, entry: &Arc<Entry<K>>) -> u64 {
        let octets = entry.octets(self.headers);
        u64::try_from(octets.div_ceil(SHARE)).unwrap_or(u64::MAX)
    }
}

/// The cache; bounded in memory, whatever the tokens.
#[derive(Debug)]
pub struct TokenCache<K> {
    tokens: Cache<Fingerprint, Arc<Entry<K>>, BySize>,
}

impl<K: Kept> TokenCache<K> {
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
    pub fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry<K>>> {
        self.tokens.get(fingerprint)
    }

    /// Remembers a token.
    pub fn keep(&self, fingerprint: Fingerprint, entry: Arc<Entry<K>>) {
        self.tokens.insert(fingerprint, entry);
    }
}
