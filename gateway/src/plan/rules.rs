//! The settings that all endpoints share: the namespace `router`.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::bots::Bots;
use super::cors::Cors;
use super::proxies::Proxies;
use super::secure::Secure;
use crate::file::Section;
use crate::file::json::Value;
use crate::routes::Tolerance;

/// The name of this program in answers.
pub const AGENT: &str = concat!("Signet-Gateway/", env!("CARGO_PKG_VERSION"));

/// The settings that all endpoints share.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The path that reports that the process is alive.
    pub health_path: Option<String>,
    /// Whether paths below `/__debug` answer that the gateway runs.
    pub has_debug: bool,
    /// Whether paths below `/__echo` answer what the gateway received.
    pub has_echo: bool,
    /// Whether `OPTIONS` is answered with the methods of a path.
    pub auto_options: bool,
    /// The answer for a path without an endpoint.
    pub not_found: Page,
    /// The answer for a method that the path does not have.
    pub method_not_allowed: Page,
    /// The value of `X-Krakend`.
    pub version: HeaderValue,
    /// Which paths are redirected to an existing one.
    pub redirects: Tolerance,
    /// Whether a client is told why there is no answer.
    pub tells_errors: bool,
    /// Which other origins may read answers.
    pub cors: Option<Cors>,
    /// Which hosts clients may ask for, and headers for browsers.
    pub secure: Option<Secure>,
    /// Which clients are refused on all paths.
    pub bots: Option<Bots>,
    /// The proxies that are trusted to report the address of a client.
    pub proxies: Proxies,
}

/// A prepared body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The media type of the body.
    pub content_type: HeaderValue,
    /// The bytes of the body.
    pub body: Bytes,
}

impl Page {
    fn text(text: &'static str) -> Self {
        Self {
            content_type: HeaderValue::from_static("text/plain"),
            body: Bytes::from_static(text.as_bytes()),
        }
    }

    /// The header with the media type.
    #[must_use]
    pub fn header(&self) -> (http::HeaderName, HeaderValue) {
        (CONTENT_TYPE, self.content_type.clone())
    }
}

impl Rules {
    /// Reads the namespace, or uses the defaults.
    pub fn read(root: &Section<'_>) -> Self {
        let router = root.namespace("router");
        let flag = |key: &str| router.as_ref().is_some_and(|router| router.flag(key));
        let path = router.as_ref().and_then(|router| health_path(router));
        for (status, _, place) in router.iter().flat_map(|router| router.members("error_body")) {
            if status != "404" && status != "405" {
                root.refuse_at(&place, "only the bodies of 404 and 405 can be set");
            }
        }
        let has_echo = root.flag("echo_endpoint");
        if has_echo {
            root.warn(
                "echo_endpoint",
                "/__echo shows every client what proxies add to its requests; use it for tests only",
            );
        }
        let proxies = router.as_ref().map(Proxies::read).unwrap_or_default();
        let secure = root.namespace("security/http");
        let is_tls = root.section("tls").is_some_and(|tls| !tls.flag("disabled"));
        let hides = flag("hide_version_header");
        let version = if hides {
            "Version undefined".to_owned()
        } else {
            format!("Version {AGENT}")
        };
        Self {
            health_path: (!flag("disable_health")).then(|| path.unwrap_or("/__health").to_owned()),
            has_debug: root.flag("debug_endpoint"),
            has_echo,
            auto_options: flag("auto_options"),
            not_found: page(router.as_ref(), "404").unwrap_or_else(|| Page::text("404 page not found")),
            method_not_allowed: page(router.as_ref(), "405").unwrap_or_else(|| Page::text("405 method not allowed")),
            // Both texts are plain ASCII.
            version: HeaderValue::from_str(&version).unwrap_or_else(|_| HeaderValue::from_static("Version undefined")),
            redirects: Tolerance {
                slash: !flag("disable_redirect_trailing_slash"),
                case: !flag("disable_redirect_fixed_path"),
            },
            tells_errors: flag("return_error_msg"),
            cors: root.namespace("security/cors").as_ref().map(Cors::read),
            secure: secure.map(|secure| Secure::read(&secure, !proxies.is_empty(), is_tls)),
            bots: root.namespace("security/bot-detector").as_ref().map(Bots::read),
            proxies,
        }
    }
}

fn health_path<'a>(router: &Section<'a>) -> Option<&'a str> {
    let path = router.text("health_path")?;
    if !path.starts_with('/') || path.contains(['?', '#']) {
        router.refuse(
            "health_path",
            format!("{path:?} is not a path; write for example /__health"),
        );
    }
    Some(path)
}

/// The body for a status, which may be any JSON.
fn page(router: Option<&Section<'_>>, status: &str) -> Option<Page> {
    let section = router?.section("error_body")?;
    let node = section.node(status)?;
    if let Value::Null = node.value {
        return None;
    }
    Some(Page {
        content_type: HeaderValue::from_static("application/json; charset=utf-8"),
        body: Bytes::from(node.to_string()),
    })
}
