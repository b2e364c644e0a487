//! Checks the token of a request in this process. No request waits for a fetch of keys.
//!
//! A signature is verified once for each token and validator, and the results that depend only on the claims are cached
//! with it. The dates, and whether the key is still published, are checked at each request.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::StatusCode;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http_body_util::{Either, Full};
use signet_base::Clock;
use signet_core::token;
use signet_core::verify::{Authentic, Dialect, Refusal, Unproven};
use signet_verify::bearer::{self, Code, NoToken};
use signet_verify::{Entry, Fingerprint, Identity, Kept, KeySource, TokenCache};

use crate::plan::validator::Validator;
use crate::tree::{self, Members, Tree};

/// How many tokens each validator caches, of 4 KiB each.
const REMEMBERED: usize = 4096;
/// The maximum size in bytes of the headers from the claims of a token.
const MOST_HEADERS: usize = 8192;

/// Some issuers write a missing claim as `null`.
const NULL: Tree = Tree::Raw(Bytes::from_static(b"null"));

/// What a valid token gives to its request.
#[derive(Debug)]
pub struct Grant {
    /// The headers from the token's claims.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The claims of the token.
    pub claims: Arc<Members>,
}

/// Why a valid token is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    Role,
    Scope,
    Audience,
    Issuer,
    Unfit,
}

/// The cached decision for a token.
#[derive(Debug, Default)]
pub struct Judged(OnceLock<Result<Arc<Grant>, Denied>>);

impl Kept for Judged {
    fn octets(proof: &Authentic) -> usize {
        MOST_HEADERS + 3 * proof.payload().len()
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request has no token.
    NoToken(NoToken),
    /// The token is not valid.
    Bad(Refusal),
    /// The token is valid, but a claim cannot be passed on unchanged.
    Unfit,
    /// The token has none of the required roles.
    Role,
    /// The token lacks a required scope.
    Scope(String),
    /// The keys are not available now.
    NoKeys,
}

/// Checks tokens for the endpoints with the same validator. It has the validator's keys and its cache.
#[derive(Debug)]
pub struct Authenticator {
    validator: Validator,
    source: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
    cache: TokenCache<Judged>,
}

impl Authenticator {
    /// Makes an authenticator with these keys.
    #[must_use]
    pub fn new(validator: Validator, source: Arc<dyn KeySource>, clock: Arc<dyn Clock>) -> Self {
        // The cache also counts the size of identity headers, but none are made of its entries.
        let bound = Identity::new(Vec::new(), ',', 0).bound();
        Self {
            validator,
            source,
            clock,
            cache: TokenCache::new(REMEMBERED, bound),
        }
    }

    /// The requirements for tokens.
    #[must_use]
    pub const fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Where the keys come from.
    #[must_use]
    pub const fn source(&self) -> &Arc<dyn KeySource> {
        &self.source
    }

    /// Checks a request, and replaces the client's headers by those from the claims.
    ///
    /// # Errors
    /// [`Refused`], if the request must not pass.
    pub fn check(&self, headers: &mut HeaderMap) -> Result<Arc<Members>, Refused> {
        let token = self.token(headers)?;
        let grant = self.grant(&token)?;
        self.strip(headers);
        for (name, value) in &grant.headers {
            headers.insert(name, value.clone());
        }
        Ok(Arc::clone(&grant.claims))
    }

    /// Removes headers that a backend could confuse with those from the claims. CGI and similar interfaces turn hyphens
    /// into `_` and ignore case.
    fn strip(&self, headers: &mut HeaderMap) {
        if self.validator.claims.is_empty() {
            return;
        }
        let is_taken = |name: &HeaderName| {
            self.validator
                .claims
                .iter()
                .any(|(_, ours)| is_alike(ours.as_str(), name.as_str()))
        };
        let taken: Vec<HeaderName> = headers.keys().filter(|name| is_taken(name)).cloned().collect();
        taken.iter().for_each(|name| drop(headers.remove(name)));
    }

