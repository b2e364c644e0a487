//! `/v1/authorize`: answers for nginx `auth_request`, Caddy `forward_auth` and Traefik `ForwardAuth`.
//!
//! The answer is `200` with the identity in headers, or `401` or `403` with the challenge of RFC 6750 §3.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use signet_base::LogLimit;
use signet_core::verify::Refusal;
use signet_edge::Problem;
use signet_edge::body::empty;
use signet_verify::Unfit;
use signet_verify::bearer::{self, Code, NoToken};

use crate::http::Response;
use crate::routes::Service;
use crate::routes::asked::{Asked, Given, listed};
use crate::routes::verify::Good;

impl Service {
    /// Judges a request by its `Authorization` header. The query parameters `audience` and `issuer` (repeatable) and
    /// `scope` say what is required.
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
        let authorization = request.headers.get_all(AUTHORIZATION).iter();
        let entry = self.decide(authorization.map(HeaderValue::as_bytes), asked)?;
        let mut response = empty(StatusCode::OK);
        let out = response.headers_mut();
        out.reserve(self.identity.names().len());
        // If a claim is missing, its header is empty, not absent: the gateway then overwrites what the client sent.
        for (name, value) in self.identity.names().iter().zip(self.identity_of(&entry)?) {
            out.insert(name.clone(), value.clone());
        }
        Ok(response)
    }

    /// Judges a request by its `Authorization` headers.
    ///
    /// # Errors
    /// [`Problem`] with the challenge.
    pub fn decide<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
        asked: Asked<'_>,
    ) -> Result<Good, Problem> {
        let token = bearer::token(authorization).map_err(no_token)?;
        let now = self.clock.now();
        self.check(token, asked, now)?
            .map_err(|refusal| refused(refusal, asked.scope))
    }

    /// The values of the identity headers for the service, in the order of their names.
    ///
    /// # Errors
    /// [`Problem`] if a header could not carry a claim unchanged.
    pub fn identity_of<'a>(&self, entry: &'a Good) -> Result<&'a [HeaderValue], Problem> {
        entry.headers(&self.identity).map_err(|unfit| {
            log_unfit(unfit);
            misfit(unfit)
        })
    }
}

fn misfit(unfit: &Unfit) -> Problem {
    match unfit {
        // This is not 401, because the client would fetch another token of the same size again and again.
        Unfit::TooLarge { .. } => Problem::new(
            StatusCode::FORBIDDEN,
            "identity_too_large",
            "The identity headers are too large",
            unfit.to_string(),
        ),
        Unfit::Claim { .. } => challenged(Code::InvalidToken, &unfit.to_string(), None),
    }
}

/// Logs why a token has no identity headers. The reason names the header and never quotes a
/// claim, which may be private.
fn log_unfit(unfit: &Unfit) {
    static LOGGED: LogLimit<String> = LogLimit::new();
    let kind = match unfit {
        Unfit::Claim { header, .. } => header.to_string(),
        Unfit::TooLarge { .. } => String::new(),
    };
    if let Some(held_back) = LOGGED.may_log(kind) {
        tracing::warn!(
            held_back,
            "a valid token was refused, because its claims cannot be sent as identity headers: {unfit}"
        );
    }
}

#[derive(Default)]
struct Query<'a> {
    audience: Vec<Cow<'a, str>>,
    issuer: Vec<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// An unknown parameter is refused, because a misspelled `scope` must not accept every token.
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
                        "the query may have only audience (one or more), issuer (one or more) and scope (once, \
                         values separated by spaces)",
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

fn no_token(why: NoToken) -> Problem {
    match why.code() {
        Some(code) => challenged(code, &why.to_string(), None),
        None => Problem::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            "A token is required",
            why.to_string(),
        )
        .challenge(bearer::bare_challenge()),
    }
}

fn refused(refusal: Refusal, scope: Option<&str>) -> Problem {
    let detail = format!("{}: {refusal}", refusal.code());
    match refusal {
        Refusal::InsufficientScope => challenged(Code::InsufficientScope, &detail, scope),
        _ => challenged(Code::InvalidToken, &detail, None),
    }
}

fn challenged(code: Code, detail: &str, scope: Option<&str>) -> Problem {
    let title = match code {
        Code::InsufficientScope => "The token lacks a required scope",
        Code::InvalidToken => "The token is not valid",
        Code::InvalidRequest => "The request is not valid",
    };
    Problem::new(code.status(), code.as_str(), title, detail).challenge(bearer::challenge(code, detail, scope))
}
