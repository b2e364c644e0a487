//! Authentication: tokens, and the three places that issue them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Google;
use super::state::State;
use super::wire::Problem;
use crate::server::{Request, Response};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The account that makes a request.
pub(crate) fn caller(state: &mut State, request: &Request) -> Result<String, Problem> {
    let now = state.now();
    let token = request
        .header("authorization")
        .and_then(|field| field.strip_prefix("Bearer "));
    let token = token.ok_or_else(Problem::unauthenticated)?;
    if let Some((email, until)) = state.tokens.get(token) {
        return match *until > now {
            true => Ok(email.clone()),
            false => Err(Problem::unauthenticated()),
        };
    }
    let (email, claims) = assertion(state, token).ok_or_else(Problem::unauthenticated)?;
    let scope = claims["scope"].as_str().unwrap_or_default();
    match scope.split(' ').any(|scope| scope == SCOPE) {
        true => Ok(email),
        // https://google.aip.dev/auth/4111: without a scope, the audience is the API.
        false if claims["aud"].as_str().is_some_and(|aud| aud.contains("googleapis.com")) => Ok(email),
        false => Err(Problem::unauthenticated()),
    }
}

/// The account and the claims of a JWT that a service account has signed, if it is valid now.
fn assertion(state: &mut State, token: &str) -> Option<(String, Value)> {
    let (message, signature) = token.rsplit_once('.')?;
    let (_, claims) = message.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let email = claims["iss"].as_str()?.to_owned();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = state.principals.get(&email)?.public.clone()?;
    let now = state.now() / 1_000_000;
    // Google accepts at most an hour, plus ten seconds of clock skew on each side.
    let (from, until) = (claims["iat"].as_u64()?, claims["exp"].as_u64()?);
    let timely = from <= now + 10 && until > now && until - from <= 3620;
    (timely && key.verifies(message.as_bytes(), &signature)).then_some((email, claims))
}

fn form(request: &Request, name: &str) -> String {
    form_urlencoded::parse(&request.body)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn refused(error: &str, description: &str) -> Response {
    Response::json(400, &json!({ "error": error, "error_description": description }))
}

fn issued(state: &mut State, email: &str) -> Value {
    let life = state.token_life.as_secs();
    json!({
        "access_token": state.issue(email),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": life,
    })
}

/// The token exchange of workload identity federation (RFC 8693).
pub(crate) fn exchange(google: &Google, request: &Request) -> Response {
    if form(request, "grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
        return refused("unsupported_grant_type", "The grant type is not supported.");
    }
    let mut state = google.state();
    match state.subjects.get(&form(request, "subject_token")).cloned() {
        Some(email) => Response::json(200, &issued(&mut state, &email)),
        None => refused(
            "invalid_grant",
            "The given credential is rejected by the attribute condition.",
        ),
    }
}

/// The exchange of a service account's assertion (RFC 7523).
pub(crate) fn oauth(google: &Google, request: &Request) -> Response {
    if form(request, "grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return refused("unsupported_grant_type", "Invalid grant_type.");
    }
    let mut state = google.state();
    match assertion(&mut state, &form(request, "assertion")) {
        Some((email, _)) => Response::json(200, &issued(&mut state, &email)),
        None => refused("invalid_grant", "Invalid JWT Signature."),
    }
}

/// The metadata server's token.
pub(crate) fn metadata(google: &Google, request: &Request) -> Response {
    if request.header("metadata-flavor") != Some("Google") {
        return Response::new(403, "text/html", "Missing Metadata-Flavor:Google header.");
    }
    let mut state = google.state();
    match state.machine.clone() {
        Some(email) => Response::json(200, &issued(&mut state, &email)).with("metadata-flavor", "Google"),
        None => Response::new(404, "text/html", "The service account was not found."),
    }
}
