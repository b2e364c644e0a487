//! `/v1/authorize`: the answer that nginx `auth_request`, Caddy `forward_auth` and Traefik `ForwardAuth` understand.
//!
//! `200` with the identity in headers, `401` or `403` with the challenge of RFC 6750 §3.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use signet_core::verify::Refusal;
use signet_verify::Unfit;

use crate::http::Response;
use crate::routes::Service;
use crate::routes::asked::{Asked, Given, listed};
use crate::routes::verify::Good;
use signet_base::Seldom;
use signet_edge::Problem;
use signet_edge::body::empty;

impl Service {
    /// Decides on a request by its `Authorization` header; `?audience=`, `?issuer=` (repeatable) and `?scope=` say
    /// what is required.
    ///
    /// # Errors
    /// [`Problem`] with the challenge.
    pub fn authorize(&self, request: &Parts) -> Result<Response, Problem> {
        let query = Query::parse(request.uri.query().unwrap_or_default())?;
        let audience: Vec<&str> = query.audience.iter().map(AsRef::as_ref).collect();
        let issuer: Vec<&str> = query.issuer.iter().map(AsRef::as_ref).collect();
        let asked = Asked::new(Given {
            audience: listed(&audience),
            issuer: listed(&issuer),
            scope: query.scope.as_deref(),
            typ: None,
        })?;
        let mut given = request.headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        if second.is_some() {
            return Err(malformed(TWO_HEADERS));
        }
        let authorization = first.map(HeaderValue::as_bytes);
        let entry = self.decide(authorization, asked)?;
        let mut response = empty(StatusCode::OK);
        let out = response.headers_mut();
        out.reserve(self.identity.names().len());
        // A header without a claim is empty, not absent: the gateway puts it in the place of what the client sent.
        for (name, value) in self.identity.names().iter().zip(self.identity_of(&entry)?) {
            out.insert(name.clone(), value.clone());
        }
        Ok(response)
    }

    /// Decides on a request that came with this `Authorization` header.
    ///
    /// # Errors
    /// [`Problem`] with the challenge.
    pub fn decide(&self, authorization: Option<&[u8]>, asked: Asked<'_>) -> Result<Good, Problem> {
        let token = bearer(authorization)?;
        let now = self.clock.now();
        self.check(token, asked, now)?
            .map_err(|refusal| refused(refusal, asked.scope))
    }

    /// The values of the identity headers for the service, in the order of their names.
    ///
    /// # Errors
    /// [`Problem`] if the token has none that would arrive as they were signed.
    pub fn identity_of<'a>(&self, entry: &'a Good) -> Result<&'a [HeaderValue], Problem> {
        entry.headers(&self.identity).map_err(|unfit| {
            log_unfit(unfit);
            misfit(unfit)
        })
    }
}

fn misfit(unfit: &Unfit) -> Problem {
    match unfit {
        // Not 401: the client would fetch another token of the same size, again and again.
        Unfit::TooLarge { .. } => Problem::new(
            StatusCode::FORBIDDEN,
            "identity_too_large",
            "The identity headers are too large",
            unfit.to_string(),
        ),
        Unfit::Claim { .. } => challenge(StatusCode::UNAUTHORIZED, "invalid_token", &unfit.to_string(), None),
    }
}

/// The reason names the header. It never quotes a claim, which may be private.
fn log_unfit(unfit: &Unfit) {
    static LOGGED: Seldom<String> = Seldom::new();
    let kind = match unfit {
        Unfit::Claim { header, .. } => header.to_string(),
        Unfit::TooLarge { .. } => String::new(),
    };
    if let Some(held_back) = LOGGED.may_log(kind) {
        tracing::warn!(%unfit, held_back, "authorize and Envoy's check refuse a good token, because its claims do not fit into the headers");
    }
}

/// What is no request that a gateway should let through.
pub(super) fn malformed(detail: &str) -> Problem {
    challenge(StatusCode::BAD_REQUEST, "invalid_request", detail, None)
}