    fn token(&self, headers: &HeaderMap) -> Result<String, Refused> {
        let values = || {
            headers
                .get_all(&self.validator.header)
                .iter()
                .map(HeaderValue::as_bytes)
        };
        let missing = match bearer::token(values()) {
            Ok(token) => return Ok(token.to_owned()),
            // The scheme may be missing.
            Err(NoToken::OtherScheme) => match values().next().and_then(|value| std::str::from_utf8(value).ok()) {
                Some(text) if text.split('.').count() == 3 && !text.trim().contains(' ') => {
                    return Ok(text.trim().to_owned());
                }
                _ => NoToken::OtherScheme,
            },
            Err(NoToken::NoHeader) => NoToken::NoHeader,
            Err(other) => return Err(Refused::NoToken(other)),
        };
        match &self.validator.cookie {
            Some(cookie) => of_cookie(headers, cookie).ok_or(Refused::NoToken(missing)),
            None => Err(Refused::NoToken(missing)),
        }
    }

    fn grant(&self, token: &str) -> Result<Arc<Grant>, Refused> {
        if token.len() > token::LONGEST {
            return Err(Refused::Bad(Refusal::TooLarge));
        }
        let now = self.clock.now();
        let keys = self.source.keys_at(now).map_err(|_| Refused::NoKeys)?;
        let fingerprint = Fingerprint::of(token);
        let bad = |refusal: Refusal| {
            self.source.on_refused(refusal);
            Refused::Bad(refusal)
        };
        let entry = match self.cache.find(&fingerprint) {
            Some(entry) if keys.have_signed(&entry.authentic) => entry,
            Some(_) => return Err(bad(Refusal::UnknownKey)),
            None => {
                let unproven = Unproven::parse(token).map_err(Refused::Bad)?;
                if !self.validator.algorithm.is_named(unproven.alg()) {
                    return Err(Refused::Bad(Refusal::WrongAlgorithm));
                }
                let key = keys.find(&unproven).ok_or_else(|| bad(Refusal::UnknownKey))?;
                let authentic = unproven.authenticate(key, Dialect::standard()).map_err(bad)?;
                // The keys of an issuer verify no token of another one, where the source knows whose keys they are.
                if !keys.have_signed(&authentic) {
                    return Err(bad(Refusal::WrongIssuer));
                }
                let entry = Arc::new(Entry::new(authentic));
                self.cache.keep(fingerprint, Arc::clone(&entry));
                entry
            }
        };
        entry
            .authentic
            .is_good_at(now, self.validator.leeway)
            .map_err(Refused::Bad)?;
        let grant = entry.kept.0.get_or_init(|| self.judge(&entry.authentic).map(Arc::new));
        match grant {
            Ok(grant) => Ok(Arc::clone(grant)),
            Err(Denied::Issuer) => Err(Refused::Bad(Refusal::WrongIssuer)),
            Err(Denied::Audience) => Err(Refused::Bad(Refusal::WrongAudience)),
            Err(Denied::Unfit) => Err(Refused::Unfit),
            Err(Denied::Role) => Err(Refused::Role),
            Err(Denied::Scope) => {
                let wanted = self.validator.scopes.as_ref().map(|scopes| scopes.wanted.join(" "));
                Err(Refused::Scope(wanted.unwrap_or_default()))
            }
        }
    }

    /// Decides everything that depends only on the claims.
    fn judge(&self, token: &Authentic) -> Result<Grant, Denied> {
        let validator = &self.validator;
        if validator
            .issuer
            .as_deref()
            .is_some_and(|issuer| token.issuer() != Some(issuer))
        {
            return Err(Denied::Issuer);
        }
        if !validator
            .audience
            .iter()
            .all(|audience| token.is_for(&[audience.as_str()]))
        {
            return Err(Denied::Audience);
        }
        let claims =
            tree::open(&Bytes::copy_from_slice(token.payload().trim().as_bytes())).map_err(|_| Denied::Unfit)?;
        if let Some((at, roles)) = &validator.roles {
            let held = at.texts(&claims);
            if !roles.iter().any(|role| held.contains(role)) {
                return Err(Denied::Role);
            }
        }
        if let Some(scopes) = &validator.scopes {
            let held = scopes.at.texts(&claims);
            let has = |scope: &String| held.iter().flat_map(|text| text.split(' ')).any(|held| held == scope);
            let is_enough = match scopes.all {
                true => scopes.wanted.iter().all(has),
                false => scopes.wanted.iter().any(has),
            };
            if !is_enough {
                return Err(Denied::Scope);
            }
        }
        Ok(Grant {
            headers: self.headers(&claims).ok_or(Denied::Unfit)?,
            claims: Arc::new(claims),
        })
    }

