//! Who the client is, as headers for the service behind the gateway: the subject, the scope, all claims in base64url, and
//! those claims that the settings give a header of their own.
//!
//! The names are the settings' alone, and a token decides on values only. A value is taken as it is or the token is turned
//! away: nothing is cut, escaped or left out, as the service would then read something else than what was signed.

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

/// Which headers there are, and how their values are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The three that are always there, then those of `chosen`.
    names: Vec<HeaderName>,
    chosen: Vec<ClaimPath>,
    separator: char,
    most: usize,
}

/// Why a good token has no headers: the service would read something else than what was signed, or nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// One of its claims cannot stand in a header.
    #[error("the claim for the header {header} {why}")]
    Claim {
        /// The header.
        header: HeaderName,
        /// What is wrong with the claim.
        why: &'static str,
    },
    /// They would be too large together.
    #[error("its identity headers have {octets} octets, and SIGNET_CLAIM_HEADERS_MAX allows {most}")]
    TooLarge {
        /// Their octets, counted as in HTTP/1.1.
        octets: usize,
        /// The bound.
        most: usize,
    },
}

/// How much the values of one token's headers may take in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBound {
    chosen: usize,
    most: usize,
}

impl HeaderBound {
    /// Octets, for claims and scopes of so many.
    #[must_use]
    pub fn octets(self, payload: usize, scope: usize) -> usize {
        // The subject is a part of the claims, which stand in base64 too; each chosen claim is a
        // part of them, maybe the same. Every value has a handle and an allocation of its own.
        let values = payload + scope + payload.div_ceil(3) * 4 + self.chosen * payload;
        values.min(self.most) + (FIXED.len() + self.chosen) * (size_of::<HeaderValue>() + 64)
    }
}

/// What a header is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// `sub`.
    pub subject: Option<&'a str>,
    /// The scopes that the token has, separated by spaces.
    pub scope: Option<&'a str>,
    /// The claims, a JSON object without duplicate members.
    pub payload: &'a str,
}

impl Identity {
    /// These claims under these names beside the three that are always there. Members of an array are separated by
    /// `separator`; all headers of a token have `most` octets at most.
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

    /// Whether this is a name that the settings cannot give away: it is in lower case.
    #[must_use]
    pub fn is_fixed(name: &str) -> bool {
        FIXED.iter().any(|fixed| fixed == name)
    }

    /// Whether this is another name than each of ours, and a service may take it for one: CGI and its heirs (WSGI, Rack, PHP)
    /// make `_` of a hyphen, some of them of all that is neither letter nor digit, and know no case.
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

    /// How much the values of one token may take in memory.
    #[must_use]
    pub fn bound(&self) -> HeaderBound {
        HeaderBound {
            chosen: self.chosen.len(),
            most: self.most,
        }
    }

    /// The names, in the order of the values of [`Identity::values`].
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// The values, one for each name; empty where the token has no such claim.
    ///
    /// # Errors
    /// [`Unfit`], with the first reason.
    pub fn values(&self, of: &Source<'_>) -> Result<Box<[HeaderValue]>, Unfit> {
        let mut texts = vec![
            of.subject.unwrap_or_default().to_owned(),
            of.scope.unwrap_or_default().to_owned(),
            URL_SAFE_NO_PAD.encode(of.payload),
        ];
        if !self.chosen.is_empty() {
            // They were parsed once when the token was verified, so this cannot fail.
            let claims = Object::parse(of.payload).map_err(|_| self.unfit(FIXED.len(), "is in no JSON object"))?;
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

    /// A claim as text: empty for `null`, which is how some issuers write that there is none.
    fn text(&self, claim: &RawValue) -> Result<String, &'static str> {
        if !claim.get().starts_with('[') {
            return scalar(claim).ok_or("is an object; choose a member of it by a JSON pointer");
        }
        let members: Vec<&RawValue> = serde_json::from_str(claim.get()).map_err(|_| "is not JSON")?;
        let mut joined = String::new();
        for member in members {
            let text = scalar(member).ok_or("has an array or an object among its members")?;
            // What the service splits again must be the members that were signed, no other and no more.
            if text.is_empty() {
                return Err("has a member that is empty or null");
            }
            if text.contains(self.separator) {
                return Err("has a member with the separator of SIGNET_CLAIM_HEADERS_JOIN in it");
            }
            if text.trim() != text {
                return Err("has a member with blanks at its ends");
            }
            if !joined.is_empty() {
                joined.push(self.separator);
            }
            joined.push_str(&text);
        }
        Ok(joined)
    }
}

/// A text as it is, a number with its digits as they were written, `true` or `false`, or nothing for `null`.
fn scalar(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => Some(String::new()),
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text if text.starts_with(['[', '{']) => None,
        text => Some(text.to_owned()),
    }
}

/// A header's value holds no control character, and loses the blanks at its ends on the way (RFC 9110 §5.5): with
/// either, the service would read another name than the one that was signed.
fn header(value: &str) -> Result<HeaderValue, &'static str> {
    if value.trim_matches(' ') != value {
        return Err("has blanks at its ends");
    }
    if value.contains(|c: char| c.is_ascii_control()) {
        return Err("has a control character");
    }
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| "cannot stand in a header")
}

#[cfg(test)]
mod tests;
