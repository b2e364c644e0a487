//! Makes real tokens through the sidecar's socket, to give runs of `verify` a supply of unseen tokens.
//!
//! Writes one request body per line: `{"token":"…","audience":["…"]}`.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::{JoinSet, LocalSet};

use crate::error::LoadError;
use crate::plan::{Expect, Protocol, Template};
use crate::target::Target;

/// The number of tokens in one request.
const BATCH: usize = 64;
/// The number of requests in flight.
const CONNECTIONS: usize = 4;

/// An order of tokens.
pub(crate) struct Order {
    pub socket: PathBuf,
    pub count: usize,
    pub audience: String,
    /// The lifetime of a token in seconds.
    pub ttl: u64,
    pub out: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<serde_json::Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    token: &'a str,
    audience: [&'a str; 1],
}

/// An order that is being filled.
struct Desk {
    order: Order,
    target: Target,
    template: Template,
    /// How many tokens were requested so far.
    asked: Cell<usize>,
    out: RefCell<BufWriter<File>>,
}

/// Fills the order. Returns the number of tokens written, which is exactly the requested one.
pub(crate) fn make(order: Order) -> Result<usize, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::System)?;
    runtime.block_on(LocalSet::new().run_until(fill(order)))
}

async fn fill(order: Order) -> Result<usize, LoadError> {
    let target = Target::parse("http://localhost/v1/sign/batch", Some(order.socket.clone()))?;
    let template = Template::new(Method::POST, &target, Protocol::Http1, &[])?;
    let file = File::create(&order.out).map_err(|source| unwritten(&order.out, source))?;
    let out = RefCell::new(BufWriter::with_capacity(1 << 20, file));
    let desk = Rc::new(Desk {
        order,
        target,
        template,
        asked: Cell::new(0),
        out,
    });
    let mut clerks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let desk = Rc::clone(&desk);
        clerks.spawn_local(async move { desk.clerk().await });
    }
    let mut written = 0;
    while let Some(ended) = clerks.join_next().await {
        written += ended.map_err(|error| LoadError::System(error.into()))??;
    }
    desk.out
        .borrow_mut()
        .flush()
        .map_err(|source| unwritten(&desk.order.out, source))?;
    Ok(written)
}

impl Desk {
    /// Requests one batch after the other on its own connection, until nothing is left to request.
    async fn clerk(&self) -> Result<usize, LoadError> {
        let failed = |source| LoadError::Request {
            answered: self.asked.get() as u64,
            source,
        };
        let io = TokioIo::new(self.target.connect().await?);
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(io).await.map_err(failed)?;
        // Errors of the connection appear in its requests.
        tokio::task::spawn_local(connection);
        let expect = Expect {
            status: 200,
            text: None,
        };
        let mut written = 0;
        loop {
            let first = self.asked.get();
            let size = BATCH.min(self.order.count - first);
            if size == 0 {
                return Ok(written);
            }
            self.asked.set(first + size);
            sender.ready().await.map_err(failed)?;
            let request = self.template.with(self.question(first, size).into());
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
            expect.check(status, &body)?;
            self.write(&body, size)?;
            written += size;
        }
    }

    /// The body of a request for `size` tokens. All subjects are different and equally long.
    fn question(&self, first: usize, size: usize) -> String {
        let item = |number: usize| {
            let claims = json!({"sub": format!("user-{number:08}"), "aud": self.order.audience});
            json!({"claims": claims, "ttl": self.order.ttl})
        };
        json!({"items": (first..first + size).map(item).collect::<Vec<_>>()}).to_string()
    }

    fn write(&self, answer: &[u8], size: usize) -> Result<(), LoadError> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|error| LoadError::Answer(error.to_string()))?;
        if answer.items.len() != size {
            return Err(LoadError::Answer(format!("{} items for {size}", answer.items.len())));
        }
        let mut out = self.out.borrow_mut();
        for item in &answer.items {
            let token = item.get("token").and_then(serde_json::Value::as_str);
            let token = token.ok_or_else(|| LoadError::Answer(format!("an item without a token: {item}")))?;
            let body = Body {
                token,
                audience: [&self.order.audience],
            };
            serde_json::to_writer(&mut *out, &body)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|source| unwritten(&self.order.out, source))?;
        }
        Ok(())
    }
}

fn unwritten(path: &Path, source: std::io::Error) -> LoadError {
    LoadError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
