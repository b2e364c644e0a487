//! Bearer tokens in HTTP (RFC 6750): reading the token of a request, and writing the challenge of a refusal.
//!
//! [`token`] reads the `Authorization` header; [`challenge`] and [`bare_challenge`] write `WWW-Authenticate`. The rest of
//! a refusal is up to the program.

use http::{HeaderValue, StatusCode};

/// RFC 6750 §3 requires a parameter after the scheme. Without an error, the realm is the only one.
const BARE_CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="api""#);

/// The error codes of RFC 6750 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed (400).
    InvalidRequest,
    /// The token is not accepted (401).
    InvalidToken,
    /// The token is good but lacks a required scope (403).
    InsufficientScope,
}

impl Code {
    /// All error codes.
    pub const ALL: [Self; 3] = [Self::InvalidRequest, Self::InvalidToken, Self::InsufficientScope];

    /// The code as the challenge spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    /// The HTTP status for this code (RFC 6750 §3.1).
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
        }
    }
}

/// Why a request has no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// The request has no `Authorization` header.
    #[error("the request has no Authorization header")]
    NoHeader,
    /// The credentials have another scheme.
    #[error("the Authorization header has no Bearer token")]
    OtherScheme,
    /// The request has several `Authorization` headers. RFC 9110 §5.3 forbids that, and servers
    /// differ in which one they read.
    #[error("the request has more than one Authorization header")]
    TwoHeaders,
    /// No token follows `Bearer`.
    #[error("the Authorization header has Bearer, but no token after it")]
    Empty,
    /// The token has bytes that are not ASCII (RFC 6750 §2.1).
    #[error("the token in the Authorization header is not ASCII")]
    NotAscii,
}

impl NoToken {
    /// The code for the challenge. `None` if the request has no bearer credentials: answer 401 with
    /// [`bare_challenge`] (RFC 6750 §3.1).
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::NoHeader | Self::OtherScheme => None,
            Self::TwoHeaders | Self::Empty | Self::NotAscii => Some(Code::InvalidRequest),
        }
    }
}

/// Reads the token of a request (RFC 6750 §2.1) from the values of all its `Authorization` headers. The form of the
/// token is not checked here; the verifier does that.
///
/// # Errors
/// [`NoToken`] if the request has no token, or more than one header.
pub fn token<'a>(authorization: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, NoToken> {
    let mut given = authorization.into_iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(NoToken::TwoHeaders);
    }
    let value = first.ok_or(NoToken::NoHeader)?.trim_ascii();
    // The scheme is either the whole value (`Negotiate`) or ends at a space (RFC 9110 §11.4).
    let (scheme, token) = match value.iter().position(|octet| *octet == b' ') {
        Some(space) => value.split_at(space),
        None => (value, &[][..]),
    };
    // The case of the scheme does not matter (RFC 9110 §11.1).
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(NoToken::OtherScheme);
    }
    match std::str::from_utf8(token.trim_ascii()) {
        Ok("") => Err(NoToken::Empty),
        Ok(token) if token.is_ascii() => Ok(token),
        _ => Err(NoToken::NotAscii),
    }
}

/// The challenge for a request without bearer credentials. It names no error (RFC 6750 §3).
#[must_use]
pub const fn bare_challenge() -> HeaderValue {
    BARE_CHALLENGE
}

