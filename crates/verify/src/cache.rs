//! A cache of tokens whose signature was already verified.
//!
//! An entry records only that a key signed the token, and the contents of the token. Each use checks again that the key
//! is still published, that the token has not expired, and that it is for this caller. An entry therefore never
//! outlives its key, its `exp` or a revocation. Refused tokens are not stored: garbage takes no memory. Entries are
//! found by the SHA-256 of the whole token.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use signet_core::verify::Authentic;

use crate::identity::{HeaderBound, Identity, TokenParts, Unfit};

/// What a program stores with each good token besides its identity headers, such as encoded answers. It starts empty
/// and is filled on first use.
pub trait Kept: Debug + Default + Send + Sync + 'static {
    /// The maximum heap memory in bytes that this will ever use for the token. The cache counts it from the beginning.
    fn octets(proof: &Authentic) -> usize;
}

impl Kept for () {
    fn octets(_: &Authentic) -> usize {
        0
    }
}

/// A token that a key signed, with answers for it. Each answer is encoded when it is first needed.
#[derive(Debug)]
pub struct Entry<K> {
    /// The proof that a key signed the token.
    pub authentic: Authentic,
    /// What the program stores with the token.
    pub kept: K,
    headers: OnceLock<Result<Box<[HeaderValue]>, Unfit>>,
}

impl<K: Kept> Entry<K> {
    /// Makes an entry without any answers.
    #[must_use]
    pub fn new(authentic: Authentic) -> Self {
        Self {
            authentic,
            kept: K::default(),
            headers: OnceLock::new(),
        }
    }

    /// The values of the headers that identify the client to the service behind the gateway, in the order of
    /// [`Identity::names`]. They are made once, so all calls must pass the same [`Identity`].
    ///
    /// # Errors
    /// [`Unfit`] if a header could not carry a claim unchanged.
    pub fn headers(&self, identity: &Identity) -> Result<&[HeaderValue], &Unfit> {
        let made = self.headers.get_or_init(|| {
            identity.values(&TokenParts {
                subject: self.authentic.subject(),
                scope: self.authentic.scope(),
                payload: self.authentic.payload(),
            })
        });
        made.as_deref()
    }

    /// The memory of this entry in bytes with all its answers, because the cache cannot change the
    /// weight of an entry later.
    fn octets(&self, headers: HeaderBound) -> usize {
        let payload = self.authentic.payload().len();
        let headers = headers.octets(payload, self.authentic.scope().map_or(0, str::len));
        OVERHEAD + size_of::<Self>() + self.authentic.octets_held() + headers + K::octets(&self.authentic)
    }
}

/// The key of a token in the cache: the SHA-256 hash of the whole token, including its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Computes the hash of this token.
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

/// How many bytes one entry of the configured number counts for. A common token with its answers takes less.
const SHARE: usize = 4096;

/// The bytes that the cache and the allocator need for an entry and its answers.
const OVERHEAD: usize = 256;

impl<K: Kept> Weighter<Fingerprint, Arc<Entry<K>>> for BySize {
    fn weight(&self, _: &Fingerprint, entry: &Arc<Entry<K>>) -> u64 {
        let octets = entry.octets(self.headers);
        u64::try_from(octets.div_ceil(SHARE)).unwrap_or(u64::MAX)
    }
}

/// The cache of verified tokens. Its memory is bounded, whatever tokens arrive.
#[derive(Debug)]
pub struct TokenCache<K> {
    tokens: Cache<Fingerprint, Arc<Entry<K>>, BySize>,
}

impl<K: Kept> TokenCache<K> {
    /// Makes a cache for this many common tokens of up to 4 KiB; 0 stores none. A token that needs more memory, with
    /// its answers, counts as several.
    #[must_use]
    pub fn new(entries: usize, headers: HeaderBound) -> Self {
        Self {
            tokens: Cache::with_weighter(entries, u64::try_from(entries).unwrap_or(u64::MAX), BySize { headers }),
        }
    }

    /// Finds the token, if it was verified before.
    #[must_use]
    pub fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry<K>>> {
        self.tokens.get(fingerprint)
    }

    /// Stores a verified token.
    pub fn keep(&self, fingerprint: Fingerprint, entry: Arc<Entry<K>>) {
        self.tokens.insert(fingerprint, entry);
    }
}
