//! Envoy's `ext_authz` over gRPC: the decision of `/v1/authorize` in Envoy's messages.
//!
//! A route states its requirements in `context_extensions`: `audience` and `issuer` (one or more, separated by
//! spaces), `scope` and `typ`.

use std::collections::{BTreeSet, HashMap};

use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use signet_base::LogLimit;
use signet_edge::Problem;
use tonic::Code;

use crate::grpc::envoy::{
    AppendAction, CheckRequest, CheckResponse, ClientHeader, DeniedHttpResponse, HeaderValue, HeaderValueOption,
    HttpRequest, HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use crate::routes::Service;
use crate::routes::asked::{Asked, Given};
use crate::routes::verify::Good;

impl Service {
    /// Judges a request for Envoy.
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
        let asked = requires.asked()?;
        let http = attributes.and_then(|attributes| attributes.request.as_ref()?.http.as_ref());
        let entry = self.decide(http.into_iter().flat_map(authorization), asked)?;
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
    audience: Option<Vec<&'a str>>,
    issuer: Option<Vec<&'a str>>,
    scope: Option<&'a str>,
    typ: Option<&'a str>,
}

impl Required<'_> {
    fn asked(&self) -> Result<Asked<'_>, Problem> {
        let asked = Asked::new(Given {
            audience: self.audience.as_deref(),
            issuer: self.issuer.as_deref(),
            scope: self.scope,
            typ: self.typ,
        });
        // The client cannot correct this, so it is logged.
        asked.inspect_err(|problem| {
            static LOGGED: LogLimit<String> = LogLimit::new();
            if let Some(held_back) = LOGGED.may_log(problem.detail().to_owned()) {
                tracing::error!(
                    held_back,
                    "Envoy's context_extensions of a route have an empty value, so all requests to the route are \
                     denied: {}",
                    problem.detail()
                );
            }
        })
    }
}

/// An unknown extension is refused, because a misspelled `scope` must not accept every token.
fn required(extensions: &HashMap<String, String>) -> Result<Required<'_>, Problem> {
    let mut required = Required::default();
    for (name, value) in extensions {
        match name.as_str() {
            "audience" => required.audience = Some(value.split_ascii_whitespace().collect()),
            "issuer" => required.issuer = Some(value.split_ascii_whitespace().collect()),
            "scope" => required.scope = Some(value),
            "typ" => required.typ = Some(value),
            _ => return Err(unknown(name)),
        }
    }
    Ok(required)
}

/// The client cannot correct this, so the name is logged.
fn unknown(name: &str) -> Problem {
    static LOGGED: LogLimit<String> = LogLimit::new();
    if let Some(held_back) = LOGGED.may_log(name.to_owned()) {
        tracing::error!(
            name,
            held_back,
            "Envoy's context_extensions of a route have an unknown name, so all requests to the route are denied; \
             use only audience, issuer, scope and typ"
        );
    }
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unknown_requirement",
        "The route has an unknown requirement",
        "the context_extensions of the route have an unknown name; use only audience, issuer, scope and typ",
    )
}

/// The values of the client's `Authorization` headers.
fn authorization(request: &HttpRequest) -> impl Iterator<Item = &[u8]> {
    let given = headers(request).filter(|header| header.key.eq_ignore_ascii_case(AUTHORIZATION.as_str().as_bytes()));
    given.map(|header| match header.raw_value.is_empty() {
        true => header.value.as_slice(),
        false => &header.raw_value,
    })
}

/// The client's headers: the raw list if Envoy sends it, and otherwise the map. They are never combined.
fn headers(request: &HttpRequest) -> impl Iterator<Item = &ClientHeader> {
    request
        .header_map
        .as_ref()
        .map_or(&request.headers, |raw| &raw.headers)
        .iter()
}

/// The names of the client's headers, from both forms. A name that is not UTF-8 is not valid in HTTP, and
/// Envoy could not remove it.
fn names(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let raw = request.header_map.iter().flat_map(|raw| &raw.headers);
    let all = request.headers.iter().chain(raw);
    all.filter_map(|header| std::str::from_utf8(&header.key).ok())
}

