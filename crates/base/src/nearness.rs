//! Decides which hosts are this machine. Only this module knows the names and addresses of loopback.
//!
//! Callers have two questions, and in doubt the safe answer differs. *May we use plain HTTP?* Only if nobody can
//! intercept it, with any resolver: [`Nearness::Here`]. *May a document from elsewhere send us there?* Not if the host
//! could be this machine or a service on this machine's link: only [`Nearness::Elsewhere`].
//!
//! No name is resolved here. To judge the addresses of a name, use [`Nearness::of_address`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Where a host is, as far as its name or address shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// This machine, whatever a resolver or router does: `localhost`, `127.0.0.0/8`, `::1`.
    Here,
    /// This machine on some systems, with some resolvers or behind some gateways: `0.0.0.0`, `::`, `*.localhost`,
    /// `localhost.`, and IPv6 addresses that embed an IPv4 loopback address.
    PerhapsHere,
    /// A link-local address (RFC 3927, RFC 4291 §2.5.6). Clouds serve a machine's credentials on one of these.
    Link,
    /// Any other host.
    Elsewhere,
}

/// More names for loopback in common `/etc/hosts` files, besides `localhost`.
const OTHER_NAMES: [&str; 7] = [
    "ip6-localhost",
    "ip6-loopback",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
];

/// Unique local addresses at which AWS and Google serve a machine's credentials.
const METADATA: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

impl Nearness {
    /// Where the host of a URL is.
    #[must_use]
    pub fn of<S: AsRef<str>>(host: &Host<S>) -> Self {
        match host {
            Host::Domain(name) => of_name(name.as_ref()),
            Host::Ipv4(address) => of_v4(*address),
            Host::Ipv6(address) => of_v6(*address),
        }
    }

    /// Where the host with this text in a URL is. All ways to write an address are recognised (`127.1`, `0x7f.1`,
    /// `2130706433`), because clients recognise them, too. A text that is not a host is [`Nearness::Elsewhere`].
    #[must_use]
    pub fn of_text(host: &str) -> Self {
        let nearness = Host::parse(host).map_or(Self::Elsewhere, |host| Self::of(&host));
        // Not all clients decode a name as browsers do. Some ask DNS for the name as it is written.
        match nearness {
            Self::Here if host.contains('%') || !host.is_ascii() => Self::PerhapsHere,
            nearness => nearness,
        }
    }

    /// Where an address is, for example one that a name resolves to.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// Whether nobody can intercept requests to the host, so plain HTTP is safe.
    #[must_use]
    pub fn is_here(self) -> bool {
        self == Self::Here
    }
}

fn of_name(name: &str) -> Nearness {
    if name.eq_ignore_ascii_case("localhost") {
        return Nearness::Here;
    }
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761 §6.3 reserves all names below `localhost`, but not all resolvers obey it: glibc asks DNS for
    // `a.localhost` and believes the answer.
    match bare == "localhost" || bare.ends_with(".localhost") || OTHER_NAMES.contains(&bare.as_str()) {
        true => Nearness::PerhapsHere,
        false => Nearness::Elsewhere,
    }
}

fn of_v4(address: Ipv4Addr) -> Nearness {
    match address.octets() {
        [127, ..] => Nearness::Here,
        // "This host on this network" (RFC 1122 §3.2.1.3). On Linux, 0.0.0.0 connects to this machine.
        [0, ..] => Nearness::PerhapsHere,
        [169, 254, ..] => Nearness::Link,
        _ => Nearness::Elsewhere,
    }
}

fn of_v6(address: Ipv6Addr) -> Nearness {
    if address.is_loopback() {
        return Nearness::Here;
    }
    if address.is_unicast_link_local() || METADATA.contains(&address) {
        return Nearness::Link;
    }
    match within(address).map(of_v4) {
        // The machine's gateways decide whether such an address leaves the machine.
        Some(Nearness::Here | Nearness::PerhapsHere) => Nearness::PerhapsHere,
        Some(place) => place,
        None => Nearness::Elsewhere,
    }
}

/// The IPv4 address that is embedded in an IPv6 address.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let last = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // `::` itself, IPv4-compatible (RFC 4291 §2.5.5.1), IPv4-mapped (§2.5.5.2), IPv4-translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => last(high, low),
        // NAT64: RFC 6052 §2.1, and prefixes for local use, RFC 8215.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => last(high, low),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => last(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_what_no_resolver_can_move() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.0.0.9",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
        ] {
            assert_eq!(Nearness::of_text(host), Nearness::Here, "{host}");
        }
    }

    #[test]
    fn what_may_be_this_machine_is_neither_here_nor_elsewhere() {
        for host in [
            "localhost.",
            "a.localhost",
            "a.b.LocalHost.",
            "%6cocalhost",
            "ｌocalhost",
            "localhost.localdomain",
            "ip6-localhost",
            "ip6-loopback.",
            "0.0.0.0",
            "0",
            "0.1.2.3",
            "[::]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:0.0.0.0]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            assert_eq!(Nearness::of_text(host), Nearness::PerhapsHere, "{host}");
        }
    }

    #[test]
    fn where_clouds_answer_for_credentials_is_the_link() {
        for host in [
            "169.254.169.254",
            "0xa9fea9fe",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
        ] {
            assert_eq!(Nearness::of_text(host), Nearness::Link, "{host}");
        }
    }

    #[test]
    fn all_else_is_elsewhere() {
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "128.0.0.1",
            "[::2:0:0:1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2001:db8::1]",
            "::1",
        ] {
            assert_eq!(Nearness::of_text(host), Nearness::Elsewhere, "{host}");
        }
    }

    #[test]
    fn an_address_is_where_its_text_is() {
        for text in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
            "169.254.1.1",
            "fe80::1",
            "192.0.2.1",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            let written = match address {
                IpAddr::V4(_) => text.to_owned(),
                IpAddr::V6(_) => format!("[{text}]"),
            };
            assert_eq!(Nearness::of_address(address), Nearness::of_text(&written), "{text}");
        }
    }
}
