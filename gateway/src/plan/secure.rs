//! The namespace `security/http`: which hosts a client may ask for, the redirect to https, and headers for browsers.
//!
//! It applies before the routes, to every request but a preflight that CORS answers.

use http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::uri::Authority;
use http::{StatusCode, Uri};
use regex::RegexSet;

use crate::file::Section;
use crate::file::json::Value;

const PUBLIC_KEY_PINS: HeaderName = HeaderName::from_static("public-key-pins");

/// The rules, compiled.
#[derive(Clone, Debug)]
pub struct Secure {
    /// `None` allows every host.
    hosts: Option<Hosts>,
    /// Headers in which trusted proxies send the host that the client asked for.
    host_headers: Vec<HeaderName>,
    /// Headers with which trusted proxies say that the client used https.
    https_headers: Vec<(HeaderName, HeaderValue)>,
    redirect: Option<Redirect>,
    /// Whether clients connect to the gateway by TLS.
    is_tls: bool,
    /// The headers of every answer.
    always: HeaderMap,
    /// The headers of an answer over https.
    over_https: HeaderMap,
}

#[derive(Clone, Debug)]
enum Hosts {
    Names(Vec<String>),
    Patterns(RegexSet),
}

/// Where a request without TLS is sent.
#[derive(Clone, Debug)]
struct Redirect {
    host: Option<Authority>,
}

/// What answers a request that may not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The host is not allowed.
    BadHost,
    /// The client must use https.
    Redirected(StatusCode, HeaderValue),
}

impl Secure {
    /// Reads the namespace. `has_proxies` says whether the file names trusted proxies.
    pub fn read(secure: &Section<'_>, has_proxies: bool, is_tls: bool) -> Self {
        let is_development = secure.flag("is_development");
        let hosts = hosts(secure).filter(|_| !is_development);
        let host_headers = names(secure, "host_proxy_headers");
        let https_headers = https_headers(secure);
        for (key, is_there) in [
            ("host_proxy_headers", !host_headers.is_empty()),
            ("ssl_proxy_headers", !https_headers.is_empty()),
        ] {
            if is_there && !has_proxies {
                secure.refuse(
                    key,
                    "every client can write these headers, so only proxies that router.trusted_proxies names are believed; \
                     name them there",
                );
            }
        }
        let host = secure.text("ssl_host").filter(|host| !host.is_empty());
        let host = host.and_then(|host| {
            let parsed = host.parse::<Authority>();
            parsed
                .map_err(|_| {
                    secure.refuse(
                        "ssl_host",
                        format!("{host:?} is no host; write for example api.example.com"),
                    )
                })
                .ok()
        });
        let redirects = secure.flag("ssl_redirect");
        if redirects && !is_development && !is_tls && https_headers.is_empty() {
            secure.warn(
                "ssl_redirect",
                "no request can be https: the gateway has no tls, and ssl_proxy_headers is missing, so everything is redirected",
            );
        }
        let (always, over_https) = headers(secure, is_development);
        Self {
            hosts,
            host_headers,
            https_headers,
            redirect: (redirects && !is_development).then_some(Redirect { host }),
            is_tls,
            always,
            over_https,
        }
    }

    /// Checks a request. `is_from_proxy` says whether a trusted proxy sent it.
    ///
    /// # Errors
    /// [`Stopped`], if the request may not go on.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap, is_from_proxy: bool) -> Result<(), Stopped> {
        let own = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = own
            .or_else(|| uri.authority().map(Authority::as_str))
            .unwrap_or_default();
        let told = self
            .host_headers
            .iter()
            .filter(|_| is_from_proxy)
            .find_map(|name| headers.get(name));
        let host = match told {
            Some(value) => value.to_str().map_err(|_| Stopped::BadHost)?,
            None => own,
        };
        if self.hosts.as_ref().is_some_and(|hosts| !hosts.have(host)) {
            return Err(Stopped::BadHost);
        }
        let Some(redirect) = self
            .redirect
            .as_ref()
            .filter(|_| !self.is_https(headers, is_from_proxy))
        else {
            return Ok(());
        };
        let host = match &redirect.host {
            Some(host) => host.clone(),
            // A host that is no authority could change the meaning of the URL.
            None => host.parse().map_err(|_| Stopped::BadHost)?,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let location = HeaderValue::from_str(&format!("https://{host}{path}")).map_err(|_| Stopped::BadHost)?;
        Err(Stopped::Redirected(StatusCode::MOVED_PERMANENTLY, location))
    }

    /// Whether the client used https.
    #[must_use]
    pub fn is_https(&self, headers: &HeaderMap, is_from_proxy: bool) -> bool {
        let mut told = self.https_headers.iter().filter(|_| is_from_proxy);
        self.is_tls || told.any(|(name, value)| headers.get(name) == Some(value))
    }

    /// Writes the headers of an answer, over those of a backend.
    pub fn finish(&self, is_https: bool, answer: &mut HeaderMap) {
        let https = self.over_https.iter().filter(|_| is_https);
        for (name, value) in self.always.iter().chain(https) {
            answer.insert(name, value.clone());
        }
    }
}