/// The challenge for a refused request (RFC 6750 §3). Characters that may not appear in a description are removed. A
/// scope with such a character is left out; `scope` is separated by spaces.
#[must_use]
pub fn challenge(code: Code, description: &str, scope: Option<&str>) -> HeaderValue {
    let description: String = description.chars().filter(|c| is_plain(*c)).collect();
    let mut value = format!(r#"Bearer error="{}", error_description="{description}""#, code.as_str());
    // Removing characters from a scope would turn it into a different scope.
    let scopes = scope.unwrap_or_default().split_whitespace();
    let scopes: Vec<&str> = scopes.filter(|scope| scope.chars().all(is_plain)).collect();
    if !scopes.is_empty() {
        value.push_str(&format!(r#", scope="{}""#, scopes.join(" ")));
    }
    HeaderValue::from_str(&value).unwrap_or(BARE_CHALLENGE)
}

/// Whether RFC 6750 §3 allows this character in a quoted value: printable ASCII without quote and backslash.
fn is_plain(c: char) -> bool {
    (' '..='~').contains(&c) && !matches!(c, '"' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of<'a>(headers: &[&'a str]) -> Result<&'a str, NoToken> {
        token(headers.iter().map(|header| header.as_bytes()))
    }

    #[test]
    fn the_token_follows_the_scheme_in_any_case_and_blanks_around_it_do_not_count() {
        for header in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER a.b.c",
            " Bearer a.b.c ",
            "Bearer   a.b.c\t",
        ] {
            assert_eq!(token_of(&[header]), Ok("a.b.c"), "{header:?}");
        }
        // The verifier, not this function, refuses what is not a token.
        assert_eq!(token_of(&["Bearer a b"]), Ok("a b"));
    }

    #[test]
    fn a_request_without_credentials_of_the_scheme_is_asked_for_a_token_without_an_error_code() {
        for (headers, why) in [
            (&[][..], NoToken::NoHeader),
            (&[""], NoToken::OtherScheme),
            (&[" "], NoToken::OtherScheme),
            (&["Basic YTpi"], NoToken::OtherScheme),
            (&["Negotiate"], NoToken::OtherScheme),
            (&["Bearers a.b.c"], NoToken::OtherScheme),
            (&["Bearer\ta.b.c"], NoToken::OtherScheme),
            (&["a.b.c"], NoToken::OtherScheme),
        ] {
            assert_eq!(token_of(headers), Err(why), "{headers:?}");
            assert_eq!(why.code(), None, "{headers:?}");
        }
        assert_eq!(bare_challenge(), r#"Bearer realm="api""#);
    }

    #[test]
    fn a_request_without_exactly_one_token_is_malformed() {
        for (headers, why) in [
            (&["Bearer a", "Bearer a"][..], NoToken::TwoHeaders),
            (&["Basic YTpi", "Bearer a"], NoToken::TwoHeaders),
            (&["Bearer"], NoToken::Empty),
            (&["bearer  "], NoToken::Empty),
            (&["Bearer \u{e9}"], NoToken::NotAscii),
        ] {
            assert_eq!(token_of(headers), Err(why), "{headers:?}");
            assert_eq!(why.code(), Some(Code::InvalidRequest), "{headers:?}");
        }
        assert_eq!(token([&b"Bearer \xff"[..]]), Err(NoToken::NotAscii));
    }

    #[test]
    fn a_challenge_says_the_error_and_leaves_out_what_cannot_stand_in_it() {
        for (code, description, expected) in [
            (
                Code::InvalidToken,
                "expired: it was",
                r#"Bearer error="invalid_token", error_description="expired: it was""#,
            ),
            (
                Code::InvalidRequest,
                "a\"b\\c\r\nd\u{e9}e",
                r#"Bearer error="invalid_request", error_description="abcde""#,
            ),
        ] {
            assert_eq!(challenge(code, description, None), expected);
        }
    }

    #[test]
    fn the_challenge_names_the_scopes_that_a_header_can_carry_and_no_empty_parameter() {
        let challenged = |scope: &str| {
            let header = challenge(Code::InsufficientScope, "it lacks one", Some(scope));
            header.to_str().expect("ASCII").to_owned()
        };
        for (scope, told) in [
            ("read", "read"),
            (" read  https://a/write ", "read https://a/write"),
            ("r\u{e9}ad write", "write"),
            ("a\"b write c\\d", "write"),
        ] {
            let text = challenged(scope);
            assert!(text.ends_with(&format!(r#", scope="{told}""#)), "{text}");
        }
        for scope in ["\u{e9}", "\"", "\"\" \\", "\u{1f511} \u{1f512}"] {
            let text = challenged(scope);
            assert!(
                text.starts_with(r#"Bearer error="insufficient_scope", error_description=""#),
                "{text}"
            );
            assert!(!text.contains("scope=") && !text.contains("=\"\""), "{text}");
        }
    }
}
