//! The hosts of a backend, which are used in turn.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::file::{At, Section};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::HostSeries;

/// The hosts of a backend. A host that is listed twice is used twice as often.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<Host>,
    /// The metrics of each host.
    series: Vec<Arc<HostSeries>>,
    next: AtomicUsize,
}

/// A host: the beginning of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Either `http` or `https`.
    pub scheme: Scheme,
    /// The name or address, with the port if it is not the default one.
    pub authority: Authority,
    /// The path before that of the backend. Empty if there is none.
    pub below: String,
}

impl Hosts {
    /// Reads the hosts of a backend, or uses those of the root.
    pub fn read(backend: &Section<'_>, of_root: &[At<String>]) -> Self {
        let is_sanitized = !backend.flag("disable_host_sanitize");
        let own = backend.texts("host");
        let texts: Vec<At<String>> = match own.is_empty() {
            true => of_root.to_vec(),
            false => own
                .into_iter()
                .map(|text| At {
                    value: text.value.to_owned(),
                    place: text.place,
                })
                .collect(),
        };
        if texts.is_empty() {
            backend.refuse("host", "there is no host, neither here nor in the root's host");
        }
        let mut hosts = Vec::new();
        for text in &texts {
            match Host::parse(&text.value, is_sanitized) {
                Ok(host) => hosts.push(host),
                Err(why) => backend.refuse_at(&text.place, format!("{:?} {why}", text.value)),
            }
        }
        Self::new(hosts)
    }

    fn new(hosts: Vec<Host>) -> Self {
        let series = hosts.iter().map(|host| {
            let name = host.authority.host();
            let name = name.trim_start_matches('[').trim_end_matches(']');
            Arc::new(HostSeries::new(name, port(&host.authority, &host.scheme)))
        });
        Self {
            series: series.collect(),
            hosts,
            next: AtomicUsize::new(0),
        }
    }

    /// Counts the requests to each host in these metrics.
    pub fn count_in(&mut self, metrics: &Metrics) {
        for own in &mut self.series {
            *own = metrics.host(own.address(), own.port());
        }
    }

    /// Whether the URL belongs to one of the hosts.
    pub fn have(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return false;
        };
        self.hosts.iter().any(|host| {
            host.scheme == *scheme
                && host.authority.host().eq_ignore_ascii_case(authority.host())
                && port(&host.authority, scheme) == port(authority, scheme)
        })
    }

    /// Whether one of the hosts is reached over TLS.
    pub fn are_over_tls(&self) -> bool {
        self.hosts.iter().any(|host| host.scheme == Scheme::HTTPS)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }

    /// The host whose turn it is, with its metrics. There is always one, because a file without hosts is refused.
    pub fn next(&self) -> Option<(&Host, &HostSeries)> {
        let turn = match self.hosts.len() {
            1 => 0,
            several => self.next.fetch_add(1, Ordering::Relaxed) % several.max(1),
        };
        Some((self.hosts.get(turn)?, self.series.get(turn)?))
    }
}

fn port(authority: &Authority, scheme: &Scheme) -> u16 {
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    authority.port_u16().unwrap_or(usual)
}

#[cfg(test)]
impl Hosts {
    /// Hosts from these texts, for tests.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let hosts = texts.iter().map(|text| Host::parse(text, false).expect("a host"));
        Self::new(hosts.collect())
    }
}

impl Host {
    /// Parses a host. Without a scheme, it uses `http`. A path is accepted only if sanitizing is disabled.
    fn parse(text: &str, is_sanitized: bool) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::HTTP, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::HTTPS, rest),
            Some(_) => return Err("has a scheme other than http and https"),
            None => (Scheme::HTTP, text),
        };
        let (authority, below) = match rest.split_once('/') {
            Some((authority, below)) => (authority, below.trim_end_matches('/')),
            None => (rest, ""),
        };
        if !below.is_empty() && is_sanitized {
            return Err("has a path; move it to url_pattern, or set disable_host_sanitize");
        }
        let is_of_path = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@%".contains(&octet);
        if !below.bytes().all(is_of_path) || below.split('/').any(|segment| segment == "." || segment == "..") {
            return Err("has a path that is not valid in a URL");
        }
        let authority: Authority = authority
            .parse()
            .map_err(|_| "is not a host; write http://name:port or https://name:port")?;
        let name = authority.host();
        let is_address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|name| name.parse::<Ipv6Addr>().is_ok());
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'));
        let has_port = authority.as_str().len() > name.len();
        if authority.as_str().contains('@') {
            return Err("has a user name; credentials do not belong in this file");
        }
        if (!is_name && !is_address) || (has_port && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err("is not a host; write http://name:port or https://name:port");
        }
        Ok(Self {
            scheme,
            authority,
            below: if below.is_empty() {
                String::new()
            } else {
                format!("/{below}")
            },
        })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        f.write_str(&hosts.join("|"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_scheme_a_name_and_a_port() {
        for (text, host) in [
            ("api", "http://api"),
            ("api:8080", "http://api:8080"),
            ("HTTP://api.example.com/", "http://api.example.com"),
            ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://my_service", "http://my_service"),
        ] {
            assert_eq!(
                Host::parse(text, true).map(|host| host.to_string()),
                Ok(host.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "http://",
            "ftp://api",
            "http://user:word@api",
            "http://api:0",
            "http://api:",
            "http://api:port",
            "http://a b",
            "http://api?x=1",
            "http://api#x",
            "http://{name}",
            "http://[::1",
            "http://api/base",
            "http://api\r\nhost: b",
        ] {
            assert!(Host::parse(text, true).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_that_is_not_sanitized_may_have_a_path() {
        let parsed = |text| Host::parse(text, false).map(|host| host.to_string());
        assert_eq!(parsed("https://api/base/v1/"), Ok("https://api/base/v1".to_owned()));
        for text in [
            "https://api/../x",
            "https://api/a?b",
            "https://api/a b",
            "https://api/{x}",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_asked_in_turn() {
        let hosts = Hosts::of(&["a", "b", "b"]);
        let asked: Vec<&str> = (0..6)
            .filter_map(|_| hosts.next().map(|(host, _)| host.authority.as_str()))
            .collect();
        assert_eq!(asked, ["a", "b", "b", "a", "b", "b"]);
    }
}
