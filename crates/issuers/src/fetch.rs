//! One fetch of an issuer's keys, with discovery if needed. Time and size are limited. Redirects are not followed: an
//! answer always comes from the requested URL.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use serde::Deserialize;
use signet_base::chain;
use signet_base::{USER_AGENT, proxies};
use signet_core::{Algorithm, ForeignKeys, Issuer, Judged, foreign_keys, json};
use tokio::time::Instant;

use super::freshness::life;
use super::location::Location;
use super::resolve::Resolver;
use super::tls::{self, NoClient};
use crate::{KeysAt, TrustedIssuer};

/// How long one fetch may take, from connecting to the last byte.
const DEADLINE: Duration = Duration::from_secs(5);
/// The maximum length of a document in bytes. Real ones have a few thousand.
const LONGEST: usize = 512 * 1024;
/// How long a discovered URL of the keys is used. Discovery is also repeated after a failed fetch.
const DISCOVERED: Duration = Duration::from_secs(24 * 3600);

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection failed, or no answer came within the deadline.
    #[error("{url} does not answer: {why}")]
    Transport {
        /// The requested URL.
        url: Location,
        /// The error and its causes.
        why: String,
    },
    /// TLS failed, or the server's certificate is not that of the issuer.
    #[error("the TLS connection to {url} failed: {why}")]
    Tls {
        /// The requested URL.
        url: Location,
        /// The problem, in words for an operator.
        why: String,
    },
    /// The answer has a status other than 200.
    #[error("{url} answered {status}{}", advice(*status))]
    Status {
        /// The requested URL.
        url: Location,
        /// The status of the answer.
        status: u16,
    },
    /// The document is too long.
    #[error("the answer of {url} is longer than {} KiB", LONGEST / 1024)]
    TooLong {
        /// The requested URL.
        url: Location,
    },
    /// The document is not what OpenID Connect Discovery 1.0 §3 or RFC 8414 §2 describe.
    #[error(
        "{url} did not answer with a discovery document, a JSON object with issuer and jwks_uri; check discovery_url"
    )]
    NotDiscovery {
        /// The requested URL.
        url: Location,
    },
    /// The document is for another issuer (OpenID Connect Discovery 1.0 §4.3).
    #[error(
        "{url} is the discovery document of another issuer, {named:?}; if you mean that one, write exactly this name \
         in the settings"
    )]
    OtherIssuer {
        /// The requested URL.
        url: Location,
        /// The issuer in the document, shortened.
        named: String,
    },
    /// The document names a URL from which keys must not be fetched.
    #[error("the jwks_uri in {url} {why}")]
    BadLocation {
        /// The URL in the document.
        url: Location,
        /// The problem with the URL.
        why: &'static str,
    },
    /// The document has no usable key.
    #[error("{url} has no usable keys")]
    NoKeys {
        /// The requested URL.
        url: Location,
        /// The reason why no key can be used.
        source: foreign_keys::NoKeys,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => {
            ", a redirect, and Signet does not follow redirects; write the final URL as jwks_url or discovery_url"
        }
        401 | 403 => {
            "; keys are public, so a proxy on the way probably requires a login, or a firewall refuses this \
                      machine"
        }
        404 => "; check the name of the issuer, including its last slash",
        _ => "",
    }
}

/// The result of a fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Where the keys were.
    pub(super) url: Location,
    pub(super) keys: ForeignKeys,
    /// How long the issuer says that its keys may be used.
    pub(super) life: Duration,
}

