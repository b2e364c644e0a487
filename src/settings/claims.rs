//! The claims that get their own header, and the names of these headers.
//!
//! The name of the header follows the last colon, because the name of the claim may contain colons:
//! `https://example.com/roles:x-auth-roles`.

use http::HeaderName;
use signet_config::{Reader, Source};
use signet_core::ClaimPath;
use signet_verify::Identity;

use super::parse;

/// The maximum number of headers for chosen claims.
const MOST_HEADERS: usize = 16;
/// The maximum length of a header's name.
const LONGEST_NAME: usize = 64;
const EXAMPLE: &str = "write for example email:x-auth-email,/realm_access/roles:x-auth-roles";

/// Names after `x-` that gateways, proxies and frameworks use to give each other instructions, or to say where a
/// request came from. A token must not control these. An entry that ends in `-` is a prefix.
const OF_GATEWAYS: [&str; 16] = [
    "forwarded",
    "forwarded-",
    "real-ip",
    "client-ip",
    "cluster-client-ip",
    "request-id",
    "correlation-id",
    "original-",
    "rewrite-",
    "http-method",
    "http-method-",
    "method-override",
    "envoy-",
    "accel-",
    "sendfile",
    "amz-",
];

pub(super) fn identity(r: &mut Reader) -> Option<Identity> {
    let chosen = r.optional("claim_headers", headers).unwrap_or_default();
    let separator = r.required("claim_headers_join", separator);
    if chosen.is_empty()
        && r.source("claim_headers_join") != Source::Default
        && r.knows(&["claim_headers", "claim_headers_join"])
    {
        let text = "is not used, because SIGNET_CLAIM_HEADERS is empty. Remove it, or set SIGNET_CLAIM_HEADERS too";
        r.refuse("claim_headers_join", text.to_owned());
    }
    let most = r.required("claim_headers_max", |text| parse::number(text, 1024..=65_536));
    Some(Identity::new(chosen, separator?, most?))
}

fn headers(text: &str) -> Result<Vec<(ClaimPath, HeaderName)>, String> {
    let mut chosen: Vec<(ClaimPath, HeaderName)> = Vec::new();
    for item in parse::names(text)? {
        let (path, name) = item
            .rsplit_once(':')
            .ok_or_else(|| format!("{item:?} is not of the form CLAIM:HEADER; {EXAMPLE}"))?;
        let path = ClaimPath::parse(path).map_err(|error| format!("{error}; {EXAMPLE}"))?;
        let name = header(name).map_err(|wrong| format!("{item:?}: the header {name:?} {wrong}; {EXAMPLE}"))?;
        if chosen.iter().any(|(_, taken)| *taken == name) {
            return Err(format!(
                "{name} is the header of two claims; give each claim its own header"
            ));
        }
        chosen.push((path, name));
    }
    match chosen.len() <= MOST_HEADERS {
        true => Ok(chosen),
        false => Err(format!(
            "has {} headers, but at most {MOST_HEADERS} are allowed; remove some",
            chosen.len()
        )),
    }
}

/// The name of a header that has a meaning for the service only.
///
/// With the prefix `x-`, it is neither hop-by-hop nor one that decides where a request goes or who sent it (`Host`,
/// `Authorization`, `Cookie`, `Content-…`).
fn header(name: &str) -> Result<HeaderName, &'static str> {
    let name = name.trim().to_ascii_lowercase();
    let Some(rest) = name.strip_prefix("x-") else {
        return Err("does not begin with x-");
    };
    // CGI and interfaces like it turn all other characters into `_`, and two names could become the same.
    let is_plain = rest
        .split('-')
        .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_plain {
        return Err("may have only letters, digits, and single hyphens between them");
    }
    if name.len() > LONGEST_NAME {
        return Err("is longer than 64 characters");
    }
    if Identity::is_fixed(&name) {
        return Err("is a header that Signet always sets itself; choose another name");
    }
    let is_of_gateways = OF_GATEWAYS.iter().any(|taken| match taken.ends_with('-') {
        true => rest.starts_with(taken),
        false => rest == *taken,
    });
    if is_of_gateways {
        return Err("is a header that gateways and proxies interpret; choose another name");
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not a valid header name (RFC 9110 §5.1)")
}

/// A single character. Blanks at the ends of a setting are dropped, so the space is written as a word.
fn separator(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        _ if text == "space" => Ok(' '),
        (Some(one), None) if one.is_ascii_punctuation() && !matches!(one, '"' | '\\') => Ok(one),
        _ => Err(format!(
            "{text:?} is not a separator; write one character such as , ; or |, or the word space"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_own_colons_stay_and_the_header_is_after_the_last() {
        let text = "email:X-Auth-Email, https://example.com/roles:x-auth-roles,/realm_access/roles:x-realm";
        let read: Vec<(String, String)> = headers(text)
            .expect("a list")
            .iter()
            .map(|(path, name)| (path.to_string(), name.to_string()))
            .collect();
        let expected = [
            ("email", "x-auth-email"),
            ("https://example.com/roles", "x-auth-roles"),
            ("/realm_access/roles", "x-realm"),
        ];
        assert_eq!(read, expected.map(|(path, name)| (path.to_owned(), name.to_owned())));
        assert_eq!(headers(""), Ok(Vec::new()));
    }

    #[test]
    fn a_name_that_means_something_to_others_is_refused() {
        let most = format!("x-{}", "a".repeat(62));
        assert!(header(&most).is_ok());
        for name in [
            "",
            "x-",
            "x",
            "email",
            "Host",
            "authorization",
            "cookie",
            "content-length",
            "content-type",
            "connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "proxy-authorization",
            ":path",
            "x-auth-subject",
            "X-Auth-Scope",
            "x-auth-claims",
            "x-forwarded-for",
            "x-forwarded-user",
            "x-forwarded",
            "x-real-ip",
            "x-request-id",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-accel-redirect",
            "x-envoy-original-path",
            "x_auth_email",
            "x-auth_email",
            "x-auth.email",
            "x--a",
            "x-a-",
            "x-a b",
            "x-a\r\nx-b",
            "x-é",
            &format!("{most}a"),
        ] {
            assert!(header(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_claims_and_headers_is_refused_with_an_example() {
        for (text, wrong) in [
            ("email", "CLAIM:HEADER"),
            ("https://example.com/roles", "header"),
            (":x-a", "neither"),
            ("/a~2:x-a", "neither"),
            ("a:x-a,b:X-A", "two claims"),
            ("a:b", "x-"),
        ] {
            let problem = headers(text).expect_err(text);
            assert!(problem.contains(wrong), "{text}: {problem}");
        }
        let many: Vec<String> = (0..=MOST_HEADERS).map(|n| format!("a:x-a{n}")).collect();
        assert!(headers(&many.join(",")).is_err());
    }

    #[test]
    fn a_separator_is_one_character_or_the_word_space() {
        for (text, read) in [(",", ','), (";", ';'), ("|", '|'), ("space", ' ')] {
            assert_eq!(separator(text), Ok(read));
        }
        for text in ["", ", ", "ab", "a", "1", "\"", "\\", "é", "\n", "tab"] {
            assert!(separator(text).is_err(), "{text:?}");
        }
    }
}