impl Stopped {
    /// The header with the new place, if there is one.
    #[must_use]
    pub fn location(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::BadHost => None,
            Self::Redirected(_, location) => Some((LOCATION, location.clone())),
        }
    }
}

impl Hosts {
    fn have(&self, host: &str) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|name| name.eq_ignore_ascii_case(host)),
            Self::Patterns(patterns) => patterns.is_match(host),
        }
    }
}

fn hosts(secure: &Section<'_>) -> Option<Hosts> {
    let texts = secure.texts("allowed_hosts");
    if texts.is_empty() {
        return None;
    }
    if !secure.flag("allowed_hosts_are_regex") {
        return Some(Hosts::Names(texts.iter().map(|text| text.value.to_owned()).collect()));
    }
    for text in &texts {
        if let Err(error) = regex::Regex::new(text.value) {
            secure.refuse_at(&text.place, format!("this is no pattern: {error}"));
        }
    }
    // Alternatives are in a group, so that each must match the whole host.
    let whole = texts.iter().map(|text| format!("^(?:{})$", text.value));
    // A pattern that is none was refused above, and allows nothing.
    Some(Hosts::Patterns(
        RegexSet::new(whole).unwrap_or_else(|_| RegexSet::empty()),
    ))
}

fn names(secure: &Section<'_>, key: &str) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for text in secure.texts(key) {
        match HeaderName::from_bytes(text.value.as_bytes()) {
            Ok(name) => names.push(name),
            Err(_) => secure.refuse_at(&text.place, format!("{:?} is no name of a header", text.value)),
        }
    }
    names
}

fn https_headers(secure: &Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, node, place) in secure.members("ssl_proxy_headers") {
        let value = match &node.value {
            Value::Text(value) => HeaderValue::from_str(value).ok(),
            _ => None,
        };
        match (HeaderName::from_bytes(name.as_bytes()), value) {
            (Ok(name), Some(value)) => headers.push((name, value)),
            _ => secure.refuse_at(
                &place,
                "this must be a header and its value; write for example \"X-Forwarded-Proto\": \"https\"",
            ),
        }
    }
    headers
}

