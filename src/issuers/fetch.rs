//! One fetch: where the keys are, if that must be found out first, and the keys. Bounded in time and in octets, and no
//! redirect is followed: an answer comes from the URL that was asked, or not at all.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use signet_api::chain;
use signet_core::{Algorithm, ForeignKeys, Issuer, foreign_keys};
use tokio::time::Instant;

use super::freshness::life;
use super::location::Location;
use crate::settings::{KeysAt, TrustedIssuer};

/// How long one answer may take, from the connection to its last octet.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest document, in octets. Real ones have some thousand.
const LONGEST: usize = 512 * 1024;
/// How long it is believed where the keys are. It is also found out anew after a fetch that failed.
const DISCOVERED: Duration = Duration::from_secs(24 * 3600);

/// Why no fetch is possible at all.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The file of the certificate authorities.
    #[error("ca_file of the trusted issuer {issuer}, {}, cannot be read", path.display())]
    File {
        /// Whose.
        issuer: Issuer,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS.
    #[error("TLS to the trusted issuer {issuer} cannot be set up; is ca_file a list of certificates in PEM?")]
    Tls {
        /// Whose.
        issuer: Issuer,
        /// Why.
        source: reqwest::Error,
    },
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or no answer within the deadline.
    #[error("{url} does not answer: {why}")]
    Transport {
        /// Who was asked.
        url: Location,
        /// The error with its causes.
        why: String,
    },
    /// Another status than 200.
    #[error("{url} answered {status}{}", advice(*status))]
    Status {
        /// Who was asked.
        url: Location,
        /// The status.
        status: u16,
    },
    /// A document without end.
    #[error("{url} answered more than {} KiB", LONGEST / 1024)]
    TooLong {
        /// Who was asked.
        url: Location,
    },
    /// Not what OpenID Connect Discovery 1.0 §3 or RFC 8414 §2 says.
    #[error(
        "{url} is no discovery document: it is not a JSON object with issuer and jwks_uri; is discovery_url right?"
    )]
    NotDiscovery {
        /// Who was asked.
        url: Location,
    },
    /// OpenID Connect Discovery 1.0 §4.3: they must be the same.
    #[error("{url} is of the issuer {named:?}; write exactly that name in SIGNET_TRUSTED_ISSUERS if it is meant")]
    OtherIssuer {
        /// Who was asked.
        url: Location,
        /// The issuer that it names, cut.
        named: String,
    },
    /// It leads somewhere else than to a safe place.
    #[error("{url} names as jwks_uri a URL that {why}")]
    BadLocation {
        /// Who was asked.
        url: Location,
        /// What is wrong.
        why: &'static str,
    },
    /// There is an answer, but no key.
    #[error("{url} gives no keys")]
    NoKeys {
        /// Who was asked.
        url: Location,
        /// Why.
        source: foreign_keys::NoKeys,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => ", a redirect, which is not followed; write the URL where it ends as jwks_url or discovery_url",
        401 | 403 => "; keys are public, so something in between asks for a login",
        404 => "; is the name of the issuer right, to the last slash?",
        _ => "",
    }
}

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: ForeignKeys,
    /// How long the issuer says that they are good for.
    pub(super) life: Duration,
}

/// Where one issuer's keys come from.
#[derive(Debug)]
pub(super) struct Source {
    issuer: Issuer,
    algorithms: Vec<Algorithm>,
    keys_at: KeysAt,
    client: reqwest::Client,
    discovered: Option<(Location, Instant)>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn new(terms: &TrustedIssuer) -> Result<Self, NoClient> {
        let tls = |source| NoClient::Tls {
            issuer: terms.issuer.clone(),
            source,
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none());
        let (KeysAt::Jwks(url) | KeysAt::Discovery(url)) = &terms.keys_at;
        if url.is_loopback() {
            // A proxy that the environment names has no business between two processes of this machine.
            builder = builder.no_proxy();
        }
        if let Some(path) = &terms.ca_file {
            let pem = std::fs::read(path).map_err(|source| NoClient::File {
                issuer: terms.issuer.clone(),
                path: path.clone(),
                source,
            })?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).map_err(tls)?);
        }
        Ok(Self {
            issuer: terms.issuer.clone(),
            algorithms: terms.algorithms.clone(),
            keys_at: terms.keys_at.clone(),
            client: builder.build().map_err(tls)?,
            discovered: None,
        })
    }

    /// Fetches the keys once.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let url = match (&self.keys_at, &self.discovered) {
            (KeysAt::Jwks(url), _) => url.clone(),
            (KeysAt::Discovery(_), Some((url, found_at))) if found_at.elapsed() <= DISCOVERED => url.clone(),
            (KeysAt::Discovery(document), _) => {
                // Not what was found before, if this fails.
                let found = self.discover(document).await;
                self.discovered = found.as_ref().ok().map(|url| (url.clone(), Instant::now()));
                found?
            }
        };
        let fetched = self.keys(&url).await;
        if fetched.is_err() {
            // They may have moved.
            self.discovered = None;
        }
        fetched
    }

    async fn discover(&self, url: &Location) -> Result<Location, FetchError> {
        let (document, _) = self.read(url).await?;
        let found: Discovery =
            serde_json::from_slice(&document).map_err(|_| FetchError::NotDiscovery { url: url.clone() })?;
        if found.issuer != self.issuer.as_str() {
            return Err(FetchError::OtherIssuer {
                url: url.clone(),
                named: found.issuer.chars().take(200).collect(),
            });
        }
        Location::parse(&found.jwks_uri).map_err(|why| FetchError::BadLocation { url: url.clone(), why })
    }

    async fn keys(&self, url: &Location) -> Result<Fetched, FetchError> {
        let (document, life) = self.read(url).await?;
        let keys = ForeignKeys::parse(&document, &self.algorithms).map_err(|source| FetchError::NoKeys {
            url: url.clone(),
            source,
        })?;
        Ok(Fetched { keys, life })
    }

    async fn read(&self, url: &Location) -> Result<(Vec<u8>, Duration), FetchError> {
        let failed = |error: reqwest::Error| FetchError::Transport {
            url: url.clone(),
            why: told(&error),
        };
        let request = self.client.get(url.url().clone());
        let mut answer = request.send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                url: url.clone(),
                status: answer.status().as_u16(),
            });
        }
        let life = life(answer.headers());
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if document.len() + chunk.len() > LONGEST {
                return Err(FetchError::TooLong { url: url.clone() });
            }
            document.extend_from_slice(&chunk);
        }
        Ok((document, life))
    }
}

/// The library's own text repeats the URL.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no whole answer within {} s", DEADLINE.as_secs());
    }
    error.source().map_or_else(|| error.to_string(), chain)
}
