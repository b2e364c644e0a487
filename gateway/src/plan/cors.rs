//! Cross-origin requests of browsers (the Fetch standard, §3.2): which origins may read
//! answers, and what they may send.
//!
//! The rules apply before the routes, so a page can also read an error. A request of a foreign origin is served like
//! that of a client that is not a browser, but without the headers with which a page could read the answer.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};

use crate::file::Section;

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The headers that only the gateway writes if it has rules.
const OWN: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE_NETWORK,
];

/// The rules, compiled.
#[derive(Clone, Debug)]
pub struct Cors {
    /// The allowed origins. `None` allows any.
    origins: Option<Vec<Origin>>,
    methods: Vec<String>,
    /// The allowed headers. `None` allows any.
    headers: Option<Vec<HeaderName>>,
    expose: Option<HeaderValue>,
    credentials: bool,
    private_network: bool,
    max_age: Option<HeaderValue>,
    /// Whether a preflight is answered by the routes, with the headers from here.
    passes_through: bool,
    /// The status of the answer to a preflight.
    status: StatusCode,
}

/// An origin, or all origins with this beginning and this end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Exactly(String),
    Between(String, String),
}

impl Origin {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        match text.split_once('*') {
            Some((_, end)) if end.contains('*') => Err("has more than one star"),
            Some((begin, end)) => Ok(Self::Between(begin.to_owned(), end.to_owned())),
            None if text.ends_with('/') => Err("ends with a slash, which no browser sends in Origin"),
            None => Ok(Self::Exactly(text)),
        }
    }

    fn is(&self, origin: &str) -> bool {
        match self {
            Self::Exactly(text) => text == origin,
            Self::Between(begin, end) => {
                origin.len() >= begin.len() + end.len() && origin.starts_with(begin) && origin.ends_with(end)
            }
        }
    }
}

