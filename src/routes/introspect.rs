//! `POST /v1/introspect`: token introspection (RFC 7662) for who is allowed on the socket.
//!
//! The peer's user id is the authorization that RFC 7662 §2.1 asks for. What is checked is what `verify` checks; a token that is not
//! good gets `{"active":false}` and no reason (§2.2), which stands in the metrics.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use signet_core::json::Object;

use crate::http::Response;
use crate::http::body;
use crate::http::problem::Problem;
use crate::routes::Service;
use crate::routes::verify::Asked;
use crate::token_cache::Entry;

const FORM: &str = "application/x-www-form-urlencoded";
/// Members of the answer that are not the token's to say.
const OURS: [&str; 3] = ["active", "token_type", "scope"];

impl Service {
    /// Tells what a token says, if it is good.
    ///
    /// # Errors
    /// [`Problem`] if the request is not acceptable, or nothing can be said of the token.
    pub fn introspect(&self, head: &Parts, form: &[u8]) -> Result<Response, Problem> {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case(FORM) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body is of another type",
                format!("introspection takes {FORM} (RFC 7662 §2.1)"),
            ));
        }
        let form = Form::parse(form)?;
        let (audience, issuer) = (refs(&form.audience), refs(&form.issuer));
        let asked = Asked {
            audience: &audience,
            issuer: &issuer,
            scope: form.scope.as_deref(),
            typ: None,
        };
        let now = self.clock.now();
        let text = match self.check(&self.published.at(now), &form.token, asked, now)? {
            Ok(entry) => active(&entry),
            Err(_) => r#"{"active":false}"#.to_owned(),
        };
        let mut response = body::json(text);
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        Ok(response)
    }
}

#[derive(Debug)]
struct Form<'a> {
    token: Cow<'a, str>,
    audience: Vec<Cow<'a, str>>,
    issuer: Vec<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
}

impl<'a> Form<'a> {
    /// `token_type_hint` and others are ignored, as RFC 7662 §2.1 and RFC 6749 §3.2 say; what narrows the answer is not.
    fn parse(form: &'a [u8]) -> Result<Self, Problem> {
        let malformed = |detail| Problem::request("invalid_request", detail);
        let (mut token, mut scope) = (None, None);
        let (mut audience, mut issuer) = (Vec::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(form) {
            let before = match name.as_ref() {
                "token" => token.replace(value),
                "scope" => scope.replace(value),
                "audience" | "issuer" if value.is_empty() => {
                    return Err(malformed("audience and issuer must not be empty; leave them out"));
                }
                "audience" => {
                    audience.push(value);
                    None
                }
                "issuer" => {
                    issuer.push(value);
                    None
                }
                _ => None,
            };
            if before.is_some() {
                return Err(malformed("token and scope must be given once (RFC 6749 §3.2)"));
            }
        }
        Ok(Self {
            token: token.ok_or_else(|| malformed("the form has no token (RFC 7662 §2.1)"))?,
            audience,
            issuer,
            scope,
        })
    }
}

fn refs<'a>(texts: &'a [Cow<'_, str>]) -> Vec<&'a str> {
    texts.iter().map(AsRef::as_ref).collect()
}

/// The claims as they were signed, beside what is ours to say.
fn active(entry: &Entry) -> String {
    let proof = &entry.authentic;
    let mut text = r#"{"active":true,"token_type":"Bearer""#.to_owned();
    if let Some(scope) = proof.scope() {
        // Writing to a String cannot fail.
        let _ = write!(text, r#","scope":{}"#, Value::from(scope));
    }
    if let Ok(claims) = Object::parse(proof.payload()) {
        let theirs = claims
            .members()
            .iter()
            .filter(|(name, _)| !OURS.contains(&name.as_ref()));
        for (name, value) in theirs {
            let _ = write!(text, ",{}:{}", Value::from(name.as_ref()), value.get());
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_token_and_what_narrows_the_answer() {
        let form =
            Form::parse(b"token=a.b.c&token_type_hint=access_token&audience=x&audience=y&issuer=z&scope=r+w&other=1");
        let form = form.expect("a form");
        assert_eq!(form.token, "a.b.c");
        assert_eq!(
            (form.audience, form.issuer),
            (vec!["x".into(), "y".into()], vec!["z".into()])
        );
        assert_eq!(form.scope.as_deref(), Some("r w"));
    }

    #[test]
    fn a_form_without_a_token_or_with_two_is_refused() {
        for form in [
            "",
            "tokens=a",
            "token=a&token=b",
            "token=a&scope=r&scope=w",
            "token=a&audience=",
            "token=a&issuer=",
        ] {
            let problem = Form::parse(form.as_bytes()).expect_err(form);
            assert_eq!(problem.code(), "invalid_request", "{form}");
        }
    }
}