    /// The headers from the claims that the token has. `None` if one could not arrive unchanged.
    fn headers(&self, claims: &Members) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = Vec::new();
        let mut octets = 0;
        for (lookup, name) in &self.validator.claims {
            let Some(claim) = lookup.find(claims).filter(|claim| *claim != NULL) else {
                continue;
            };
            let text = text(&claim)?;
            if text.trim() != text || text.contains(|c: char| c.is_ascii_control()) {
                return None;
            }
            octets += name.as_str().len() + text.len() + 4;
            headers.push((name.clone(), HeaderValue::from_bytes(text.as_bytes()).ok()?));
        }
        (octets <= MOST_HEADERS).then_some(headers)
    }
}

/// A claim as the text of a header. The items of an array are separated by commas. An array with a
/// comma in an item has no text.
fn text(claim: &Tree) -> Option<String> {
    let Tree::Raw(raw) = claim else {
        return None;
    };
    match raw.first()? {
        b'"' => tree::unquoted(raw),
        b'[' => {
            let mut joined = Vec::new();
            for item in tree::items(raw) {
                let text = match item.first()? {
                    b'"' => tree::unquoted(&item)?,
                    b'[' | b'{' | b'n' => return None,
                    _ => String::from_utf8(item.to_vec()).ok()?,
                };
                if text.contains(',') {
                    return None;
                }
                joined.push(text);
            }
            Some(joined.join(","))
        }
        b'{' => None,
        _ => String::from_utf8(raw.to_vec()).ok(),
    }
}

fn is_alike(ours: &str, theirs: &str) -> bool {
    let alike = |(a, b): (u8, u8)| match a.is_ascii_alphanumeric() {
        true => a.eq_ignore_ascii_case(&b),
        false => !b.is_ascii_alphanumeric(),
    };
    ours.len() == theirs.len() && ours.bytes().zip(theirs.bytes()).all(alike)
}

/// The value of a cookie. If there are two with this name, neither counts.
fn of_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut found = fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(at, _)| *at == name)
        .map(|(_, value)| value.trim_matches('"').to_owned());
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

impl Refused {
    /// The code of this refusal in metrics. `telemetry::counts` lists all.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoToken(_) => "no_token",
            Self::Bad(refusal) => refusal.code(),
            Self::Unfit => "unfit_claim",
            Self::Role => "missing_role",
            Self::Scope(_) => Refusal::InsufficientScope.code(),
            Self::NoKeys => "no_keys",
        }
    }

    /// The answer to the client. Its body is empty, or says why if the file sets `return_error_msg`.
    #[must_use]
    pub fn response<B>(&self, tells_errors: bool) -> signet_edge::Response<B> {
        let (status, challenge, text) = match self {
            Self::NoToken(why) => match why.code() {
                None => (
                    StatusCode::UNAUTHORIZED,
                    Some(bearer::bare_challenge()),
                    why.to_string(),
                ),
                Some(code) => challenged(code, why.to_string(), None),
            },
            Self::Bad(refusal) => challenged(Code::InvalidToken, format!("{}: {refusal}", refusal.code()), None),
            Self::Unfit => challenged(
                Code::InvalidToken,
                "a claim of the token is not valid in a header".to_owned(),
                None,
            ),
            Self::Role => (
                StatusCode::FORBIDDEN,
                None,
                "the token has none of the required roles".to_owned(),
            ),
            Self::Scope(wanted) => challenged(
                Code::InsufficientScope,
                "the token lacks a required scope".to_owned(),
                Some(wanted),
            ),
            Self::NoKeys => (
                StatusCode::SERVICE_UNAVAILABLE,
                None,
                "the gateway has no keys to verify tokens at the moment; try again in a second".to_owned(),
            ),
        };
        let body = if tells_errors { Bytes::from(text) } else { Bytes::new() };
        let mut response = http::Response::new(Either::Left(Full::new(body)));
        *response.status_mut() = status;
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if *self == Self::NoKeys {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn challenged(code: Code, text: String, scope: Option<&str>) -> (StatusCode, Option<HeaderValue>, String) {
    let challenge = bearer::challenge(code, &text, scope);
    (code.status(), Some(challenge), text)
}
