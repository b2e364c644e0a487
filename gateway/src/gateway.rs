//! Handles a request: decides what answers it, and adds the headers that every answer has.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::{Either, Full};
use signet_edge::Handler;
use signet_edge::body::{Arriving, empty};

use crate::answer::{self, COMPLETED, Response};
use crate::ask::Call;
use crate::auth::Refused;
use crate::flowing::Flowing;
use crate::own::Own;
use crate::plan::Plan;
use crate::plan::filters::remove_hop_by_hop;
use crate::plan::rules::Page;
use crate::plan::secure::Stopped;
use crate::routes::{RouteMatch, Undecodable};
use crate::serving::{Current, Serving};
use crate::telemetry::Telemetry;
use crate::telemetry::exchange::Exchange;
use crate::telemetry::metrics::ACCEPTED;
use crate::upstream::Upstream;

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");
const VERSION: HeaderName = HeaderName::from_static("x-krakend");

/// The gateway, as one connection sees it.
#[derive(Clone, Debug)]
pub struct Gateway<U> {
    current: Current<U>,
    telemetry: Arc<Telemetry>,
    /// The address at the other end of the connection.
    peer: IpAddr,
    /// The same, for a header.
    address: HeaderValue,
}

impl<U: Upstream> Gateway<U> {
    /// For the connection of this client.
    pub fn new(current: Current<U>, telemetry: Arc<Telemetry>, client: SocketAddr) -> Self {
        // An IPv4 address that arrived over an IPv6 listener is treated as IPv4.
        let peer = client.ip().to_canonical();
        Self {
            current,
            telemetry,
            peer,
            address: written(peer),
        }
    }
}

/// A request on its way, with the plan that was current when it began.
struct Passage<'a, U> {
    serving: &'a Serving<U>,
    telemetry: &'a Arc<Telemetry>,
    peer: IpAddr,
    address: &'a HeaderValue,
}

