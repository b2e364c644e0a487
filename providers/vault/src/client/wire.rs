//! The HTTP layer: TLS, timeouts, the namespace, at most one redirect, and a limit on the size of answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Response, Url};
use signet_api::{ErrorKind, Failure, Operation, ProviderError};
use signet_base::{USER_AGENT, causes, proxies};
use zeroize::Zeroizing;

use super::pools::Pools;
use super::token::Token;
use super::{Answer, Call};
use crate::NAME;
use crate::config::{Connection, Login, is_loopback};
use crate::error::transport;

/// How long connecting to the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Vault closes idle connections after five minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The maximum size of an answer in bytes. A ring document of 8 MiB fits in base64.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Vault Agent and Proxy can be configured to refuse requests without this header, to protect against requests
/// forged through a browser.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

pub(super) struct Wire {
    pools: Pools,
    /// The URL in requests. The connection may go to another address.
    base: Url,
    address: String,
    timeout: Duration,
    /// Whether only the authorities of `VAULT_CACERT` are trusted.
    is_private: bool,
    /// Whether requests bypass the proxy.
    is_direct: bool,
}

impl Wire {
    pub(super) fn new(connection: Connection) -> Result<(Self, Login), ProviderError> {
        let invalid = |text: String| Failure::new(ErrorKind::InvalidConfig, text).at(NAME, Operation::Open);
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &connection.namespace {
            let value = HeaderValue::from_str(namespace)
                .map_err(|_| invalid("VAULT_NAMESPACE has characters that are not valid in a namespace".to_owned()))?;
            headers.insert(NAMESPACE, value);
        }
        let connect_timeout = CONNECT_TIMEOUT.min(connection.timeout);
        let authorities = connection.authorities;
        let identity = connection.identity;
        let is_private = !authorities.is_empty();
        let address = connection.address.as_str().trim_end_matches('/').to_owned();
        // An agent on this machine, which no proxy can reach, or a server that the environment excludes.
        let is_direct = is_loopback(&connection.address) || !takes_a_proxy(&connection.address);
        let mut base = connection.address;
        let mut resolver = None;
        if let Some(name) = connection.server_name {
            if !is_direct {
                return Err(invalid(format!(
                    "VAULT_TLS_SERVER_NAME cannot be used with a proxy, because the proxy would connect to that name. Add the \
                     host of {address} to NO_PROXY, or write the name in the server's certificate into VAULT_ADDR"
                )));
            }
            let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            base.set_host(Some(&name))
                .map_err(|_| invalid(format!("VAULT_TLS_SERVER_NAME is {name:?}, which is not a host name")))?;
            resolver = Some(Arc::new(Elsewhere { host, name }));
        }
        let build = move || {
            let mut builder = reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .default_headers(headers.clone())
                .connect_timeout(connect_timeout)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .http1_only()
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none());
            if is_direct {
                builder = builder.no_proxy();
            }
            if is_private {
                builder = builder.tls_certs_only(authorities.iter().cloned());
            }
            if let Some(identity) = &identity {
                builder = builder.identity(identity.clone());
            }
            if let Some(resolver) = &resolver {
                builder = builder.dns_resolver(Arc::clone(resolver));
            }
            builder.build()
        };
        let pools = Pools::new(build).map_err(|error| {
            // The fault is in the system's authorities, because VAULT_CACERT was tested.
            let cause = causes(&error).pop().unwrap_or_default();
            invalid(format!(
                "TLS to {address} cannot be set up ({cause}): check that this machine has certificate authorities \
                 (Debian: ca-certificates), or set VAULT_CACERT"
            ))
        })?;
        let wire = Self {
            pools,
            base,
            address,
            timeout: connection.timeout,
            is_private,
            is_direct,
        };
        Ok((wire, connection.login))
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends the request and reads the answer, whatever its status.
    pub(super) async fn exchange(&self, call: &Call<'_>, token: Option<&Token>) -> Result<Answer, Failure> {
        let within = self.timeout.max(call.at_least);
        let failed = |error: reqwest::Error| {
            // Connecting has a shorter limit than the whole call.
            let within = match error.is_connect() {
                true => within.min(CONNECT_TIMEOUT).min(self.timeout),
                false => within,
            };
            let mut failure = transport(&call.name(), &self.address, within, &error);
            if failure.kind == ErrorKind::TimedOut && !self.is_direct {
                failure.text.push_str(&proxies::on_the_way());
            }
            failure
        };
        let mut url = self.base.clone();
        url.set_path(&["/v1/", call.path].concat());
        let mut response = self.send(call, url, token, within).await.map_err(failed)?;
        if response.status() == 307 {
            let elsewhere = self.redirected(call, &response)?;
            response = self.send(call, elsewhere, token, within).await.map_err(failed)?;
        }
        if let Some(date) = response.headers().get(DATE).and_then(|date| date.to_str().ok()) {
            signet_api::dates::saw(NAME, date);
        }
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let expected = response.content_length().and_then(|len| usize::try_from(len).ok());
        let mut body = Zeroizing::new(Vec::with_capacity(expected.unwrap_or(4096).min(LONGEST_ANSWER)));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                let text = format!("the answer to {} is longer than {LONGEST_ANSWER} bytes", call.name());
                return Err(Failure::new(ErrorKind::BadAnswer, text));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }

    async fn send(
        &self,
        call: &Call<'_>,
        url: Url,
        token: Option<&Token>,
        within: Duration,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self.pools.own()?.request(call.method.clone(), url).timeout(within);
        if let Some(token) = token {
            request = request.header(TOKEN, token.header());
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        request.send().await
    }

    /// The target of a standby's redirect.
    ///
    /// The request contains the token, so it must go only to a host that the configuration vouches for: never from
    /// https to http, and to another host only if the private authority of `VAULT_CACERT` is the only one trusted.
    fn redirected(&self, call: &Call<'_>, response: &Response) -> Result<Url, Failure> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| response.url().join(location).ok());
        let is_safe = |target: &Url| match (self.base.scheme(), target.scheme()) {
            ("https", "https") => self.is_private || target.host_str() == self.base.host_str(),
            ("http", "http") => is_loopback(target),
            _ => false,
        };
        match target {
            Some(target) if is_safe(&target) => Ok(target),
            // A change of the active node can cause this, so it is not only a fault of the settings.
            target => Err(Failure::new(
                ErrorKind::Unavailable,
                format!(
                    "{}: the standby at {} redirects to {}, but Signet does not send its token there. Set VAULT_ADDR \
                     to a load balancer or the active node, or let standbys forward requests \
                     (cluster_addr)",
                    call.name(),
                    self.address,
                    target.map_or_else(|| "nowhere".to_owned(), |url| url.origin().ascii_serialization())
                ),
            )),
        }
    }
}

/// Whether the environment has a proxy for this server.
fn takes_a_proxy(address: &Url) -> bool {
    let uri = address.as_str().parse::<http::Uri>();
    uri.is_ok_and(|uri| Matcher::from_env().intercept(&uri).is_some())
}

/// Resolves `VAULT_TLS_SERVER_NAME` to the host of `VAULT_ADDR`. Requests use that name as their host, so the
/// certificate is checked against it.
struct Elsewhere {
    name: String,
    host: String,
}

impl Resolve for Elsewhere {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match name.as_str() == self.name {
            true => self.host.clone(),
            false => name.as_str().to_owned(),
        };
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
