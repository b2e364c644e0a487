//! Which headers and query strings of a client's request reach a backend: only those that the file lists.

use std::fmt;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::file::Section;
use crate::routes::encode;

/// Headers that concern one connection (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Request headers that only the gateway writes.
const OWN: [HeaderName; 5] = [
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
];

/// Whether this header of a client is never passed on, even if a file lists it.
pub(super) fn never_passes(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || OWN.contains(name)
}

/// Removes the headers that belong to the connection of a message.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        connection_names(headers)
            .iter()
            .for_each(|name| drop(headers.remove(name)));
    }
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
}

/// The headers that `Connection` names.
fn connection_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let fields = headers.get_all(CONNECTION).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|octet| *octet == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Which headers are passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderFilter {
    /// All headers are passed on, except those that are never passed on.
    All,
    /// Only headers with these names are passed on.
    Names(Vec<HeaderName>),
}

/// Which query strings are passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryFilter {
    /// All query strings are passed on.
    All,
    /// Only query strings with these names are passed on. Case matters.
    Names(Vec<String>),
}

impl HeaderFilter {
    /// Reads the headers of an endpoint. If it lists none, only `Content-Type` is passed on.
    pub fn of_endpoint(endpoint: &Section<'_>) -> Self {
        match Self::read(endpoint) {
            Some(Self::Names(names)) if names.is_empty() => Self::Names(vec![CONTENT_TYPE]),
            Some(filter) => filter,
            None => Self::Names(vec![CONTENT_TYPE]),
        }
    }

    /// Reads the headers of a backend. They are a part of those that the endpoint passes on.
    pub fn of_backend(&self, backend: &Section<'_>) -> Self {
        match (self, Self::read(backend)) {
            (_, None | Some(Self::All)) => self.clone(),
            (Self::All, Some(own)) => own,
            (Self::Names(names), Some(Self::Names(own))) => {
                for lost in own.iter().filter(|name| !names.contains(name)) {
                    backend.warn(
                        "input_headers",
                        format!("{lost} has no effect, because input_headers of the endpoint does not list it"),
                    );
                }
                Self::Names(own.into_iter().filter(|name| names.contains(name)).collect())
            }
        }
    }

    fn read(section: &Section<'_>) -> Option<Self> {
        section.node("input_headers")?;
        let mut names = Vec::new();
        for text in section.texts("input_headers") {
            if text.value == "*" {
                return Some(Self::All);
            }
            match HeaderName::from_bytes(text.value.as_bytes()) {
                Ok(name) if never_passes(&name) => section.warn(
                    "input_headers",
                    format!("{name} is never forwarded: it is a hop-by-hop header, or one that only the gateway sets"),
                ),
                Ok(name) => names.push(name),
                Err(_) => section.refuse_at(&text.place, format!("{:?} is not a header name", text.value)),
            }
        }
        Some(Self::Names(names))
    }

    /// The headers of a request to pass on. Those that belong to the client's connection were removed before. With
    /// `decodes`, the answer is parsed here, so no compression is requested for it.
    #[must_use]
    pub fn pass(&self, headers: &HeaderMap, decodes: bool) -> HeaderMap {
        let mut passed = match self {
            Self::All => {
                let mut passed = headers.clone();
                OWN.iter().for_each(|name| drop(passed.remove(name)));
                passed
            }
            Self::Names(names) => {
                let mut passed = HeaderMap::with_capacity(names.len() + 4);
                for name in names {
                    for value in headers.get_all(name) {
                        passed.append(name, value.clone());
                    }
                }
                passed
            }
        };
        if decodes {
            passed.remove(ACCEPT_ENCODING);
        }
        passed
    }
}

impl QueryFilter {
    /// Reads the query strings of an endpoint.
    pub fn of_endpoint(endpoint: &Section<'_>) -> Self {
        Self::read(endpoint).unwrap_or(Self::Names(Vec::new()))
    }

    /// Reads the query strings of a backend. They are a part of those that the endpoint passes on.
    pub fn of_backend(&self, backend: &Section<'_>) -> Self {
        match (self, Self::read(backend)) {
            (_, None | Some(Self::All)) => self.clone(),
            (Self::All, Some(own)) => own,
            (Self::Names(names), Some(Self::Names(own))) => {
                Self::Names(own.into_iter().filter(|name| names.contains(name)).collect())
            }
        }
    }

    fn read(section: &Section<'_>) -> Option<Self> {
        section.node("input_query_strings")?;
        let texts = section.texts("input_query_strings");
        match texts.iter().any(|text| text.value == "*") {
            true => Some(Self::All),
            false => Some(Self::Names(texts.iter().map(|text| text.value.to_owned()).collect())),
        }
    }

