//! `POST /v1/introspect` (RFC 7662), for clients that use it and do not know `/v1/verify`.
//!
//! The socket decides who may ask, because it knows its peers. An `Authorization` header is ignored. The rules are
//! those of `/v1/verify`: an audience is required (RFC 8725 §3.9), from the parameter `audience` or from the settings.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use signet_core::json::Object;
use signet_core::verify::Authentic;
use signet_edge::{Problem, body};

use crate::http::Response;
use crate::routes::Service;
use crate::routes::asked::{Asked, Given, listed, refuse_lookalike};

const FORM: &str = "application/x-www-form-urlencoded";
/// Answers say who may do what, and may change at any moment.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The answer says nothing about a token that is not active, not even why (RFC 7662 §2.2).
const INACTIVE: &[u8] = br#"{"active":false}"#;
/// Members that this service sets, whatever the token claims.
const OURS: [&str; 3] = ["active", "token_type", "scope"];

/// Checks that the request declares its body as a form.
pub(super) fn is_form(headers: &HeaderMap) -> Result<(), Problem> {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (kind, second) = (given.next(), given.next());
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if second.is_none() && kind.eq_ignore_ascii_case(FORM) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body must be an HTML form",
        format!("send the token as {FORM} (RFC 7662 §2.1), or send JSON to /v1/verify"),
    ))
}

impl Service {
    /// Says whether a token is active, and what it claims.
    ///
    /// # Errors
    /// [`Problem`] if the request is malformed. A bad token is an answer, not a problem.
    pub fn introspect(&self, form: &[u8]) -> Result<Response, Problem> {
        let form = Form::parse(form)?;
        let audience: Vec<&str> = form.audience.iter().map(AsRef::as_ref).collect();
        let issuer: Vec<&str> = form.issuer.iter().map(AsRef::as_ref).collect();
        let asked = Asked::new(Given {
            audience: listed(&audience),
            issuer: listed(&issuer),
            scope: form.scope.as_deref(),
            typ: form.typ.as_deref(),
        })?;
        let now = self.clock.now();
        let body = match self.check(&form.token, asked, now)? {
            Ok(entry) => Bytes::from(active(&entry.authentic)),
            Err(_) => Bytes::from_static(INACTIVE),
        };
        let mut response = body::json(body);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        Ok(response)
    }
}

/// The maximum number of unknown parameters. Each is compared with all known ones.
const MOST_UNKNOWN: usize = 32;

/// The parameters. Unknown ones are ignored (RFC 6749 §3.2), and so is `token_type_hint`, because there is only one
/// type. But a parameter that looks like a requirement is refused.
struct Form<'a> {
    token: Cow<'a, str>,
    audience: Vec<Cow<'a, str>>,
    issuer: Vec<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
}

impl<'a> Form<'a> {
    fn parse(form: &'a [u8]) -> Result<Self, Problem> {
        let wrong = |detail| Problem::request("invalid_request", detail);
        let (mut token, mut scope, mut typ) = (None, None, None);
        let (mut audience, mut issuer) = (Vec::new(), Vec::new());
        let mut unknown = 0;
        for (name, value) in form_urlencoded::parse(form) {
            match name.as_ref() {
                "token" if token.is_some() => return Err(wrong("the form has token twice (RFC 6749 §3.2)")),
                "scope" if scope.is_some() => return Err(wrong("the form has scope twice (RFC 6749 §3.2)")),
                "typ" if typ.is_some() => return Err(wrong("the form has typ twice (RFC 6749 §3.2)")),
                "token" if value.trim().is_empty() => return Err(wrong("token is empty (RFC 7662 §2.1)")),
                "token" => token = Some(value),
                "scope" => scope = Some(value),
                "typ" => typ = Some(value),
                "audience" => audience.push(value),
                "issuer" => issuer.push(value),
                _ if unknown == MOST_UNKNOWN => {
                    return Err(wrong("the form has too many unknown parameters"));
                }
                name => {
                    unknown += 1;
                    refuse_lookalike(name)?;
                }
            }
        }
        Ok(Self {
            token: token.ok_or_else(|| wrong("the form has no token (RFC 7662 §2.1)"))?,
            audience,
            issuer,
            scope,
            typ,
        })
    }
}

/// The claims at the top level, as they were signed, with the additions of RFC 7662 §2.2. `scope` is the one that
/// Signet uses, even if the issuer writes it under another name.
fn active(token: &Authentic) -> String {
    let mut answer = String::with_capacity(token.payload().len() + 64);
    answer.push_str(r#"{"active":true,"token_type":"Bearer""#);
    if let Some(scope) = token.scope() {
        member(&mut answer, "scope", &Value::from(scope).to_string());
    }
    // The token was verified, so its payload is a strict JSON object.
    if let Ok(claims) = Object::parse(token.payload()) {
        for (name, value) in claims
            .members()
            .iter()
            .filter(|(name, _)| !OURS.contains(&name.as_ref()))
        {
            member(&mut answer, name, value.get());
        }
    }
    answer.push('}');
    answer
}

fn member(answer: &mut String, name: &str, value: &str) {
    answer.push(',');
    answer.push_str(&Value::from(name).to_string());
    answer.push(':');
    answer.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(form: &str) -> &'static str {
        Form::parse(form.as_bytes())
            .map(|_| "")
            .unwrap_or_else(|problem| problem.code())
    }

    #[test]
    fn unknown_parameters_are_ignored_and_ours_are_read() {
        let text =
            b"token=a.b.c&token_type_hint=refresh_token&x=1&audience=a&audience=https%3A%2F%2Fb&issuer=i&scope=r+w\
            &typ=at%2Bjwt";
        let form = Form::parse(text).expect("a form");
        assert_eq!(form.token, "a.b.c");
        assert_eq!(form.audience, ["a", "https://b"]);
        assert_eq!(form.issuer, ["i"]);
        assert_eq!(
            (form.scope.as_deref(), form.typ.as_deref()),
            (Some("r w"), Some("at+jwt"))
        );
        let many = format!("token=a.b.c{}", "&x=1".repeat(MOST_UNKNOWN));
        assert_eq!(problem(&many), "");
        assert_eq!(problem(&format!("{many}&x=1")), "invalid_request");
    }

    #[test]
    fn a_form_without_exactly_one_token_is_refused() {
        for form in [
            "",
            "token",
            "token=",
            "token=+",
            "Token=a",
            "token=a&token=a",
            "token=a&token=",
            "token=a&scope=b&scope=c",
            "token=a&typ=b&typ=c",
            "token=a&scopes=b",
            "token=a&%53cope=b",
            "token=a&aud=b",
            r#"{"token":"a"}"#,
        ] {
            assert_eq!(problem(form), "invalid_request", "{form}");
        }
    }

    #[test]
    fn only_a_form_is_taken() {
        let headers = |kinds: &[&'static str]| {
            let kinds = kinds.iter().map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            kinds.collect::<HeaderMap>()
        };
        for kind in [FORM, "Application/X-WWW-Form-Urlencoded; charset=UTF-8"] {
            assert!(is_form(&headers(&[kind])).is_ok(), "{kind}");
        }
        assert!(is_form(&headers(&[])).is_err());
        assert!(is_form(&headers(&["application/json"])).is_err());
        assert!(is_form(&headers(&["text/plain, application/x-www-form-urlencoded"])).is_err());
    }
}
