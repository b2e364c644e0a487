//! Where an issuer's documents are.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

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
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err("is not https, and whoever stands between could give other keys"),
            _ => Err("is not an https URL"),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
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
}
