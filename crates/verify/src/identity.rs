//! Headers that tell the service behind the gateway who the client is: the subject, the scope, all claims in base64url,
//! and the claims for which the settings name a header.
//!
//! The settings decide the names of the headers, and a token decides only the values. If a value cannot be sent
//! unchanged, the token is refused. Nothing is cut, escaped or left out, because the service would then read
//! something that was not signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use signet_core::ClaimPath;
use signet_core::json::Object;

const FIXED: [HeaderName; 3] = [
    HeaderName::from_static("x-auth-subject"),
    HeaderName::from_static("x-auth-scope"),
    HeaderName::from_static("x-auth-claims"),
];

/// The names of the identity headers, and how their values are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The three fixed headers, then those of `chosen`.
    names: Vec<HeaderName>,
    chosen: Vec<ClaimPath>,
    separator: char,
    most: usize,
}

/// Why a good token cannot be expressed as headers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A claim cannot be the value of a header.
    #[error("the claim for the header {header} {why}")]
    Claim {
        /// The name of the header.
        header: HeaderName,
        /// The problem with the claim.
        why: &'static str,
    },
    /// The headers would be too large together.
    #[error("the identity headers of this token would have {octets} bytes, but SIGNET_CLAIM_HEADERS_MAX allows {most}")]
    TooLarge {
        /// Their size in bytes, counted as in HTTP/1.1.
        octets: usize,
        /// The maximum size in bytes.
        most: usize,
    },
}

/// A bound for the memory of one token's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBound {
    chosen: usize,
    most: usize,
}

impl HeaderBound {
    /// The memory in bytes for a token whose claims and scopes have these lengths.
    #[must_use]
    pub fn octets(self, payload: usize, scope: usize) -> usize {
        // The subject is part of the claims, which are also sent in base64. Each chosen claim is part of them as well,
        // and several headers may repeat the same claim. Each value costs a handle and an allocation.
        let values = payload + scope + payload.div_ceil(3) * 4 + self.chosen * payload;
        values.min(self.most) + (FIXED.len() + self.chosen) * (size_of::<HeaderValue>() + 64)
    }
}

/// The parts of a token from which the headers are made.
#[derive(Clone, Copy, Debug)]
pub struct TokenParts<'a> {
    /// The token's `sub`.
    pub subject: Option<&'a str>,
    /// The scopes of the token, separated by spaces.
    pub scope: Option<&'a str>,
    /// The claims, a JSON object without duplicate members.
    pub payload: &'a str,
}

impl Identity {
    /// Configures headers for the chosen claims, in addition to the three fixed headers. `separator` goes between the
    /// members of an array. `most` is the maximum size of all headers of a token in bytes.
    #[must_use]
    pub fn new(chosen: Vec<(ClaimPath, HeaderName)>, separator: char, most: usize) -> Self {
        let (chosen, names): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        Self {
            names: FIXED.into_iter().chain(names).collect(),
            chosen,
            separator,
            most,
        }
    }

    /// Whether this is one of the three fixed names. `name` must be in lower case.
    #[must_use]
    pub fn is_fixed(name: &str) -> bool {
        FIXED.iter().any(|fixed| fixed == name)
    }

    /// Whether a service may confuse this name with one of ours. CGI and interfaces like it (WSGI, Rack, PHP) turn
    /// hyphens, and some of them all other special characters, into `_` and ignore case.
    #[must_use]
    pub fn is_mistakable(&self, name: &str) -> bool {
        let alike = |(ours, theirs): (u8, u8)| match ours.is_ascii_alphanumeric() {
            true => ours.eq_ignore_ascii_case(&theirs),
            false => !theirs.is_ascii_alphanumeric(),
        };
        self.names.iter().map(HeaderName::as_str).any(|ours| {
            ours.len() == name.len() && !ours.eq_ignore_ascii_case(name) && ours.bytes().zip(name.bytes()).all(alike)
        })
    }

    /// A bound for the memory of one token's headers.
    #[must_use]
    pub fn bound(&self) -> HeaderBound {
        HeaderBound {
            chosen: self.chosen.len(),
            most: self.most,
        }
    }

    /// The names of the headers, in the order of [`Identity::values`].
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// The values of the headers, one for each name. A value is empty if the token does not have the claim.
    ///
    /// # Errors
    /// [`Unfit`] with the first problem.
    pub fn values(&self, of: &TokenParts<'_>) -> Result<Box<[HeaderValue]>, Unfit> {
        let mut texts = vec![
            of.subject.unwrap_or_default().to_owned(),
            of.scope.unwrap_or_default().to_owned(),
            URL_SAFE_NO_PAD.encode(of.payload),
        ];
        if !self.chosen.is_empty() {
            // This cannot fail, because the claims were parsed when the token was verified.
            let claims = Object::parse(of.payload)
                .map_err(|_| self.unfit(FIXED.len(), "cannot be read, because the claims are not a JSON object"))?;
            for (index, path) in self.chosen.iter().enumerate() {
                let text = path.find(&claims).map_or(Ok(String::new()), |value| self.text(value));
                texts.push(text.map_err(|why| self.unfit(FIXED.len() + index, why))?);
            }
        }
        let values: Box<[HeaderValue]> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| header(text).map_err(|why| self.unfit(index, why)))
            .collect::<Result<_, _>>()?;
        let octets = self
            .names
            .iter()
            .zip(&values)
            .map(|(name, value)| name.as_str().len() + ": \r\n".len() + value.len())
            .sum();
        match octets <= self.most {
            true => Ok(values),
            false => Err(Unfit::TooLarge {
                octets,
                most: self.most,
            }),
        }
    }

    fn unfit(&self, index: usize, why: &'static str) -> Unfit {
        let header = self.names[index].clone();
        Unfit::Claim { header, why }
    }

    /// A claim as text. `null` becomes the empty text, because some issuers write it for a missing value.
    fn text(&self, claim: &RawValue) -> Result<String, &'static str> {
        if !claim.get().starts_with('[') {
            return scalar(claim)
                .ok_or("is an object; name one of its members with a JSON pointer in SIGNET_CLAIM_HEADERS");
        }
        let members: Vec<&RawValue> = serde_json::from_str(claim.get()).map_err(|_| "is not JSON")?;
        let mut joined = String::new();
        for member in members {
            let text = scalar(member).ok_or("has an array or an object as an element")?;
            // The service splits the text at the separator and must get exactly the members that were signed.
            if text.is_empty() {
                return Err("has an element that is empty or null");
            }
            if text.contains(self.separator) {
                return Err("has an element that contains the separator, SIGNET_CLAIM_HEADERS_JOIN");
            }
            if text.trim() != text {
                return Err("has an element that starts or ends with white space");
            }
            if !joined.is_empty() {
                joined.push(self.separator);
            }
            joined.push_str(&text);
        }
        Ok(joined)
    }
}

/// A string, a number with its original digits, `true` or `false`. `null` becomes the empty
/// text; anything else is `None`.
fn scalar(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => Some(String::new()),
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text if text.starts_with(['[', '{']) => None,
        text => Some(text.to_owned()),
    }
}

/// Makes a header value. Control characters are not allowed, and spaces at the ends are lost on the way (RFC 9110
/// §5.5), so values with either are refused: the service would read something that was not signed.
fn header(value: &str) -> Result<HeaderValue, &'static str> {
    if value.trim_matches(' ') != value {
        return Err("starts or ends with a space");
    }
    if value.contains(|c: char| c.is_ascii_control()) {
        return Err("contains a control character");
    }
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| "is not valid in a header")
}

#[cfg(test)]
mod tests;