impl Cors {
    /// Reads the namespace.
    pub fn read(cors: &Section<'_>) -> Self {
        let mut origins = Vec::new();
        let texts = cors.texts("allow_origins");
        let mut takes_any = texts.is_empty();
        for text in &texts {
            match Origin::parse(text.value) {
                _ if text.value == "*" => takes_any = true,
                Ok(origin) => origins.push(origin),
                Err(why) => cors.refuse_at(&text.place, format!("{:?} {why}", text.value)),
            }
        }
        let credentials = cors.flag("allow_credentials");
        if credentials && takes_any {
            cors.refuse(
                "allow_credentials",
                "if every origin is allowed, browsers refuse credentials; list the origins in allow_origins",
            );
        }
        let methods = cors.texts("allow_methods");
        let methods = match methods.is_empty() {
            true => ["GET", "HEAD", "POST"].map(str::to_owned).into(),
            false => methods.iter().map(|method| method.value.to_ascii_uppercase()).collect(),
        };
        let status = cors.number("options_success_status", 200..=299);
        let max_age = cors.span("max_age").unwrap_or(Duration::ZERO).as_secs();
        Self {
            origins: (!takes_any).then_some(origins),
            methods,
            headers: headers(cors, "allow_headers").filter(|names| !names.is_empty()),
            expose: expose(cors),
            credentials,
            private_network: cors.flag("allow_private_network"),
            passes_through: cors.flag("options_passthrough"),
            max_age: (max_age > 0).then(|| HeaderValue::from(max_age)),
            status: status
                .and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok())
                .unwrap_or(StatusCode::NO_CONTENT),
        }
    }

    /// The status and headers of the answer, if this request is a preflight.
    #[must_use]
    pub fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<(StatusCode, HeaderMap)> {
        if *method != Method::OPTIONS {
            return None;
        }
        let wanted = request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut headers = HeaderMap::new();
        for name in [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS] {
            headers.append(VARY, HeaderValue::from(name));
        }
        if self.allows(wanted, request).is_none() {
            return Some((self.status, headers));
        }
        self.allow_origin(request.get(ORIGIN), &mut headers);
        // Allows what was requested, and does not reveal the whole list.
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
        if let Some(asked) = request
            .get(ACCESS_CONTROL_REQUEST_HEADERS)
            .filter(|asked| !asked.is_empty())
        {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        if self.private_network
            && request
                .get(REQUEST_PRIVATE_NETWORK)
                .is_some_and(|value| value == "true")
        {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        if let Some(max_age) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        Some((self.status, headers))
    }

    /// Whether a preflight also goes to the routes, whose status it gets.
    #[must_use]
    pub fn passes_through(&self) -> bool {
        self.passes_through
    }

    /// Removes the headers of a backend that only the gateway writes.
    pub fn remove(&self, answer: &mut HeaderMap) {
        OWN.iter().for_each(|name| drop(answer.remove(name)));
    }

    /// Checks that everything in a preflight is allowed.
    fn allows(&self, method: &HeaderValue, request: &HeaderMap) -> Option<()> {
        self.allowed_origin(request.get(ORIGIN))?;
        let method = method.to_str().ok()?.to_ascii_uppercase();
        if method != "OPTIONS" && !self.methods.contains(&method) {
            return None;
        }
        let Some(names) = &self.headers else {
            return Some(());
        };
        for field in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
            for name in field.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
                let name = if name.is_empty() {
                    continue;
                } else {
                    HeaderName::from_bytes(name).ok()?
                };
                if name != ORIGIN && !names.contains(&name) {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Writes the headers of an answer, and removes those of a backend.
    pub fn finish(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        self.remove(answer);
        answer.append(VARY, HeaderValue::from(ORIGIN));
        if self.allow_origin(origin, answer)
            && let Some(expose) = &self.expose
        {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    fn allow_origin(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) -> bool {
        let Some(origin) = self.allowed_origin(origin) else {
            return false;
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    /// The value that allows the origin of a request, if it may read the answer.
    fn allowed_origin(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        let Some(origins) = &self.origins else {
            return Some(HeaderValue::from_static("*"));
        };
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        origins.iter().any(|allowed| allowed.is(&text)).then(|| origin.clone())
    }
}

/// Reads a list of headers. `None` means all.
fn headers(cors: &Section<'_>, key: &str) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for text in cors.texts(key) {
        if text.value == "*" {
            return None;
        }
        match HeaderName::from_bytes(text.value.as_bytes()) {
            Ok(name) => names.push(name),
            Err(_) => cors.refuse_at(&text.place, format!("{:?} is not a header name", text.value)),
        }
    }
    Some(names)
}

fn expose(cors: &Section<'_>) -> Option<HeaderValue> {
    match headers(cors, "expose_headers") {
        None => Some(HeaderValue::from_static("*")),
        Some(names) if names.is_empty() => None,
        Some(names) => {
            let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
            HeaderValue::from_str(&names.join(", ")).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::file::{Report, json};

    fn cors(text: &str) -> (Cors, Report) {
        let node = json::parse(text).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let cors = Cors::read(&Section::root(&node, &report));
        (cors, report.into_inner())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    const STRICT: &str = r#"{"allow_origins":["https://a.test","https://*.b.test"],"allow_methods":["get"],
        "allow_headers":["X-A"],"expose_headers":["X-B","X-C"],"allow_credentials":true,"max_age":"1h"}"#;

    fn preflight(cors: &Cors, pairs: &[(&'static str, &'static str)]) -> Option<HeaderMap> {
        cors.preflight(&Method::OPTIONS, &headers(pairs))
            .map(|(status, headers)| {
                assert_eq!(status, StatusCode::NO_CONTENT);
                headers
            })
    }

    #[test]
    fn a_preflight_is_told_that_what_it_asks_for_is_allowed_or_nothing() {
        let (cors, _) = cors(STRICT);
        let asked = [
            ("origin", "https://x.b.test"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "x-a, origin"),
        ];
        let answer = preflight(&cors, &asked).expect("a preflight");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://x.b.test");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_METHODS], "GET");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "x-a, origin");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "3600");
        for (name, value) in [
            ("origin", "https://evil.test"),
            ("origin", "https://a.test.evil.test"),
            ("origin", "null"),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "x-a, x-z"),
        ] {
            let asked = asked.map(|(at, old)| (at, if at == name { value } else { old }));
            let answer = preflight(&cors, &asked).expect("a preflight");
            assert!(answer.keys().all(|key| key == VARY), "{name}: {value}: {answer:?}");
        }
        assert!(
            preflight(&cors, &asked[..1]).is_none(),
            "a request without the preflight headers is not a preflight"
        );
        assert!(cors.preflight(&Method::GET, &headers(&asked)).is_none());
    }

    #[test]
    fn an_answer_is_readable_for_listed_origins_only_and_a_backend_does_not_change_that() {
        let (cors, _) = cors(STRICT);
        for (origin, may_read) in [
            ("https://a.test", true),
            ("HTTPS://A.test", true),
            ("https://b.test", false),
        ] {
            let mut answer = headers(&[("access-control-allow-origin", "*"), ("vary", "Accept")]);
            cors.finish(Some(&HeaderValue::from_static(origin)), &mut answer);
            let allowed = answer
                .get(ACCESS_CONTROL_ALLOW_ORIGIN)
                .map(|value| value.to_str().expect("text"));
            assert_eq!(allowed, may_read.then_some(origin), "{origin}");
            assert_eq!(answer.get(ACCESS_CONTROL_EXPOSE_HEADERS).is_some(), may_read);
            assert_eq!(answer.get_all(VARY).iter().count(), 2);
        }
        let mut answer = HeaderMap::new();
        cors.finish(None, &mut answer);
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[test]
    fn without_lists_any_origin_may_read_what_is_public() {
        let (cors, report) = cors("{}");
        assert!(report.is_good());
        let mut answer = HeaderMap::new();
        cors.finish(Some(&HeaderValue::from_static("https://a.test")), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let asked = [
            ("origin", "https://a.test"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-whatever"),
        ];
        let answer = preflight(&cors, &asked).expect("a preflight");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "x-whatever");
    }

    #[test]
    fn credentials_for_everybody_are_refused() {
        for text in [
            r#"{"allow_credentials":true}"#,
            r#"{"allow_credentials":true,"allow_origins":["*","https://a.test"]}"#,
        ] {
            assert!(!cors(text).1.is_good(), "{text}");
        }
        for origin in ["https://a.test/", "https://*.*.test"] {
            assert!(
                !cors(&format!(r#"{{"allow_origins":["{origin}"]}}"#)).1.is_good(),
                "{origin}"
            );
        }
    }
}
