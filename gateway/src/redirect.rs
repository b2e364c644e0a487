//! Follows redirects of backends, but only to hosts in the file.
//!
//! A backend that was deceived or taken over must not make the gateway send requests to other internal hosts. A
//! redirect that is not followed is treated like any other answer.

use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use url::Url;

use crate::plan::hosts::Hosts;

/// The maximum number of redirects for one request.
pub const MOST: usize = 10;

/// The request after a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The method of the request.
    pub method: Method,
    /// The URL of the request.
    pub uri: Uri,
    /// Whether the request has the same body as the request before it.
    pub keeps_body: bool,
}

/// What a redirect can do with the body of the request before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOnRedirect {
    /// The request had no body.
    None,
    /// The body can be sent again.
    SentAgain,
    /// The body was sent, and is not sent again.
    Gone,
}

/// The next request, if the answer is a redirect that is followed. A request with a body that is not sent again follows
/// only redirects that lead to a GET (RFC 9110 §15.4).
#[must_use]
pub fn next(
    hosts: &Hosts,
    method: &Method,
    uri: &Uri,
    body: BodyOnRedirect,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Next> {
    let (method, keeps_body) = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => (Method::GET, false),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => match body {
            BodyOnRedirect::None => (method.clone(), false),
            BodyOnRedirect::SentAgain => (method.clone(), true),
            BodyOnRedirect::Gone => return None,
        },
        _ => return None,
    };
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let mut to = Url::parse(&uri.to_string()).ok()?.join(location).ok()?;
    to.set_fragment(None);
    if !to.username().is_empty() || to.password().is_some() {
        return None;
    }
    let uri: Uri = to.as_str().parse().ok()?;
    hosts.have(&uri).then_some(Next {
        method,
        uri,
        keeps_body,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn led(method: &Method, body: BodyOnRedirect, status: u16, location: &str) -> Option<(String, String)> {
        let hosts = Hosts::of(&["http://api:8080", "https://other"]);
        let uri: Uri = "http://api:8080/v1/a?b=c".parse().expect("a URL");
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(location).expect("a value"));
        let status = StatusCode::from_u16(status).expect("a status");
        let next = next(&hosts, method, &uri, body, status, &headers)?;
        Some((next.method.to_string(), next.uri.to_string()))
    }

    #[test]
    fn a_redirect_is_followed_to_the_hosts_of_the_file_and_to_nobody_else() {
        let to = |url: &str| Some(("GET".to_owned(), url.to_owned()));
        for (location, expected) in [
            ("/v2", to("http://api:8080/v2")),
            ("d?e", to("http://api:8080/v1/d?e")),
            ("http://api:8080/x#y", to("http://api:8080/x")),
            ("//api:8080/x", to("http://api:8080/x")),
            ("https://other/x", to("https://other/x")),
            ("https://other:443/x", to("https://other/x")),
            ("http://other/x", None),
            ("http://api/x", None),
            ("http://api:8080@evil/x", None),
            ("http://u@api:8080/x", None),
            ("//evil/x", None),
            ("http://169.254.169.254/latest", None),
            ("file:///etc/passwd", None),
            ("http://[", None),
        ] {
            assert_eq!(
                led(&Method::GET, BodyOnRedirect::None, 302, location),
                expected,
                "{location}"
            );
        }
    }

    #[test]
    fn a_body_is_sent_again_only_if_the_file_says_so() {
        let post = Method::POST;
        for status in [301, 302, 303] {
            assert_eq!(
                led(&post, BodyOnRedirect::Gone, status, "/x")
                    .map(|(method, _)| method)
                    .as_deref(),
                Some("GET")
            );
        }
        for status in [307, 308] {
            assert_eq!(led(&post, BodyOnRedirect::Gone, status, "/x"), None);
            assert_eq!(
                led(&post, BodyOnRedirect::None, status, "/x")
                    .map(|(method, _)| method)
                    .as_deref(),
                Some("POST")
            );
        }
        let again = BodyOnRedirect::SentAgain;
        assert_eq!(
            led(&post, again, 307, "/x").map(|(method, _)| method).as_deref(),
            Some("POST")
        );
        assert_eq!(
            led(&post, again, 303, "/x").map(|(method, _)| method).as_deref(),
            Some("GET")
        );
        assert_eq!(led(&post, again, 308, "http://evil/x"), None);
        for status in [200, 300, 304, 305, 400] {
            assert_eq!(led(&Method::GET, BodyOnRedirect::None, status, "/x"), None, "{status}");
        }
    }
}