/// The URLs from which one issuer's keys are fetched, and the client that fetches them.
#[derive(Debug)]
pub(super) struct Fetcher {
    issuer: Issuer,
    algorithms: Vec<Algorithm>,
    keys_at: KeysAt,
    ca_file: Option<PathBuf>,
    client: reqwest::Client,
    resolver: Resolver,
    /// Which URLs go through a proxy, by the same rules as the client.
    proxies: Option<Matcher>,
    discovered: Option<(Location, Instant)>,
    /// The verdicts on the keys of the last answer.
    judged: Judged,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(terms: &TrustedIssuer) -> Result<Self, NoClient> {
        let resolver = Resolver::default();
        let mut builder = reqwest::Client::builder()
            .dns_resolver(resolver.clone())
            .user_agent(USER_AGENT)
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none());
        let (KeysAt::Jwks(url) | KeysAt::Discovery(url)) = &terms.keys_at;
        let proxies = match url.is_here() {
            // A proxy from the environment must not be used between two processes of this machine.
            true => {
                builder = builder.no_proxy();
                None
            }
            false => Some(Matcher::from_env()),
        };
        match (tls::authorities(terms)?, &terms.keys_at) {
            (Some(authorities), _) => builder = builder.tls_certs_only(authorities),
            // Nothing else is fetched, no redirect is followed and no proxy is used. Reading the authorities of the machine
            // would take milliseconds of the start.
            (None, KeysAt::Jwks(url)) if url.is_here() && !url.is_over_tls() => builder = builder.tls_certs_only([]),
            (None, _) => {}
        }
        Ok(Self {
            issuer: terms.issuer.clone(),
            algorithms: terms.algorithms.clone(),
            keys_at: terms.keys_at.clone(),
            ca_file: terms.ca_file.clone(),
            client: builder.build().map_err(|source| NoClient::new(terms, source))?,
            resolver,
            proxies,
            discovered: None,
            judged: Judged::default(),
        })
    }

    /// Takes over the verdicts on the keys that an earlier process stored.
    pub(super) fn recall(&mut self, keys: &ForeignKeys) {
        self.judged = keys.judged();
    }

    /// Fetches the keys once.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let url = match (&self.keys_at, &self.discovered) {
            (KeysAt::Jwks(url), _) => url.clone(),
            (KeysAt::Discovery(_), Some((url, found_at))) if found_at.elapsed() <= DISCOVERED => url.clone(),
            (KeysAt::Discovery(document), _) => {
                // If discovery fails, the earlier URL is dropped as well.
                let found = self.discover(document).await;
                self.discovered = found.as_ref().ok().map(|url| (url.clone(), Instant::now()));
                found?
            }
        };
        let fetched = self.keys(&url).await;
        if fetched.is_err() {
            // The keys may have moved, so the next fetch discovers their URL again.
            self.discovered = None;
        }
        fetched
    }

    async fn discover(&self, url: &Location) -> Result<Location, FetchError> {
        self.resolver.on_fetch(self.direct(url));
        let (document, _) = self.read(url).await?;
        let found: Discovery = json::read(&document).map_err(|_| FetchError::NotDiscovery { url: url.clone() })?;
        if found.issuer != self.issuer.as_str() {
            return Err(FetchError::OtherIssuer {
                url: url.clone(),
                named: found.issuer.chars().take(200).collect(),
            });
        }
        let keys = url
            .leads_to(&found.jwks_uri)
            .map_err(|why| FetchError::BadLocation { url: url.clone(), why })?;
        self.resolver.on_keys_location(self.direct(&keys));
        Ok(keys)
    }

    /// The location, if it is fetched without a proxy.
    fn direct<'a>(&self, url: &'a Location) -> Option<&'a Location> {
        let uri = url.url().as_str().parse().ok();
        let takes_a_proxy = |proxies: &Matcher| uri.is_some_and(|uri| proxies.intercept(&uri).is_some());
        (!self.proxies.as_ref().is_some_and(takes_a_proxy)).then_some(url)
    }

    /// A new RSA key takes milliseconds to be judged, and a set may have many: requests do not wait for that.
    async fn keys(&mut self, url: &Location) -> Result<Fetched, FetchError> {
        let (document, life) = self.read(url).await?;
        let (algorithms, mut judged) = (self.algorithms.clone(), std::mem::take(&mut self.judged));
        let reading = tokio::task::spawn_blocking(move || {
            let keys = ForeignKeys::parse_again(&document, &algorithms, &mut judged);
            (keys, judged)
        });
        let Ok((keys, judged)) = reading.await else {
            let why = "the process is stopping".to_owned();
            return Err(FetchError::Transport { url: url.clone(), why });
        };
        self.judged = judged;
        let keys = keys.map_err(|source| FetchError::NoKeys {
            url: url.clone(),
            source,
        })?;
        Ok(Fetched {
            url: url.clone(),
            keys,
            life,
        })
    }

    async fn read(&self, url: &Location) -> Result<(Vec<u8>, Duration), FetchError> {
        let failed = |error: reqwest::Error| self.fetch_error(url.clone(), &error);
        let request = self.client.get(url.url().clone());
        let mut answer = request.send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                url: url.clone(),
                status: answer.status().as_u16(),
            });
        }
        let too_long = || FetchError::TooLong { url: url.clone() };
        // An answer that announces too many bytes is not read at all.
        if answer.content_length().is_some_and(|octets| octets > LONGEST as u64) {
            return Err(too_long());
        }
        let life = life(answer.headers());
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if document.len() + chunk.len() > LONGEST {
                return Err(too_long());
            }
            document.extend_from_slice(&chunk);
        }
        Ok((document, life))
    }

    fn fetch_error(&self, url: Location, error: &reqwest::Error) -> FetchError {
        if let Some(why) = proxies::failure(error) {
            return FetchError::Transport { url, why };
        }
        if let Some(failure) = tls::failure(error) {
            let why = tls::in_words(failure, self.ca_file.as_deref());
            return FetchError::Tls { url, why };
        }
        let why = match error.is_timeout() {
            true => {
                let way = self.direct(&url).map_or_else(proxies::on_the_way, |_| String::new());
                format!("no complete answer within {} s{way}", DEADLINE.as_secs())
            }
            // The library's own text would repeat the URL.
            false => error.source().map_or_else(|| error.to_string(), chain),
        };
        FetchError::Transport { url, why }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::example::trusted;

    #[test]
    fn a_location_is_direct_unless_its_client_asks_a_proxy() {
        let at = |text: &str| Location::parse(text).expect("a location");
        let fetcher = |url: &str, proxies: Matcher| {
            let mut fetcher = Fetcher::new(&trusted(url)).expect("a client");
            fetcher.proxies = fetcher.proxies.map(|_| proxies);
            fetcher
        };
        let proxies = || {
            Matcher::builder()
                .https("http://localhost:3128")
                .no("direct.test,127.0.0.0/8")
                .build()
        };
        let elsewhere = fetcher("https://login.test/jwks", proxies());
        assert!(elsewhere.direct(&at("https://keys.test/")).is_none());
        assert!(elsewhere.direct(&at("https://keys.direct.test/")).is_some());
        let here = fetcher("http://127.0.0.1:1/jwks", proxies());
        assert!(
            here.direct(&at("https://keys.test/")).is_some(),
            "its client uses no proxy"
        );
        let without = fetcher("https://login.test/jwks", Matcher::builder().build());
        assert!(without.direct(&at("https://keys.test/")).is_some());
    }

    #[tokio::test]
    async fn an_answer_that_announces_too_much_is_refused_before_it_comes() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        // The server announces a length and then sends nothing. A client that waits for the rest
        // waits until the deadline.
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(connection.read_buf(&mut request).await.expect("a request"), 0);
            }
            // Firewalls refuse requests without a user agent.
            let request = String::from_utf8(request).expect("text");
            assert!(request.contains(&format!("user-agent: {USER_AGENT}\r\n")), "{request}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LONGEST + 1);
            connection.write_all(head.as_bytes()).await.expect("written");
            // Wait until the client closes the connection.
            let _ = connection.read_u8().await;
        });
        let mut fetcher = Fetcher::new(&trusted(&format!("http://{address}/jwks"))).expect("a client");
        let error = fetcher.fetch().await.expect_err("too long");
        assert!(matches!(error, FetchError::TooLong { .. }), "{error}");
        drop(fetcher);
        server.await.expect("the connection was closed");
    }
}