    /// Whether no query string is passed on.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// The pairs of a query to pass on, sorted by name and encoded again.
    #[must_use]
    pub fn pass(&self, query: &str) -> String {
        if query.is_empty() || self.is_nothing() {
            return String::new();
        }
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| match self {
                Self::All => true,
                Self::Names(names) => names.iter().any(|passing| passing == name),
            })
            .collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut passed = String::with_capacity(query.len());
        for (name, value) in pairs {
            if !passed.is_empty() {
                passed.push('&');
            }
            encode(&name, &mut passed);
            passed.push('=');
            encode(&value, &mut passed);
        }
        passed
    }
}

impl fmt::Display for HeaderFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Names(names) => {
                let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl fmt::Display for QueryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Names(names) => f.write_str(&names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http::HeaderValue;

    use super::*;
    use crate::file::{Report, json};

    fn with<T>(text: &str, read: impl FnOnce(&Section<'_>) -> T) -> T {
        let node = json::parse(text).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        read(&Section::root(&node, &report))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// The names that pass, after the gateway has removed what concerns the client's connection.
    fn passed(filter: &HeaderFilter, pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut sent = headers(pairs);
        remove_hop_by_hop(&mut sent);
        let mut names: Vec<String> = filter.pass(&sent, false).keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn only_listed_headers_pass_and_what_concerns_a_connection_never_does() {
        let sent = [
            ("content-type", "a/b"),
            ("cookie", "a=b"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("connection", "X-Hop, keep-alive"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("host", "a"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        let nothing = with("{}", HeaderFilter::of_endpoint);
        assert_eq!(passed(&nothing, &sent), ["content-type"]);
        let some = with(
            r#"{"input_headers":["X-A","x-hop","Te","Host"]}"#,
            HeaderFilter::of_endpoint,
        );
        assert_eq!(passed(&some, &sent), ["x-a"]);
        assert_eq!(some.pass(&headers(&sent), false).get_all("x-a").iter().count(), 2);
        let all = with(r#"{"input_headers":["*"]}"#, HeaderFilter::of_endpoint);
        assert_eq!(passed(&all, &sent), ["content-type", "cookie", "x-a"]);
    }

    #[test]
    fn a_backend_lets_through_no_more_than_its_endpoint() {
        let endpoint = with(r#"{"input_headers":["A","B"]}"#, HeaderFilter::of_endpoint);
        let both = with(r#"{"input_headers":["B","C"]}"#, |backend| endpoint.of_backend(backend));
        assert_eq!(both.to_string(), "b");
        assert_eq!(with("{}", |backend| endpoint.of_backend(backend)).to_string(), "a,b");
        let query = with(r#"{"input_query_strings":["a","b"]}"#, QueryFilter::of_endpoint);
        let both = with(r#"{"input_query_strings":["b","c"]}"#, |backend| {
            query.of_backend(backend)
        });
        assert_eq!(both.to_string(), "b");
    }

    #[test]
    fn a_backend_whose_answer_is_taken_apart_is_asked_for_no_coding() {
        let all = with(r#"{"input_headers":["*"]}"#, HeaderFilter::of_endpoint);
        let sent = headers(&[("accept-encoding", "gzip")]);
        assert!(all.pass(&sent, true).is_empty());
        assert_eq!(all.pass(&sent, false).len(), 1);
    }

    #[test]
    fn only_listed_query_strings_pass_sorted_and_encoded_anew() {
        let some = with(r#"{"input_query_strings":["b","a"]}"#, QueryFilter::of_endpoint);
        for (query, passed) in [
            ("", ""),
            ("c=1", ""),
            ("A=1", ""),
            ("b=2&a=1&b=1&c=3", "a=1&b=2&b=1"),
            ("a=x%26c%3D1", "a=x%26c%3D1"),
            ("a=1+2%2B3", "a=1%202%2B3"),
            ("a=%zz%", "a=%25zz%25"),
            ("a", "a="),
            ("%61=1#x", "a=1%23x"),
            ("a=1;c=2", "a=1%3Bc%3D2"),
        ] {
            assert_eq!(some.pass(query), passed, "{query}");
        }
        assert_eq!(with("{}", QueryFilter::of_endpoint).pass("a=1"), "");
        assert_eq!(QueryFilter::All.pass("z=1&a=2"), "a=2&z=1");
    }

    #[test]
    fn an_answer_loses_what_concerns_its_connection_and_keeps_its_length() {
        let mut answer = headers(&[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "3"),
            ("proxy-authenticate", "Basic"),
            ("x-forwarded-for", "kept"),
        ]);
        remove_hop_by_hop(&mut answer);
        let mut names: Vec<&str> = answer.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-forwarded-for"]);
    }
}
