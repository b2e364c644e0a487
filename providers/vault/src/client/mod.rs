//! A small client: each call is one request and one answer of limited size, with a token that is kept alive.
//!
//! It uses HTTP/1.1, because a request that times out then closes its connection. Over HTTP/2, the next request would
//! wait on the same dead connection. The proxies of the environment are used, except for a server on this machine. A
//! request is repeated only if Vault refused it because of an expired token.

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

/// A request to Vault.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The path below `/v1/`.
    pub(crate) path: &'a str,
    /// The capabilities that a policy must grant on the path, as a policy writes them:
    /// `"read"`, or `"create", "update"`.
    pub(crate) capabilities: &'static str,
    pub(crate) body: Option<Bytes>,
    /// The minimum time limit of the request.
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

    /// The policy that allows the request.
    fn grant(&self) -> String {
        grant(self.path, self.capabilities)
    }
}

/// The policy that grants `capabilities` on a path. The capabilities are written as in a policy.
pub(crate) fn grant(path: &str, capabilities: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [{capabilities}] }}")
}

/// Encodes the body of a request. It is wiped when the HTTP stack has released it.
fn json(body: &impl Serialize) -> Result<Bytes, Failure> {
    // Allocate enough from the beginning, because a buffer that grows leaves copies of a secret in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *text, body)
        .map_err(|_| Failure::new(ErrorKind::InvalidConfig, "the request cannot be written as JSON"))?;
    Ok(Bytes::from_owner(text))
}

/// A client for one server. Clones share connections and token.
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

    /// Makes the call, and parses the `data` of its answer.
    pub(crate) async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let name = call.name();
        self.call(call).await??.data(&name)
    }

    /// Makes the call. The inner error is a refusal by Vault, for callers that can handle it.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Result<Answer, Refused>, Failure> {
        let token = self.session.token().await?;
        let answer = self.wire.exchange(&call, Some(&token)).await?;
        if answer.status() != 403 {
            return Ok(answer.or_refused(&call));
        }
        // Vault's answer is the same for an expired token and for a missing permission.
        match self.session.replaced(&token).await? {
            Some(token) => Ok(self.wire.exchange(&call, Some(&token)).await?.or_refused(&call)),
            None => Ok(answer.or_refused(&call)),
        }
    }

    /// The address of the server, for error texts.
    pub(crate) fn address(&self) -> &str {
        self.wire.address()
    }

    /// Where the token comes from, in words for an operator.
    pub(crate) fn login(&self) -> String {
        self.session.login()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {})", self.wire.address(), self.session.login())
    }
}
