//! A thin client: one request, one answer of bounded size, and a token that is kept alive.
//!
//! HTTP/1.1, because a request that timed out then takes its connection with it: over HTTP/2 the next request would wait
//! on the same dead connection. The proxies of the environment are used, but for a server on this machine. Nothing is
//! retried here but what Vault refused for the sake of a token that has died.

mod answer;
mod pools;
mod session;
mod token;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use signet_api::{ErrorKind, Failure, ProviderError};
use zeroize::Zeroizing;

pub(crate) use answer::Answer;

use self::session::Session;
use self::wire::Wire;
use crate::config::Connection;
use crate::error::Refused;

/// One request to Vault.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Below `/v1/`.
    pub(crate) path: &'a str,
    /// What a policy must allow on the path, as a policy writes it: `"read"`, or `"create", "update"`.
    pub(crate) capabilities: &'static str,
    pub(crate) body: Option<Bytes>,
    /// At least so long may it take.
    pub(crate) at_least: Duration,
}

impl<'a> Call<'a> {
    pub(crate) const fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            capabilities: "\"read\"",
            body: None,
            at_least: Duration::ZERO,
        }
    }

    pub(crate) fn post(path: &'a str, body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self {
            method: Method::POST,
            path,
            capabilities: "\"update\"",
            body: Some(json(body)?),
            at_least: Duration::ZERO,
        })
    }

    pub(crate) const fn needing(mut self, capabilities: &'static str) -> Self {
        self.capabilities = capabilities;
        self
    }

    pub(crate) const fn at_least(mut self, span: Duration) -> Self {
        self.at_least = span;
        self
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The policy that allows it.
    fn grant(&self) -> String {
        grant(self.path, self.capabilities)
    }
}

/// The policy that allows `capabilities`, written as policies write them, on a path.
pub(crate) fn grant(path: &str, capabilities: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [{capabilities}] }}")
}

/// The body of a request, wiped when the last part of the HTTP stack has let go of it.
fn json(body: &impl Serialize) -> Result<Bytes, Failure> {
    // Room from the beginning, so that a growing buffer leaves no copy of a secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *text, body)
        .map_err(|_| Failure::new(ErrorKind::InvalidConfig, "the request cannot be written as JSON"))?;
    Ok(Bytes::from_owner(text))
}

/// The way to Vault. Clones share connections and token.
#[derive(Clone)]
pub(crate) struct Client {
    wire: Arc<Wire>,
    session: Arc<Session>,
}

impl Client {
    pub(crate) fn new(connection: Connection) -> Result<Self, ProviderError> {
        let (wire, login) = Wire::new(connection)?;
        let wire = Arc::new(wire);
        let session = Session::new(Arc::clone(&wire), login);
        Ok(Self { wire, session })
    }

    /// Makes the call, and reads the `data` of its answer.
    pub(crate) async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let name = call.name();
        self.call(call).await??.data(&name)
    }

    /// Makes the call. The inner error is what Vault refused, for callers who know what to make of it.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Result<Answer, Refused>, Failure> {
        let token = self.session.token().await?;
        let answer = self.wire.exchange(&call, Some(&token)).await?;
        if answer.status() != 403 {
            return Ok(answer.or_refused(&call));
        }
        // Vault says the same to a token that has died and to one that lacks a permission.
        match self.session.replaced(&token).await? {
            Some(token) => Ok(self.wire.exchange(&call, Some(&token)).await?.or_refused(&call)),
            None => Ok(answer.or_refused(&call)),
        }
    }

    /// The address, for people.
    pub(crate) fn address(&self) -> &str {
        self.wire.address()
    }

    /// What kind of token this is: where it comes from.
    pub(crate) fn login(&self) -> String {
        self.session.login()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {})", self.wire.address(), self.session.login())
    }
}
