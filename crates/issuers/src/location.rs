//! URLs of an issuer's documents.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use signet_base::Nearness;

use super::own_address::is_own;

/// A URL from which keys may be fetched: https, or http on this machine. Over plain http elsewhere, an
/// attacker could replace the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(Url);

impl Location {
    /// Parses a URL.
    ///
    /// # Errors
    /// The problem, worded to follow the URL.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let location = Self::parse_over_http(text)?;
        match location.0.scheme() == "https" || location.is_here() {
            true => Ok(location),
            false => Err("is not https, so an attacker on the network could send other keys"),
        }
    }

    /// Parses a URL, and accepts plain http to any host. Use it if the operator says that the network can be trusted.
    ///
    /// # Errors
    /// The problem, worded to follow the URL.
    pub fn parse_over_http(text: &str) -> Result<Self, &'static str> {
        // The parser silently drops these characters (WHATWG URL §4.4). The request would then go to another host than
        // the one in the text.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("has white space, a control character or a backslash");
        }
        let url: Url = text.parse().map_err(|_| "is not an absolute URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name, which would be sent as a login");
        }
        if url.fragment().is_some() {
            return Err("has a fragment (#), which is never sent");
        }
        if url.port() == Some(0) {
            return Err("has the port 0, which is not valid");
        }
        // The parser also accepts `https:host` and `https:///host`.
        let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest);
        if !after_scheme.starts_with("//") || after_scheme.starts_with("///") {
            return Err("is not an absolute URL");
        }
        match url.scheme() {
            "https" | "http" => Ok(Self(url)),
            _ => Err("is not an https URL"),
        }
    }

    /// Parses a URL that the document at `self` names.
    ///
    /// A document from elsewhere must not name an address of this machine. No issuer's keys are there, and a proxy
    /// would look for the address on its own machine.
    pub(super) fn leads_to(&self, text: &str) -> Result<Self, &'static str> {
        let there = Self::parse(text)?;
        match there.nearness() {
            _ if self.is_here() => Ok(there),
            // The URL is allowed if both hosts are on a non-loopback interface of this machine, or neither is.
            Nearness::Elsewhere if self.has_own_address() || !there.has_own_address() => Ok(there),
            Nearness::Elsewhere => {
                Err("is an address of this machine; if you mean that, write the URL of the keys as jwks_url")
            }
            Nearness::Here | Nearness::PerhapsHere => {
                Err("is or may be on this machine; if you mean that, write the URL of the keys as jwks_url")
            }
            Nearness::Link => Err(
                "is a link-local address, where clouds serve credentials; if you mean that, write the URL of the \
                 keys as jwks_url",
            ),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether this is fetched over TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the host is this machine, so nobody can intercept the request.
    pub(super) fn is_here(&self) -> bool {
        self.nearness().is_here()
    }

    /// The host as an IP address, if it is written as one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.0.host_str()?.trim_matches(['[', ']']).parse().ok()
    }

    /// Whether the host is the address of a non-loopback interface of this machine.
    fn has_own_address(&self) -> bool {
        self.nearness() == Nearness::Elsewhere && self.address().is_some_and(is_own)
    }

    fn nearness(&self) -> Nearness {
        self.0.host().map_or(Nearness::Elsewhere, |host| Nearness::of(&host))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::own_address::tests::own_addresses;
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for text in [
            "https://login.example.com/keys?p=policy",
            "HTTPS://login.example.com",
            "http://localhost:3000/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:8080/",
        ] {
            assert!(Location::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://login.example.com/keys",
            "http://localhost.example.com/",
            "http://a.localhost/keys",
            "http://localhost./keys",
            "http://0.0.0.0/keys",
            "http://[::ffff:127.0.0.1]/keys",
            "http://169.254.169.254/latest/meta-data",
            "https://me:secret@example.com/",
            "ftp://example.com/keys",
            "file:///etc/passwd",
            "/keys",
            "",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_that_would_be_read_as_another_is_refused() {
        for text in [
            "https://login.example.com\n/keys",
            "https://login.exa\tmple.com/keys",
            " https://login.example.com/keys",
            "https://login.example.com/keys\r\n",
            "https://login.example.com/ke ys",
            "https://login.example.com\u{a0}/keys",
            "https:\\\\login.example.com\\keys",
            "https:login.example.com/keys",
            "https:/login.example.com/keys",
            "https:///login.example.com/keys",
            "https://login.example.com/keys#main",
            "https://login.example.com:0/keys",
        ] {
            assert!(Location::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_document_from_elsewhere_does_not_lead_to_this_machine() {
        let at = |text: &str| Location::parse(text).expect("a location");
        let here = at("http://127.0.0.1:3000/found");
        // If it is not certain that the document comes from this machine, it must not name an address of this machine.
        let others = [
            "https://login.example.com/found",
            "https://0.0.0.0/found",
            "https://localhost./found",
        ]
        .map(at);
        for keys in [
            "http://localhost:9464/",
            "http://127.0.0.1/keys",
            "https://[::1]/keys",
            "https://localhost./keys",
            "https://a.localhost/keys",
            "https://0.0.0.0/keys",
            "https://[::]/keys",
            "https://127.1/keys",
            "https://2130706433/keys",
            "https://0x7f.1/keys",
            "https://0177.0.0.1/keys",
            "https://[::ffff:127.0.0.1]/keys",
            "https://[64:ff9b::7f00:1]/keys",
            "https://169.254.169.254/keys",
            "https://[fe80::1]/keys",
            "https://[fd00:ec2::254]/keys",
        ] {
            assert_eq!(here.leads_to(keys), Ok(at(keys)), "{keys}");
            for there in &others {
                assert!(there.leads_to(keys).is_err(), "{there} {keys}");
            }
        }
        for keys in ["https://keys.example.com/jwks", "https://10.0.0.1/jwks"] {
            assert_eq!(others[0].leads_to(keys), Ok(at(keys)));
            assert_eq!(here.leads_to(keys), Ok(at(keys)));
        }
        for own in own_addresses() {
            let url = |port: u16| format!("https://{}/keys", SocketAddr::new(own, port));
            let keys = url(8443);
            for there in &others {
                assert!(there.leads_to(&keys).is_err(), "{there} {keys}");
            }
            assert_eq!(here.leads_to(&keys), Ok(at(&keys)));
            assert_eq!(
                at(&url(443)).leads_to(&keys),
                Ok(at(&keys)),
                "an issuer on this machine"
            );
            assert!(at(&keys).leads_to("https://127.0.0.1/keys").is_err());
        }
        assert!(others[0].leads_to("http://keys.example.com/jwks").is_err());
    }
}
