//! Where an issuer's documents are.

use std::fmt;

use reqwest::Url;

use crate::loopback;

/// A URL that keys may be taken from: https, or http on this machine. Whoever stands between could give other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(Url);

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, to be put after it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url: Url = text.parse().map_err(|_| "is not an absolute URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user's name, which would be sent as a password");
        }
        let location = Self(url);
        match location.0.scheme() {
            "https" => Ok(location),
            "http" if location.is_loopback() => Ok(location),
            "http" => Err("is not https, and whoever stands between could give other keys"),
            _ => Err("is not an https URL"),
        }
    }

    /// Reads the URL to which the document at this one leads.
    ///
    /// Not from elsewhere to this machine: what another names here is no issuer's, and a proxy that is asked for it looks for
    /// it on its own machine.
    pub(super) fn leads_to(&self, text: &str) -> Result<Self, &'static str> {
        let there = Self::parse(text)?;
        match there.is_loopback() && !self.is_loopback() {
            true => Err("is on this machine, where the document is not; write it as jwks_url if it is meant"),
            false => Ok(there),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(loopback::is_loopback)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for text in [
            "https://login.example.com/keys?p=policy",
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
    fn a_document_from_elsewhere_does_not_lead_to_this_machine() {
        let at = |text| Location::parse(text).expect("a location");
        let (there, here) = (at("https://login.example.com/found"), at("http://127.0.0.1:3000/found"));
        for keys in ["http://localhost:9464/", "http://127.0.0.1/keys", "https://[::1]/keys"] {
            assert!(there.leads_to(keys).is_err(), "{keys}");
            assert_eq!(here.leads_to(keys), Ok(at(keys)));
        }
        let keys = "https://keys.example.com/jwks";
        assert_eq!(there.leads_to(keys), Ok(at(keys)));
        assert_eq!(here.leads_to(keys), Ok(at(keys)));
        assert!(there.leads_to("http://keys.example.com/jwks").is_err());
    }
}