/// Allows a request. The identity headers replace what the client sent under their names; if one is empty, the client's
/// header is removed. So is any header that a service may confuse with one of them. Envoy removes headers by name after
/// it has set others, so no name may be in both lists.
fn allowed<'a>(
    entry: &Good,
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
        dynamic_metadata: Some(entry.kept.metadata(&entry.authentic)),
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
            // Every value was made from text, of a token's claims or of our own.
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            raw_value: Vec::new(),
        }),
        append_action: AppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::grpc::envoy::HeaderMap;

    fn extensions(given: &[(&str, &str)]) -> HashMap<String, String> {
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn client(headers: &[(&str, &str, &[u8])]) -> Vec<ClientHeader> {
        let headers = headers.iter().map(|(key, value, raw)| ClientHeader {
            key: key.as_bytes().to_vec(),
            value: value.as_bytes().to_vec(),
            raw_value: raw.to_vec(),
        });
        headers.collect()
    }

    fn raw(headers: &[(&str, &str, &[u8])]) -> HttpRequest {
        HttpRequest {
            headers: Vec::new(),
            header_map: Some(HeaderMap {
                headers: client(headers),
            }),
        }
    }

    fn joined(headers: &[(&str, &str, &[u8])]) -> HttpRequest {
        HttpRequest {
            headers: client(headers),
            header_map: None,
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
        let asked = required.asked().expect("requirements");
        assert_eq!((asked.audience, asked.issuer), (&["a", "b"][..], &["i", "j"][..]));
        assert_eq!((asked.scope, asked.typ), (Some("read write"), Some("at+jwt")));
    }

    #[test]
    fn an_extension_that_is_unknown_or_empty_denies_all() {
        for (given, status) in [
            (("scopes", "read"), 500),
            (("Scope", "read"), 500),
            (("issuers", "a"), 500),
            (("", "read"), 500),
            (("issuer", " "), 400),
            (("issuer", "\t"), 400),
            (("audience", ""), 400),
            (("audience", " "), 400),
            (("scope", ""), 400),
            (("scope", "  "), 400),
            (("typ", ""), 400),
        ] {
            let extensions = extensions(&[("audience", "a"), given]);
            let problem = required(&extensions)
                .and_then(|required| required.asked().map(|_| ()))
                .err();
            assert_eq!(
                problem.map(|problem| problem.status().as_u16()),
                Some(status),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_header_is_found_in_whatever_case_and_form() {
        for request in [
            raw(&[("x", "y", b""), ("Authorization", "", b"Bearer a")]),
            raw(&[("authorization", "Bearer a", b"")]),
            joined(&[("x", "y", b""), ("authorization", "Bearer a", b"")]),
        ] {
            assert_eq!(authorization(&request).collect::<Vec<_>>(), [b"Bearer a"]);
        }
        assert_eq!(authorization(&raw(&[("x", "y", b"")])).count(), 0);
    }

    #[test]
    fn two_headers_are_both_seen_in_whatever_case_and_form() {
        let twice = [
            ("authorization", "", &b"Bearer a"[..]),
            ("AUTHORIZATION", "", b"Bearer a"),
        ];
        for request in [raw(&twice), joined(&twice)] {
            assert_eq!(authorization(&request).count(), 2);
        }
    }

    /// Messages as other programs encode them. A value in Latin-1 must not prevent reading the others.
    #[test]
    fn a_header_value_that_is_no_utf8_leaves_the_others_as_they_are() {
        fn field(number: u8, content: &[u8]) -> Vec<u8> {
            let length = u8::try_from(content.len()).expect("short");
            [&[number << 3 | 2, length], content].concat()
        }
        let entry = |key: &[u8], value: &[u8]| [field(1, key), field(2, value)].concat();
        let headers = [
            field(3, &entry(b"example-header", b"Espa\xf1a")),
            field(3, &entry(b"authorization", b"Bearer a")),
            field(3, &entry(b"\xff", b"\xff")),
        ]
        .concat();
        let request = HttpRequest::decode(headers.as_slice()).expect("a request");
        assert_eq!(authorization(&request).collect::<Vec<_>>(), [b"Bearer a"]);
        assert_eq!(names(&request).collect::<Vec<_>>(), ["example-header", "authorization"]);
    }
}