pub(super) const TWO_HEADERS: &str = "more than one Authorization header";

#[derive(Default)]
struct Query<'a> {
    audience: Vec<Cow<'a, str>>,
    issuer: Vec<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// An unknown parameter is refused: a misspelt `scope` must not let everybody in.
    fn parse(query: &'a str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "audience" => parsed.audience.push(value),
                "issuer" => parsed.issuer.push(value),
                "scope" if parsed.scope.is_none() => parsed.scope = Some(value),
                _ => {
                    return Err(Problem::request(
                        "invalid_request",
                        "the query takes audience and issuer (one or more) and scope (one, values separated by spaces)",
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

/// RFC 6750 §3 wants a parameter after the scheme, and without an error there is no other.
const CHALLENGE: &str = r#"Bearer realm="api""#;

/// RFC 6750 §2.1: the token. Whoever brings no credentials, or those of another scheme, is asked for a token; a `Bearer`
/// without a token is no request that a gateway should let through.
fn bearer(authorization: Option<&[u8]>) -> Result<&str, Problem> {
    let required = |detail| {
        // RFC 6750 §3.1: no error code for a request without any credentials of the scheme.
        let asks = HeaderValue::from_static(CHALLENGE);
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            "A token is required",
            detail,
        )
        .challenge(asks)
    };
    let value = authorization.ok_or_else(|| required("no Authorization"))?.trim_ascii();
    // RFC 9110 §11.4: the scheme stands alone (`Negotiate`), or before a space.
    let (scheme, token) = match value.iter().position(|octet| *octet == b' ') {
        Some(space) => value.split_at(space),
        None => (value, &[][..]),
    };
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(required("the Authorization header has no Bearer token"));
    }
    match std::str::from_utf8(token.trim_ascii()) {
        Ok("") => Err(malformed("the Authorization header is Bearer without a token")),
        Ok(token) if token.is_ascii() => Ok(token),
        _ => Err(malformed("the token in the Authorization header is not ASCII")),
    }
}

fn refused(refusal: Refusal, scope: Option<&str>) -> Problem {
    let detail = format!("{}: {refusal}", refusal.code());
    match refusal {
        Refusal::InsufficientScope => challenge(StatusCode::FORBIDDEN, "insufficient_scope", &detail, scope),
        _ => challenge(StatusCode::UNAUTHORIZED, "invalid_token", &detail, None),
    }
}

/// The characters that a quoted value of RFC 6750 §3 may hold are ASCII without quote and backslash.
fn is_plain(c: char) -> bool {
    (' '..='~').contains(&c) && !matches!(c, '"' | '\\')
}

fn challenge(status: StatusCode, error: &'static str, detail: &str, scope: Option<&str>) -> Problem {
    let detail_in_header: String = detail.chars().filter(|c| is_plain(*c)).collect();
    let mut value = format!(r#"Bearer error="{error}", error_description="{detail_in_header}""#);
    // One that cannot be written would be another one without some of its characters.
    let scopes = scope.unwrap_or_default().split_whitespace();
    let scopes: Vec<&str> = scopes.filter(|scope| scope.chars().all(is_plain)).collect();
    if !scopes.is_empty() {
        value.push_str(&format!(r#", scope="{}""#, scopes.join(" ")));
    }
    let title = match status {
        StatusCode::FORBIDDEN => "The token does not allow this",
        StatusCode::UNAUTHORIZED => "The token is not accepted",
        _ => "The request is not acceptable",
    };
    let header = HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(CHALLENGE));
    Problem::new(status, error, title, detail).challenge(header)
}

#[cfg(test)]
mod tests {
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    #[test]
    fn the_challenge_names_the_scopes_that_a_header_can_carry_and_no_empty_parameter() {
        let challenged = |scope: &str| {
            let headers = refused(Refusal::InsufficientScope, Some(scope)).headers();
            headers[WWW_AUTHENTICATE].to_str().expect("ASCII").to_owned()
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
