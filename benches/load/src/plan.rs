//! The plan of a run: the request, its rate, the duration, and what a good answer is.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use crate::error::LoadError;
use crate::supply::Supply;
use crate::target::Target;

/// The protocol on the wire. HTTP/2 is used without TLS, with prior knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Everything that defines a run.
pub(crate) struct Plan {
    pub target: Target,
    pub protocol: Protocol,
    pub connections: usize,
    /// Requests in flight on each connection. One for HTTP/1.1.
    pub streams: usize,
    pub warmup: Duration,
    pub window: Duration,
    pub template: Template,
    pub supply: Supply,
    /// The values of `Authorization`. `None` if the header is the same in all requests, or is not sent.
    pub authorizations: Option<Supply>,
    pub expect: Expect,
    /// The minimum time between two requests of a client. `None` means as fast as the answers arrive.
    pub pace: Option<Duration>,
    /// The processes whose usage is measured.
    pub pids: Vec<u32>,
    /// Units of work in one request, such as 64 tokens in a batch.
    pub units: u32,
}

/// All parts of a request except its body, made once.
pub(crate) struct Template {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Template {
    /// Makes the parts. `headers` are lines such as `Name: value`. A body is JSON unless the headers say otherwise.
    pub(crate) fn new(
        method: Method,
        target: &Target,
        protocol: Protocol,
        headers: &[String],
    ) -> Result<Self, LoadError> {
        let mut map = HeaderMap::new();
        for line in headers {
            let bad = || LoadError::Usage(format!("--header {line:?}: write Name: value"));
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
            let value: HeaderValue = value.trim().parse().map_err(|_| bad())?;
            map.append(name, value);
        }
        if method == Method::POST && !map.contains_key(CONTENT_TYPE) {
            map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let uri = match protocol {
            Protocol::Http2 => target.uri.clone(),
            Protocol::Http1 => {
                let host = HeaderValue::from_str(target.authority.as_str());
                let host = host.map_err(|_| LoadError::Usage(format!("{}: not a host", target.authority)))?;
                map.entry(HOST).or_insert(host);
                let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
                path.parse()
                    .map_err(|_| LoadError::Usage(format!("{path}: not a path")))?
            }
        };
        Ok(Self {
            method,
            uri,
            headers: map,
        })
    }

    /// Makes one request with this body and this value of `Authorization`.
    pub(crate) fn authorized(&self, body: Bytes, authorization: Bytes) -> Result<Request<Full<Bytes>>, LoadError> {
        let value = HeaderValue::from_maybe_shared(authorization)
            .map_err(|_| LoadError::Usage("--authorizations: a line is not valid in a header".to_owned()))?;
        let mut request = self.with(body);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }

    /// Makes one request with this body.
    pub(crate) fn with(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The requirements for every answer, including those of the warm-up.
pub(crate) struct Expect {
    pub status: u16,
    /// A text that the body must contain, and how often. `None` means that the body is read but not checked.
    pub text: Option<(String, usize)>,
}

impl Expect {
    pub(crate) fn check(&self, status: u16, body: &[u8]) -> Result<(), LoadError> {
        if status != self.status {
            return Err(LoadError::Status {
                status,
                expected: self.status,
                excerpt: excerpt(body),
            });
        }
        let Some((text, times)) = &self.text else { return Ok(()) };
        let found = occurrences(body, text.as_bytes());
        if found == *times {
            return Ok(());
        }
        Err(LoadError::Body {
            expected: text.clone(),
            times: *times,
            found,
            excerpt: excerpt(body),
        })
    }
}

fn occurrences(body: &[u8], text: &[u8]) -> usize {
    if text.is_empty() || body.len() < text.len() {
        return 0;
    }
    body.windows(text.len()).filter(|window| *window == text).count()
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted_wherever_it_stands() {
        for (body, text, times) in [
            (r#"{"active":true}"#, r#""active":true"#, 1),
            ("tokentoken", "token", 2),
            ("token", "tokens", 0),
            ("", "x", 0),
        ] {
            assert_eq!(occurrences(body.as_bytes(), text.as_bytes()), times, "{text} in {body}");
        }
    }

    #[test]
    fn an_answer_with_another_status_or_body_is_an_error() {
        let expect = Expect {
            status: 200,
            text: Some(("good".into(), 2)),
        };
        assert!(expect.check(200, b"good good").is_ok());
        assert!(matches!(
            expect.check(200, b"good"),
            Err(LoadError::Body { found: 1, .. })
        ));
        assert!(matches!(
            expect.check(200, b"good good good"),
            Err(LoadError::Body { found: 3, .. })
        ));
        assert!(matches!(
            expect.check(503, b"good good"),
            Err(LoadError::Status { status: 503, .. })
        ));
    }

    #[test]
    fn http1_sends_a_path_with_a_host_and_http2_the_whole_uri() {
        let target = Target::parse("http://localhost:81/a?b=c", None).expect("a target");
        let headers = ["X-One: 1".to_owned(), "Content-Type: text/plain".to_owned()];
        let http1 = Template::new(Method::POST, &target, Protocol::Http1, &headers).expect("a template");
        let request = http1.with(Bytes::from_static(b"x"));
        assert_eq!(request.uri(), "/a?b=c");
        assert_eq!(request.headers()["host"], "localhost:81");
        assert_eq!(request.headers()["content-type"], "text/plain");
        let http2 = Template::new(Method::GET, &target, Protocol::Http2, &headers).expect("a template");
        let request = http2.with(Bytes::new());
        assert_eq!(request.uri(), "http://localhost:81/a?b=c");
        assert!(!request.headers().contains_key("host"));
        assert_eq!(request.headers()["x-one"], "1");
    }

    #[test]
    fn a_header_without_a_colon_is_refused() {
        let target = Target::parse("http://localhost:81/", None).expect("a target");
        assert!(Template::new(Method::GET, &target, Protocol::Http1, &["nothing".to_owned()]).is_err());
    }
}
