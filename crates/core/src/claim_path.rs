//! Paths to a value in a token's claims: the name of a claim, or a JSON pointer (RFC 6901) to a nested value.
//!
//! Dots do not separate names: issuers use claims such as `https://example.com/roles`, where a dot is part of the name.

use std::fmt;

use serde_json::value::RawValue;

use crate::json::Object;

/// The name of a claim, or a JSON pointer to a value inside one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    /// The path as it was written.
    text: String,
    /// The names of the members to follow, the claim first. Never empty.
    members: Vec<String>,
}

/// The error for a text that is not a claim path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither the name of a claim nor a JSON pointer to one, such as /realm_access/roles (RFC 6901)")]
pub struct NoClaimPath(String);

impl ClaimPath {
    /// Parses a path. A text that begins with a slash is a JSON pointer; any other text is the name of a claim.
    ///
    /// # Errors
    /// [`NoClaimPath`] if the text is empty, or a pointer has an escape other than `~0` and `~1`.
    pub fn parse(text: &str) -> Result<Self, NoClaimPath> {
        let wrong = || NoClaimPath(text.to_owned());
        let members = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescaped).collect::<Option<Vec<_>>>(),
            None => Some(vec![text.to_owned()]),
        };
        match members {
            Some(members) if members.iter().all(|member| !member.is_empty()) => Ok(Self {
                text: text.to_owned(),
                members,
            }),
            _ => Err(wrong()),
        }
    }

    /// Finds the value at this path. Returns its JSON text unchanged.
    #[must_use]
    pub fn find<'a>(&self, claims: &Object<'a>) -> Option<&'a RawValue> {
        let (first, deeper) = self.members.split_first()?;
        let mut value = claims.member(first)?;
        for member in deeper {
            // `parse` cannot fail on a nested object, because the whole claims were checked. It fails on an array,
            // which has no members to follow.
            value = Object::parse(value.get()).ok()?.member(member)?;
        }
        Some(value)
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Decodes the escapes `~0` and `~1` (RFC 6901 §4).
fn unescaped(token: &str) -> Option<String> {
    let mut pieces = token.split('~');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (replacement, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', &piece[1..]),
            Some(b'1') => ('/', &piece[1..]),
            _ => return None,
        };
        text.push(replacement);
        text.push_str(rest);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_a_pointer_goes_deeper() {
        let text = r#"{"scp":"a","a.b":1,"https://example.com/roles":[2],"realm_access":{"roles":[3],"a/b":4,"~":5}}"#;
        let claims = Object::parse(text).expect("strict");
        for (path, value) in [
            ("scp", Some(r#""a""#)),
            ("a.b", Some("1")),
            ("https://example.com/roles", Some("[2]")),
            ("/realm_access/roles", Some("[3]")),
            ("/realm_access/a~1b", Some("4")),
            ("/realm_access/~0", Some("5")),
            ("/realm_access/roles/0", None),
            ("/scp/x", None),
            ("/none/x", None),
            ("realm_access.roles", None),
        ] {
            let path = ClaimPath::parse(path).expect(path);
            assert_eq!(path.find(&claims).map(RawValue::get), value, "{path}");
        }
    }

    #[test]
    fn what_names_no_claim_is_refused() {
        for text in ["", "/", "//a", "/a/", "/a~2", "/a~"] {
            assert!(ClaimPath::parse(text).is_err(), "{text}");
        }
    }
}
