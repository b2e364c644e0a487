//! Envoy's `ext_authz` over gRPC: the decision of `/v1/authorize` in Envoy's words.
//!
//! What a route requires stands in its `context_extensions`: `audience` (one or more, separated by spaces), `scope`, `typ`.

use std::collections::HashMap;

use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use tonic::Code;

use crate::grpc::as_struct;
use crate::grpc::envoy::{
    AppendAction, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpRequest,
    HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use crate::http::problem::Problem;
use crate::routes::Service;
use crate::routes::authorize::{CLAIMS, NOT_ASCII, SCOPE, SUBJECT, malformed};
use crate::routes::verify::Asked;
use crate::token_cache::{Entry, IdentityHeaders};

impl Service {
    /// Decides on a request that Envoy asks about.
    #[must_use]
    pub fn envoy_check(&self, request: &CheckRequest) -> CheckResponse {
        match self.checked(request) {
            Ok(response) => response,
            Err(problem) => denied(&problem),
        }
    }

    fn checked(&self, request: &CheckRequest) -> Result<CheckResponse, Problem> {
        let attributes = request.attributes.as_ref();
        let requires = attributes.map(|attributes| &attributes.context_extensions);
        let requires = requires.map(required).transpose()?.unwrap_or_default();
        let asked = Asked {
            audience: &requires.audience,
            scope: requires.scope,
            typ: requires.typ,
        };
        let http = attributes.and_then(|attributes| attributes.request.as_ref()?.http.as_ref());
        let entry = self.decide(http.map(authorization).transpose()?.flatten(), asked)?;
        let headers = entry.headers().ok_or_else(|| malformed("no headers"))?;
        Ok(allowed(&entry, headers))
    }
}

#[derive(Default)]
struct Required<'a> {
    audience: Vec<&'a str>,
    scope: Option<&'a str>,
    typ: Option<&'a str>,
}

/// An extension that is not known is refused: a misspelt `scope` must not let everybody in.
fn required(extensions: &HashMap<String, String>) -> Result<Required<'_>, Problem> {
    let mut required = Required::default();
    for (name, value) in extensions {
        match name.as_str() {
            "audience" => required.audience = value.split_ascii_whitespace().collect(),
            "scope" => required.scope = Some(value),
            "typ" => required.typ = Some(value),
            _ => {
                tracing::error!(
                    name,
                    "a route of Envoy has a context extension that is not known; audience, scope and typ are"
                );
                return Err(Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "unknown_requirement",
                    "The gateway asks for something that is not known",
                    "context_extensions of the route: audience, scope and typ are known",
                ));
            }
        }
    }
    Ok(required)
}

fn authorization(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let Some(raw) = &request.header_map else {
        return Ok(request.headers.get(AUTHORIZATION.as_str()).map(String::as_str));
    };
    let mut given = raw
        .headers
        .iter()
        .filter(|header| header.key.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(malformed("more than one Authorization header"));
    }
    let octets = first.map(|header| match header.raw_value.is_empty() {
        true => header.value.as_bytes(),
        false => &header.raw_value,
    });
    octets
        .map(|octets| std::str::from_utf8(octets).map_err(|_| malformed(NOT_ASCII)))
        .transpose()
}

/// The identity headers replace what the client sent under their names; an empty one is taken away instead.
fn allowed(entry: &Entry, identity: &IdentityHeaders) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in [
        (&SUBJECT, &identity.subject),
        (&SCOPE, &identity.scope),
        (&CLAIMS, &identity.claims),
    ] {
        match value.is_empty() {
            true => ok.headers_to_remove.push(name.to_string()),
            false => ok.headers.push(header(name, value)),
        }
    }
    CheckResponse {
        status: Some(Status::default()),
        http_response: Some(HttpResponse::Ok(ok)),
        dynamic_metadata: serde_json::from_str(entry.authentic.payload())
            .ok()
            .map(|claims| as_struct(&claims)),
    }
}

fn denied(problem: &Problem) -> CheckResponse {
    let code = match problem.status() {
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => Code::Unauthenticated,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    };
    let response = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: problem.status().as_u16().into(),
        }),
        headers: problem
            .headers()
            .iter()
            .map(|(name, value)| header(name, value))
            .collect(),
        body: String::from_utf8(problem.to_json()).unwrap_or_default(),
    };
    CheckResponse {
        status: Some(Status {
            code: code.into(),
            message: problem.code().to_owned(),
        }),
        http_response: Some(HttpResponse::Denied(response)),
        dynamic_metadata: None,
    }
}

fn header(name: &HeaderName, value: &http::HeaderValue) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_string(),
            // Every value is made of text here, of a token's claims or of ours.
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            raw_value: Vec::new(),
        }),
        append_action: AppendAction::OverwriteIfExistsOrAdd.into(),
    }
}
