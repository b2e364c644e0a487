//! Checks which host a request is for: `Host` and `:authority` (RFC 9112 §3.2, RFC 9113 §8.3.1).
//!
//! No listener selects anything by the host name. But if a request names no host, two hosts or an invalid one, two
//! programs may read it differently. Such a request is refused before it is routed.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::{Request, Version};

use crate::problem::Problem;

const HTTP: &[u8] = b"80";
const HTTPS: &[u8] = b"443";

/// Checks the host of a request. HTTP/1.0 may name none, and HTTP/2 may use `:authority` alone.
///
/// # Errors
/// [`Problem`] (400) if an HTTP/1.1 request names no host, if there are two `Host` fields, if one is not a host with an
/// optional port, or if `:authority` of HTTP/2 is a different host.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut given = request.headers().get_all(HOST).iter();
    let host = match (given.next(), given.next()) {
        (_, Some(_)) => {
            return Err(invalid(
                "the request has more than one Host header (RFC 9112 §3.2); send one",
            ));
        }
        (None, None) if request.version() == Version::HTTP_11 => {
            return Err(invalid(
                "HTTP/1.1 requires a Host header (RFC 9112 §3.2); send one, such as Host: signet",
            ));
        }
        (None, None) => None,
        (Some(value), None) => Some(Host::parse(value.as_bytes()).ok_or_else(|| {
            invalid("the Host header is not a name or an address with an optional port (RFC 9112 §3.2)")
        })?),
    };
    // Over HTTP/1.1, the target may be a whole URI. Its host then counts, and `Host` is ignored (RFC 9112 §3.2.2).
    let Some(authority) = request
        .uri()
        .authority()
        .filter(|_| request.version() == Version::HTTP_2)
    else {
        return Ok(());
    };
    let authority = Host::parse(authority.as_str().as_bytes())
        .ok_or_else(|| invalid(":authority is not a name or an address with an optional port (RFC 9113 §8.3.1)"))?;
    let usual = match request.uri().scheme_str() {
        Some("https") => HTTPS,
        _ => HTTP,
    };
    match host {
        Some(host) if !host.is_same(&authority, usual) => Err(invalid(
            "Host and :authority name different hosts (RFC 9113 §8.3.1); send the same in both, or only :authority",
        )),
        _ => Ok(()),
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::request("invalid_host", detail)
}

/// The parts of `uri-host [ ":" port ]` (RFC 3986 §3.2.2).
#[derive(Clone, Copy, Debug)]
struct Host<'a> {
    name: &'a [u8],
    port: &'a [u8],
}

impl<'a> Host<'a> {
    /// An empty name is valid: the target has no authority then.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let end_of_address = match text.first() {
            Some(b'[') => 1 + text.iter().position(|octet| *octet == b']')?,
            _ => 0,
        };
        let colon = text[end_of_address..].iter().position(|octet| *octet == b':');
        let (name, port) = match colon {
            Some(colon) => (&text[..end_of_address + colon], &text[end_of_address + colon + 1..]),
            None => (text, &[][..]),
        };
        let is_host = match end_of_address {
            0 => is_name(name),
            end => end == name.len() && is_address(&name[1..end - 1]),
        };
        (is_host && port.iter().all(u8::is_ascii_digit)).then_some(Self { name, port })
    }

    /// Whether both have the same host and port. `usual` is the default port of the scheme.
    fn is_same(&self, other: &Self, usual: &[u8]) -> bool {
        let port = |host: &Self| match host.port {
            [] => usual.to_vec(),
            port => port.to_vec(),
        };
        self.name.eq_ignore_ascii_case(other.name) && port(self) == port(other)
    }
}

/// Whether this is a `reg-name`. An `IPv4address` has the same form.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((first, others)) = rest.split_first() {
        rest = match first {
            b'%' => match others {
                [high, low, others @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => others,
                _ => return false,
            },
            octet if is_plain(*octet) => others,
            _ => return false,
        };
    }
    true
}

/// Whether this character is in `unreserved` or `sub-delims`.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&octet)
}

/// Whether this is an `IPv6address` or an `IPvFuture`, which are written in brackets.
fn is_address(address: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(address) else {
        return false;
    };
    if text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let future = text.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'));
    future.is_some_and(|(version, address)| {
        let is_version = !version.is_empty() && version.bytes().all(|octet| octet.is_ascii_hexdigit());
        let mut octets = address.bytes();
        is_version && !address.is_empty() && octets.all(|octet| octet == b':' || is_plain(octet))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, target: &str, hosts: &[&[u8]]) -> bool {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let checked = check(&request.body(()).expect("a request"));
        if let Err(problem) = &checked {
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "invalid_host"));
        }
        checked.is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for good in [
            "signet",
            "",
            "signet:",
            "signet:8080",
            ":8080",
            "a.b-c_d~e",
            "127.0.0.1:9464",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:1",
            "[v1.a:b]",
            "%2Frun%2Fsignet.sock",
        ] {
            assert!(checked(Version::HTTP_11, "/", &[good.as_bytes()]), "{good:?}");
        }
        for bad in [
            &b"a b"[..],
            b"a,b c",
            b"/run/signet.sock",
            b"http://signet",
            b"user@signet",
            b"a:b",
            b"a:80:80",
            b"a:-1",
            b"::1",
            b"[::1",
            b"[::1]x",
            b"[fe80::1%25eth0]",
            b"[]",
            b"[signet]",
            b"[v.a]",
            b"a%2",
            b"a%zz",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a\"b",
            b"\xffa",
            "\u{e9}".as_bytes(),
        ] {
            assert!(!checked(Version::HTTP_11, "/", &[bad]), "{bad:?}");
        }
    }

    #[test]
    fn http_1_names_one_host_and_http_1_0_may_name_none() {
        assert!(!checked(Version::HTTP_11, "/", &[]));
        assert!(checked(Version::HTTP_10, "/", &[]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(checked(version, "/", &[b"a"]));
            assert!(!checked(version, "/", &[b"a", b"a"]));
            assert!(!checked(version, "/", &[b"a b"]));
            // The host of the target counts, but `Host` must still be present.
            assert!(checked(version, "http://other/", &[b"a"]));
        }
        assert!(!checked(Version::HTTP_11, "http://other/", &[]));
    }

    #[test]
    fn http_2_names_one_host_in_whatever_field() {
        let checked = |target, hosts: &[&[u8]]| checked(Version::HTTP_2, target, hosts);
        assert!(checked("/", &[]));
        assert!(checked("/", &[b"a"]));
        assert!(!checked("/", &[b"a", b"a"]));
        assert!(checked("http://a/", &[]));
        for (target, host) in [
            ("http://a/", "a"),
            ("http://A.b/", "a.B"),
            ("http://a:80/", "a"),
            ("http://a/", "a:80"),
            ("https://a/", "a:443"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert!(checked(target, &[host.as_bytes()]), "{target} {host}");
        }
        for (target, host) in [
            ("http://a/", "b"),
            ("http://a/", ""),
            ("http://a:81/", "a"),
            ("http://a/", "a:443"),
            ("https://a/", "a:80"),
            ("http://a/", "a b"),
            ("http://u@a/", "a"),
        ] {
            assert!(!checked(target, &[host.as_bytes()]), "{target} {host}");
        }
        assert!(!checked("http://u@a/", &[]), "a user name is not allowed there");
    }
}
