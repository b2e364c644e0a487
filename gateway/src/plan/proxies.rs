//! The proxies in front of the gateway whose `X-Forwarded-For` is believed: those that the file names, and no others.
//!
//! Anybody can write the header. Each proxy appends the address of its own client, so the header is read from its end, as far as
//! trusted proxies wrote it.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName};

use crate::file::Section;

/// The trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<Network>,
    /// The headers in which they write the address of a client. The first one that a request has counts.
    headers: Vec<HeaderName>,
}

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u32>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        let shifted = |value: u128, width: u32| value.checked_shr(width - self.bits).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                shifted(u32::from(network).into(), 32) == shifted(u32::from(address).into(), 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => shifted(network.into(), 128) == shifted(address.into(), 128),
            _ => false,
        }
    }
}

impl Proxies {
    /// Reads `trusted_proxies` of the router.
    pub fn read(router: &Section<'_>) -> Self {
        let is_off = router.has("forwarded_by_client_ip") && !router.flag("forwarded_by_client_ip");
        let mut networks = Vec::new();
        for text in router.texts("trusted_proxies") {
            match Network::parse(text.value) {
                Some(network) => networks.push(network),
                None => router.refuse_at(
                    &text.place,
                    format!(
                        "{:?} is neither an address nor a network; write for example 10.0.0.0/8",
                        text.value
                    ),
                ),
            }
        }
        let mut headers = Vec::new();
        for text in router.texts("remote_ip_headers") {
            match text.value.parse() {
                Ok(name) => headers.push(name),
                Err(_) => router.refuse_at(&text.place, format!("{:?} is not a header name", text.value)),
            }
        }
        if headers.is_empty() {
            headers.push(HeaderName::from_static("x-forwarded-for"));
        }
        Self {
            networks: if is_off { Vec::new() } else { networks },
            headers,
        }
    }

    /// Whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether one of them has this address.
    #[must_use]
    pub fn have(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// The address of the client whose request a trusted proxy forwarded. `peer` is the address of that proxy.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let Some(name) = self.headers.iter().find(|name| headers.contains_key(*name)) else {
            return peer;
        };
        let fields: Vec<&str> = headers
            .get_all(name)
            .iter()
            .map(|field| field.to_str().unwrap_or_default())
            .collect();
        let mut client = peer;
        for text in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
            let Ok(address) = text.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
            if !self.have(client) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(texts: &[&str]) -> Proxies {
        let networks = texts.iter().map(|text| Network::parse(text).expect("a network"));
        Proxies {
            networks: networks.collect(),
            headers: vec![
                HeaderName::from_static("x-real-ip"),
                HeaderName::from_static("x-forwarded-for"),
            ],
        }
    }

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        let proxies = proxies(&["10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::1"]);
        let have = |address: &str| proxies.have(address.parse().expect("an address"));
        for address in ["10.1.0.0", "10.1.255.255", "192.0.2.7", "2001:db8:1::1", "::1"] {
            assert!(have(address), "{address}");
        }
        for address in ["10.2.0.0", "192.0.2.8", "2001:db9::", "::2", "0.0.0.1"] {
            assert!(!have(address), "{address}");
        }
        let all = Network::parse("0.0.0.0/0").expect("a network");
        assert!(all.has("255.1.2.3".parse().expect("an address")));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0",
            "a/8",
            "::/129",
            "10.0.0.0/8/8",
        ] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_first_listed_header_that_a_request_has_counts() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
        let client = |headers: &HeaderMap| {
            proxies
                .client("10.0.0.1".parse().expect("an address"), headers)
                .to_string()
        };
        assert_eq!(client(&headers), "192.0.2.7");
        headers.append("x-real-ip", HeaderValue::from_static("192.0.2.8"));
        assert_eq!(client(&headers), "192.0.2.8");
    }

    #[test]
    fn the_header_is_believed_as_far_as_trusted_proxies_wrote_it() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let client = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", HeaderValue::from_static(field));
            }
            proxies
                .client("10.0.0.1".parse().expect("an address"), &headers)
                .to_string()
        };
        for (fields, expected) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.7"], "192.0.2.7"),
            (&["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
            (&["1.1.1.1, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            (&["1.1.1.1", "192.0.2.7,10.0.0.2"], "192.0.2.7"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.7, nonsense"], "10.0.0.1"),
            (&["nonsense, 10.0.0.2"], "10.0.0.2"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
        ] {
            assert_eq!(client(fields), expected, "{fields:?}");
        }
    }
}
