//! Where in a token a value stands: the name of a claim, or a JSON pointer (RFC 6901) to what lies deeper.
//!
//! Not names with dots between them: issuers name claims `https://example.com/roles`, and a dot is part of that name.

use std::fmt;

use serde_json::value::RawValue;

use crate::json::Object;

/// The name of a claim, or a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    /// As it was written.
    text: String,
    /// The members to follow, the claim first; never empty.
    members: Vec<String>,
}

/// The text names no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither the name of a claim nor a JSON pointer to one such as /realm_access/roles (RFC 6901)")]
pub struct NoClaimPath(String);

impl ClaimPath {
    /// Reads a name, or a pointer if it begins with a slash.
    ///
    /// # Errors
    /// [`NoClaimPath`] if it is empty, or a pointer with an escape other than `~0` and `~1`.
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

    /// The value that stands there, as it was written.
    #[must_use]
    pub fn find<'a>(&self, claims: &Object<'a>) -> Option<&'a RawValue> {
        let (first, deeper) = self.members.split_first()?;
        let mut value = claims.member(first)?;
        for member in deeper {
            // The claims were checked to be strict at every depth; an array has no members to follow.
            value = Object::parse(value.get()).ok()?.member(member)?;
        }
        Some(value)
    }

    /// As it was written.
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

/// RFC 6901 §4.
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
