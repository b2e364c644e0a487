//! Which host is this machine, so that nobody stands between when plain HTTP is spoken with it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether the host of a URL is this machine, whoever resolves it: `localhost`, or an address that needs no resolver.
///
/// A name below `.localhost` is not. RFC 6761 §6.3 reserves these too, but it binds who resolves them, and some do not
/// keep it: glibc asks DNS for `a.localhost`, and whoever answers is believed. When in doubt, plain HTTP is too little.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_what_no_resolver_can_move() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "a.localhost",
            ".localhost",
            "localhost.",
            "localhost.example.com",
            "notlocalhost",
            "10.0.0.1",
            "0.0.0.0",
            "127.1",
            "127.0.0.1.example.com",
            "169.254.169.254",
            "[::]",
            "[::2]",
            "[::ffff:127.0.0.1]",
            "::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