impl<'a, U: Upstream> Passage<'a, U> {
    const fn plan(&self) -> &'a Plan {
        &self.serving.plan
    }

    /// Answers a request, which may come from a page of another origin.
    async fn answer(&self, request: Request<Arriving>, exchange: &mut Exchange<'a>) -> Response {
        let Some(cors) = &self.plan().rules.cors else {
            return self.guarded(request, exchange).await;
        };
        if let Some((status, headers)) = cors.preflight(request.method(), request.headers()) {
            let mut response = match cors.passes_through() {
                true => self.guarded(request, exchange).await,
                false => empty(status),
            };
            cors.remove(response.headers_mut());
            response.headers_mut().extend(headers);
            return response;
        }
        let origin = request.headers().get(ORIGIN).cloned();
        let mut response = self.guarded(request, exchange).await;
        cors.finish(origin.as_ref(), response.headers_mut());
        response
    }

    /// Answers a request that is no preflight, with the headers of `security/http`.
    async fn guarded(&self, request: Request<Arriving>, exchange: &mut Exchange<'a>) -> Response {
        let rules = &self.plan().rules;
        let Some(secure) = &rules.secure else {
            return self.admitted(request, exchange).await;
        };
        let is_from_proxy = rules.proxies.have(self.peer);
        let is_https = secure.is_https(request.headers(), is_from_proxy);
        let mut response = match secure.check(request.uri(), request.headers(), is_from_proxy) {
            Ok(()) => self.admitted(request, exchange).await,
            Err(stopped) => return halt(&stopped),
        };
        secure.finish(is_https, response.headers_mut());
        response
    }

    async fn admitted(&self, request: Request<Arriving>, exchange: &mut Exchange<'a>) -> Response {
        match &self.plan().rules.bots {
            Some(bots) if bots.refuse(request.headers()) => empty(StatusCode::FORBIDDEN),
            _ => self.route(request, exchange).await,
        }
    }

    async fn route(&self, request: Request<Arriving>, exchange: &mut Exchange<'a>) -> Response {
        let path = request.uri().path();
        if let Some(own) = Own::find(&self.plan().rules, request.method(), path) {
            return own.answer(request).await;
        }
        let found = self.plan().routes.find(request.method(), path);
        let (endpoint, parameters) = match found {
            Ok(RouteMatch::Endpoint(endpoint, parameters)) => (endpoint, parameters),
            Ok(other) => return self.nowhere(&request, other),
            Err(Undecodable) => return empty(StatusCode::BAD_REQUEST),
        };
        let endpoint = &self.plan().endpoints[endpoint];
        exchange.on_routed(&endpoint.series);
        if parameters.iter().any(|value| is_ambiguous(value)) {
            return empty(StatusCode::BAD_REQUEST);
        }
        if endpoint
            .bots
            .as_ref()
            .is_some_and(|bots| bots.refuse(request.headers()))
        {
            return empty(StatusCode::FORBIDDEN);
        }
        let (head, body) = request.into_parts();
        let mut call = self.call(head, parameters);
        if let Some(authenticator) = endpoint
            .validator
            .and_then(|number| self.serving.authenticators.get(number))
        {
            let verdict = authenticator.check(&mut call.headers);
            let code = verdict.as_ref().err().map_or(ACCEPTED, Refused::code);
            self.telemetry.metrics.on_token(code);
            match verdict {
                Ok(claims) => call.claims = Some(claims),
                Err(refused) => {
                    let mut response = refused.response(self.plan().rules.tells_errors);
                    response
                        .headers_mut()
                        .insert(VERSION, self.plan().rules.version.clone());
                    return response;
                }
            }
        } else if endpoint.validator.is_some() {
            return empty(StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut response = answer::answer(&self.serving.upstream, self.plan(), endpoint, &call, body).await;
        response
            .headers_mut()
            .insert(VERSION, self.plan().rules.version.clone());
        response
    }

    fn call(&self, mut head: Parts, parameters: Vec<String>) -> Call {
        let host = head.headers.get(HOST).cloned();
        let proxies = &self.plan().rules.proxies;
        let authority = || {
            head.uri
                .authority()
                .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        };
        let host = host.or_else(authority);
        let client = match proxies.have(self.peer) {
            true => written(proxies.client(self.peer, &head.headers)),
            false => self.address.clone(),
        };
        let scheme = match proxies
            .have(self.peer)
            .then(|| forwarded_scheme(&head.headers))
            .flatten()
        {
            Some(scheme) => scheme,
            None if self.plan().tls.is_some() => HTTPS,
            None => HTTP,
        };
        // This comes before the headers that the token sets: a client must not remove those by naming them in `Connection`.
        remove_hop_by_hop(&mut head.headers);
        Call {
            parameters,
            query: head.uri.query().unwrap_or_default().to_owned(),
            client,
            scheme,
            host,
            claims: None,
            headers: head.headers,
        }
    }

    /// The answer for a path without an endpoint.
    fn nowhere(&self, request: &Request<Arriving>, found: RouteMatch) -> Response {
        let rules = &self.plan().rules;
        let path = request.uri().path();
        if let Some(path) = self.plan().routes.nearest(request.method(), path, rules.redirects) {
            let location = match request.uri().query() {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            if let Ok(location) = HeaderValue::from_str(&location) {
                let status = match *request.method() {
                    Method::GET => StatusCode::MOVED_PERMANENTLY,
                    _ => StatusCode::TEMPORARY_REDIRECT,
                };
                let mut response = empty(status);
                response.headers_mut().insert(LOCATION, location);
                return response;
            }
        }
        let mut response = match found {
            RouteMatch::OtherMethods(methods) => {
                let asks_for_methods = rules.auto_options && request.method() == Method::OPTIONS;
                let mut response = match asks_for_methods {
                    true => empty(StatusCode::OK),
                    false => self.page(StatusCode::METHOD_NOT_ALLOWED, &rules.method_not_allowed),
                };
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
                    response.headers_mut().insert(ALLOW, allow);
                }
                if asks_for_methods {
                    response.headers_mut().insert(VERSION, rules.version.clone());
                    return response;
                }
                response
            }
            _ => self.page(StatusCode::NOT_FOUND, &rules.not_found),
        };
        response
            .headers_mut()
            .insert(COMPLETED, HeaderValue::from_static("false"));
        response
    }

    fn page(&self, status: StatusCode, page: &Page) -> Response {
        let mut response = http::Response::new(Either::Left(Full::new(page.body.clone())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, page.content_type.clone());
        headers.insert(VERSION, self.plan().rules.version.clone());
        response
    }
}

impl<U: Upstream> Handler for Gateway<U> {
    type Streamed = Flowing;

    async fn handle(&self, request: Request<Arriving>) -> Response {
        let serving = self.current.load_full();
        let passage = Passage {
            serving: &serving,
            telemetry: &self.telemetry,
            peer: self.peer,
            address: &self.address,
        };
        let mut exchange = Exchange::begin(&self.telemetry, &serving.plan.elsewhere);
        let response = passage.answer(request, &mut exchange).await;
        recorded(exchange, response)
    }
}

/// The scheme of the client's request, if a trusted proxy says so in one word.
fn forwarded_scheme(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all("x-forwarded-proto").iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    [HTTP, HTTPS]
        .into_iter()
        .find(|scheme| scheme.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

/// Records an answer, a streamed one when its last byte was passed on.
fn recorded(exchange: Exchange<'_>, mut response: Response) -> Response {
    let status = response.status();
    match response.body_mut() {
        Either::Left(whole) => exchange.finish(status, whole.size_hint().lower()),
        Either::Right(flowing) => flowing.watch(exchange.stream(status)),
    }
    response
}

/// An address as the value of a header.
fn written(address: IpAddr) -> HeaderValue {
    // It is plain ASCII, always.
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Whether servers may read a value as more than one part of a path: it is encoded twice, or has a character that ends
/// a path.
fn is_ambiguous(value: &str) -> bool {
    let octets = value.as_bytes();
    let is_encoded = octets
        .windows(3)
        .any(|window| window[0] == b'%' && window[1].is_ascii_hexdigit() && window[2].is_ascii_hexdigit());
    is_encoded || value.contains(['?', '#']) || value == "." || value == ".."
}

/// The answer to a request that `security/http` stops.
fn halt(stopped: &Stopped) -> Response {
    let mut response = match stopped {
        Stopped::Redirected(status, _) => empty(*status),
        Stopped::BadHost => {
            let mut response = http::Response::new(Either::Left(Full::new(Bytes::from_static(b"Bad Host\n"))));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        }
    };
    response.headers_mut().extend(stopped.location());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_may_be_read_twice_is_ambiguous() {
        for value in ["%2e", "a%2Fb", "a?b", "a#b", ".", ".."] {
            assert!(is_ambiguous(value), "{value}");
        }
        for value in ["a b", "a/b", "100%", "%zz", "...", ".a", "é", "a;b"] {
            assert!(!is_ambiguous(value), "{value}");
        }
    }
}
