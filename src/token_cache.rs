//! Tokens whose signature was verified a moment ago, so that it is not verified again.
//!
//! What is remembered is only that a key signed this text, and what the text says. Each use checks again that the key
//! is still published, that the token has not expired, and that it is for this caller; so an entry can outlive neither
//! its key, nor its `exp`, nor a revocation. Nothing is remembered of tokens that were refused, so garbage takes no
//! room. The key of the map is a SHA-256 of the whole text: two texts with one entry would be a collision of SHA-256.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;
use signet_core::verify::Authentic;

/// A token that a key signed, with the answers it leads to: each encoded once, when it is first asked for.
#[derive(Debug)]
pub struct Entry {
    /// The proof.
    pub authentic: Authentic,
    active: OnceLock<Bytes>,
    headers: OnceLock<Option<IdentityHeaders>>,
}

/// The values of the headers that name the client to the service behind the gateway.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// `X-Auth-Subject`.
    pub subject: HeaderValue,
    /// `X-Auth-Scope`.
    pub scope: HeaderValue,
    /// `X-Auth-Claims`.
    pub claims: HeaderValue,
}

impl Entry {
    /// Keeps a proof.
    #[must_use]
    pub fn new(authentic: Authentic) -> Self {
        Self {
            authentic,
            active: OnceLock::new(),
            headers: OnceLock::new(),
        }
    }

    /// The answer of `verify` when the token is good.
    #[must_use]
    pub fn active(&self) -> &Bytes {
        self.active.get_or_init(|| {
            // Other issuers' kids may be any text.
            let (claims, kid) = (self.authentic.payload(), Value::from(self.authentic.kid().as_str()));
            format!(r#"{{"active":true,"claims":{claims},"kid":{kid}}}"#).into()
        })
    }

    /// The headers of `authorize` when the token is good; `None` if its subject or scope cannot stand in a header.
    #[must_use]
    pub fn headers(&self) -> Option<&IdentityHeaders> {
        self.headers
            .get_or_init(|| IdentityHeaders::new(&self.authentic))
            .as_ref()
    }
}

impl IdentityHeaders {
    fn new(token: &Authentic) -> Option<Self> {
        Some(Self {
            subject: header(token.subject().unwrap_or_default())?,
            scope: header(token.scope().unwrap_or_default())?,
            claims: header(&URL_SAFE_NO_PAD.encode(token.payload()))?,
        })
    }
}

/// A header's value holds no control character, and loses the blanks at its ends on the way (RFC 9110 §5.5): with
/// either, the service would read another name than the one that was signed.
fn header(value: &str) -> Option<HeaderValue> {
    let trimmed = value.trim_matches([' ', '\t']) == value && !value.contains('\t');
    if trimmed {
        HeaderValue::from_bytes(value.as_bytes()).ok()
    } else {
        None
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
struct BySize;

/// Octets that one entry of the configured number stands for. A common token with its answers takes less.
const SHARE: usize = 4096;

impl Weighter<Fingerprint, Arc<Entry>> for BySize {
    fn weight(&self, _: &Fingerprint, entry: &Arc<Entry>) -> u64 {
        // The claims, the answer that holds them, and the header that holds them in base64, made or not.
        let octets = size_of::<Entry>() + entry.authentic.payload().len() * 10 / 3;
        u64::try_from(octets.div_ceil(SHARE)).unwrap_or(u64::MAX)
    }
}

/// The cache; bounded in memory, whatever the tokens.
#[derive(Debug)]
pub struct TokenCache {
    tokens: Cache<Fingerprint, Arc<Entry>, BySize>,
}

impl TokenCache {
    /// Room for so many common tokens; 0 remembers none.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self {
            tokens: Cache::with_weighter(entries, u64::try_from(entries).unwrap_or(u64::MAX), BySize),
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
