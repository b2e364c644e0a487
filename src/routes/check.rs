//! Envoy's `ext_authz` over gRPC: the decision of `/v1/authorize` in Envoy's words.
//!
//! What a route requires stands in its `context_extensions`: `audience` and `issuer` (one or more, separated by spaces), `scope`,
//! `typ`.

use std::collections::{BTreeSet, HashMap};

use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use tonic::Code;

use crate::grpc::envoy::{
    AppendAction, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpRequest,
    HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use crate::http::problem::Problem;
use crate::routes::Service;
use crate::routes::authorize::{NOT_ASCII, is_blank, malformed};
use crate::routes::verify::Asked;
use crate::telemetry::seldom::Seldom;
use crate::token_cache::Entry;

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
            issuer: &requires.issuer,
            scope: requires.scope,
            typ: requires.typ,
        };
        let http = attributes.and_then(|attributes| attributes.request.as_ref()?.http.as_ref());
        let entry = self.decide(http.map(authorization).transpose()?.flatten(), asked)?;
        let identity = self.identity.names().iter().zip(self.identity_of(&entry)?);
        let mistakable = http
            .into_iter()
            .flat_map(names)
            .filter(|name| self.identity.is_mistakable(name));
        Ok(allowed(&entry, identity, mistakable))
    }
}

#[derive(Default)]
struct Required<'a> {
    audience: Vec<&'a str>,
    issuer: Vec<&'a str>,
    scope: Option<&'a str>,
    typ: Option<&'a str>,
}

/// An extension that is not known is refused, and an empty one: a misspelt `scope`, or a template that was filled with
/// nothing, must not let everybody in.
fn required(extensions: &HashMap<String, String>) -> Result<Required<'_>, Problem> {
    let mut required = Required::default();
    for (name, value) in extensions {
        match name.as_str() {
            _ if is_blank(value) => return Err(misconfigured(name, "is empty")),
            "audience" => required.audience = value.split_ascii_whitespace().collect(),
            "issuer" => required.issuer = value.split_ascii_whitespace().collect(),
            "scope" => required.scope = Some(value),
            "typ" => required.typ = Some(value),
            _ => return Err(misconfigured(name, "is not known")),
        }
    }
    Ok(required)
}

/// The client can do nothing about it, so the log has the name.
fn misconfigured(name: &str, fault: &str) -> Problem {
    static LOGGED: Seldom<String> = Seldom::new();
    if let Some(held_back) = LOGGED.may_log(format!("{name} {fault}")) {
        tracing::error!(
            name,
            held_back,
            "a context extension of a route of Envoy {fault}, so all requests there are denied: audience, issuer, scope and \
             typ are known, each with a value, or left out"
        );
    }
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unknown_requirement",
        "The gateway asks for something that is not known",
        "context_extensions of the route: audience, issuer, scope and typ are known, each with a value, or left out",
    )
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

/// The names of the client's headers, in whichever form Envoy gives them.
fn names(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let raw = request.header_map.iter().flat_map(|raw| &raw.headers);
    let joined = request.headers.keys().map(String::as_str);
    joined.chain(raw.map(|header| header.key.as_str()))
}

/// The identity headers replace what the client sent under their names; an empty one is taken away instead. So is what a
/// service may take for one of them. Envoy takes away after it has set, by the name alone: none may be in both.
fn allowed<'a>(
    entry: &Entry,
    identity: impl Iterator<Item = (&'a HeaderName, &'a http::HeaderValue)>,
    mistakable: impl Iterator<Item = &'a str>,
) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in identity {
        match value.is_empty() {
            true => ok.headers_to_remove.push(name.to_string()),
            false => ok.headers.push(header(name, value)),
        }
    }
    let mistakable: BTreeSet<String> = mistakable.map(str::to_ascii_lowercase).collect();
    ok.headers_to_remove.extend(mistakable);
    CheckResponse {
        status: Some(Status::default()),
        http_response: Some(HttpResponse::Ok(ok)),
        dynamic_metadata: Some(entry.metadata()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::envoy::HeaderMap;

    fn extensions(given: &[(&str, &str)]) -> HashMap<String, String> {
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn raw(headers: &[(&str, &str, &[u8])]) -> HttpRequest {
        let headers = headers.iter().map(|(key, value, raw)| HeaderValue {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            raw_value: raw.to_vec(),
        });
        HttpRequest {
            headers: HashMap::new(),
            header_map: Some(HeaderMap {
                headers: headers.collect(),
            }),
        }
    }

    #[test]
    fn what_a_route_requires_is_read_from_its_extensions() {
        let given = [
            ("audience", " a  b "),
            ("issuer", "i j"),
            ("scope", "read write"),
            ("typ", "at+jwt"),
        ];
        let given = extensions(&given);
        let required = required(&given).expect("known extensions");
        assert_eq!((required.audience, required.issuer), (vec!["a", "b"], vec!["i", "j"]));
        assert_eq!((required.scope, required.typ), (Some("read write"), Some("at+jwt")));
    }

    #[test]
    fn an_extension_that_is_unknown_or_empty_denies_all() {
        for given in [
            ("scopes", "read"),
            ("Scope", "read"),
            ("issuers", "a"),
            ("issuer", " "),
            ("", "read"),
            ("audience", ""),
            ("audience", " "),
            ("scope", ""),
            ("typ", ""),
        ] {
            let extensions = extensions(&[("audience", "a"), given]);
            let problem = required(&extensions).err();
            assert_eq!(
                problem.map(|problem| problem.status()),
                Some(StatusCode::INTERNAL_SERVER_ERROR),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_raw_header_is_found_in_whatever_case_and_form() {
        for request in [
            raw(&[("x", "y", b""), ("Authorization", "", b"Bearer a")]),
            raw(&[("authorization", "Bearer a", b"")]),
        ] {
            assert_eq!(authorization(&request).expect("one header"), Some("Bearer a"));
        }
        assert_eq!(authorization(&raw(&[("x", "y", b"")])).expect("none"), None);
    }

    #[test]
    fn two_raw_headers_or_one_that_is_no_text_are_no_request() {
        for request in [
            raw(&[("authorization", "", b"Bearer a"), ("AUTHORIZATION", "", b"Bearer a")]),
            raw(&[("authorization", "", b"Bearer \xff")]),
        ] {
            let problem = authorization(&request).expect_err("no request");
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        }
    }
}