/// The headers of every answer, and those of an answer over https.
fn headers(secure: &Section<'_>, is_development: bool) -> (HeaderMap, HeaderMap) {
    let (mut always, mut over_https) = (HeaderMap::new(), HeaderMap::new());
    let text = |key: &str| {
        let value = secure.text(key).filter(|text| !text.is_empty())?;
        let parsed = HeaderValue::from_str(value);
        parsed
            .map_err(|_| secure.refuse(key, format!("{value:?} is not valid in a header")))
            .ok()
    };
    if let Some(seconds) = secure
        .number("sts_seconds", 0..=u64::from(u32::MAX))
        .filter(|seconds| *seconds > 0)
    {
        let below = if secure.flag("sts_include_subdomains") {
            "; includeSubDomains"
        } else {
            ""
        };
        let to = if secure.flag("force_sts_header") {
            &mut always
        } else {
            &mut over_https
        };
        if let Ok(value) = HeaderValue::from_str(&format!("max-age={seconds}{below}")) {
            to.insert(STRICT_TRANSPORT_SECURITY, value);
        }
    }
    if let Some(value) = text("hpkp_public_key") {
        over_https.insert(PUBLIC_KEY_PINS, value);
    }
    if is_development {
        (always, over_https) = (HeaderMap::new(), HeaderMap::new());
    }
    if let Some(value) = text("custom_frame_options_value") {
        always.insert(X_FRAME_OPTIONS, value);
    } else if secure.flag("frame_deny") {
        always.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if secure.flag("content_type_nosniff") {
        always.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if secure.flag("browser_xss_filter") {
        always.insert(X_XSS_PROTECTION, HeaderValue::from_static("1; mode=block"));
    }
    if let Some(value) = text("content_security_policy") {
        if value.to_str().is_ok_and(|text| text.contains("$NONCE")) {
            secure.refuse(
                "content_security_policy",
                "$NONCE is not supported: no backend would learn the nonce; remove it",
            );
        }
        always.insert(CONTENT_SECURITY_POLICY, value);
    }
    if let Some(value) = text("referrer_policy") {
        always.insert(REFERRER_POLICY, value);
    }
    (always, over_https)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::file::{Report, json};

    fn read(text: &str, has_proxies: bool) -> (Secure, Report) {
        let node = json::parse(text).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let secure = Secure::read(&Section::root(&node, &report), has_proxies, false);
        (secure, report.into_inner())
    }

    fn check(secure: &Secure, pairs: &[(&'static str, &'static str)], is_from_proxy: bool) -> Result<(), Stopped> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        secure.check(&"/a?b=c".parse().expect("a target"), &headers, is_from_proxy)
    }

    #[test]
    fn only_allowed_hosts_go_on_and_only_a_proxy_may_name_another() {
        let (secure, _) = read(r#"{"allowed_hosts":["a.test"],"host_proxy_headers":["X-Host"]}"#, true);
        assert_eq!(check(&secure, &[("host", "A.test")], false), Ok(()));
        for host in ["b.test", "a.test:8080", ""] {
            assert_eq!(
                check(&secure, &[("host", host)], false),
                Err(Stopped::BadHost),
                "{host}"
            );
        }
        let told = [("host", "b.test"), ("x-host", "a.test")];
        assert_eq!(check(&secure, &told, true), Ok(()));
        assert_eq!(check(&secure, &told, false), Err(Stopped::BadHost));
        assert_eq!(
            check(&secure, &[("host", "a.test"), ("x-host", "b.test")], true),
            Err(Stopped::BadHost)
        );
        let (patterns, _) = read(
            r#"{"allowed_hosts":["a|b","[c-d]+\\.test"],"allowed_hosts_are_regex":true}"#,
            false,
        );
        for (host, is_good) in [
            ("a", true),
            ("cd.test", true),
            ("ax", false),
            ("xb", false),
            ("cd.test.evil", false),
        ] {
            assert_eq!(check(&patterns, &[("host", host)], false).is_ok(), is_good, "{host}");
        }
    }

    #[test]
    fn a_client_without_https_is_sent_there() {
        let (secure, _) = read(
            r#"{"ssl_redirect":true,"ssl_proxy_headers":{"X-Forwarded-Proto":"https"}}"#,
            true,
        );
        let to = |location| {
            Err(Stopped::Redirected(
                StatusCode::MOVED_PERMANENTLY,
                HeaderValue::from_static(location),
            ))
        };
        assert_eq!(
            check(&secure, &[("host", "a.test:80")], true),
            to("https://a.test:80/a?b=c")
        );
        let https = [("host", "a.test"), ("x-forwarded-proto", "https")];
        assert_eq!(check(&secure, &https, true), Ok(()));
        assert_eq!(check(&secure, &https, false), to("https://a.test/a?b=c"));
        assert_eq!(check(&secure, &[("host", "a b")], true), Err(Stopped::BadHost));
        let (other, _) = read(r#"{"ssl_redirect":true,"ssl_host":"s.test"}"#, true);
        assert_eq!(check(&other, &[("host", "a.test")], true), to("https://s.test/a?b=c"));
        let (development, _) = read(
            r#"{"ssl_redirect":true,"allowed_hosts":["x"],"is_development":true}"#,
            false,
        );
        assert_eq!(check(&development, &[("host", "a.test")], false), Ok(()));
    }

    #[test]
    fn headers_for_browsers_are_in_every_answer_and_hsts_over_https_only() {
        const ALL: &str = r#""sts_seconds":60,"sts_include_subdomains":true,"frame_deny":true,"content_type_nosniff":true,
            "browser_xss_filter":true,"content_security_policy":"default-src 'self'","referrer_policy":"same-origin""#;
        let finished = |more: &str, is_https: bool| {
            let (secure, report) = read(&format!("{{{ALL}{more}}}"), false);
            assert!(report.is_good());
            let mut answer = HeaderMap::new();
            answer.insert(X_FRAME_OPTIONS, HeaderValue::from_static("ALLOWALL"));
            secure.finish(is_https, &mut answer);
            answer
        };
        let answer = finished("", true);
        assert_eq!(answer[STRICT_TRANSPORT_SECURITY], "max-age=60; includeSubDomains");
        assert_eq!(
            (answer.len(), &answer[X_FRAME_OPTIONS]),
            (6, &HeaderValue::from_static("DENY"))
        );
        assert!(!finished("", false).contains_key(STRICT_TRANSPORT_SECURITY));
        assert!(finished(r#","force_sts_header":true"#, false).contains_key(STRICT_TRANSPORT_SECURITY));
        assert!(!finished(r#","is_development":true"#, true).contains_key(STRICT_TRANSPORT_SECURITY));
        assert_eq!(
            finished(r#","custom_frame_options_value":"SAMEORIGIN""#, true)[X_FRAME_OPTIONS],
            "SAMEORIGIN"
        );
    }

    #[test]
    fn rules_that_cannot_be_kept_are_refused() {
        for text in [
            r#"{"allowed_hosts":["a("],"allowed_hosts_are_regex":true}"#,
            r#"{"host_proxy_headers":["X-Host"]}"#,
            r#"{"ssl_proxy_headers":{"X-Forwarded-Proto":"https"}}"#,
            r#"{"ssl_proxy_headers":{"X-Forwarded-Proto":true}}"#,
            r#"{"ssl_host":"https://a.test/"}"#,
            r#"{"content_security_policy":"script-src $NONCE"}"#,
            r#"{"referrer_policy":"a\nb"}"#,
        ] {
            assert!(!read(text, false).1.is_good(), "{text}");
        }
        assert_eq!(read(r#"{"ssl_redirect":true}"#, false).1.warnings().len(), 1);
    }
}
