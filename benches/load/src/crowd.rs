//! Many different clients, to see whether a server's memory grows with them: each request comes over a new connection
//! from another loopback address, with the next token of a file.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::error::LoadError;
use crate::process::Sample;
use crate::supply::Supply;
use crate::target::Target;

/// The number of clients at once.
const AT_ONCE: usize = 16;
/// How long one client may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The number of loopback addresses that are used, starting with 127.1.0.0.
const ADDRESSES: u32 = 1 << 23;

/// An order of clients.
pub(crate) struct Crowd {
    pub url: String,
    pub clients: u64,
    /// The limit of time, whatever the number of clients.
    pub limit: Duration,
    pub tokens: PathBuf,
    pub pid: u32,
}

/// The memory of the server after the first tenth of the clients, and after all.
#[derive(Serialize)]
pub(crate) struct Memory {
    clients: u64,
    tokens: usize,
    seconds: f64,
    rss_kib_after_tenth: u64,
    rss_kib_after_all: u64,
    rss_peak_kib: u64,
}

struct Run {
    address: SocketAddr,
    /// The request before the value of `Authorization`.
    head: String,
    tokens: Supply,
    next: std::cell::Cell<u64>,
}

/// Runs as many clients as requested, or as the time allows.
pub(crate) fn send(crowd: &Crowd) -> Result<Memory, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::System)?;
    runtime.block_on(LocalSet::new().run_until(conduct(crowd)))
}

async fn conduct(crowd: &Crowd) -> Result<Memory, LoadError> {
    let target = Target::parse(&crowd.url, None)?;
    let address = target
        .authority
        .as_str()
        .parse()
        .map_err(|_| LoadError::Usage(format!("{}: write the address in numbers", crowd.url)))?;
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let run = Rc::new(Run {
        address,
        head: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: "),
        tokens: Supply::rounds(&crowd.tokens)?,
        next: std::cell::Cell::new(0),
    });
    let start = Instant::now();
    // The first tenth ends with its number of clients or with its part of the time, whichever comes first.
    run.until(crowd.clients.div_ceil(10), start + crowd.limit / 10).await?;
    let after_tenth = Sample::take(&[crowd.pid])?;
    let clients = run.until(crowd.clients, start + crowd.limit).await?;
    let seconds = start.elapsed().as_secs_f64();
    let after_all = Sample::take(&[crowd.pid])?;
    Ok(Memory {
        clients,
        tokens: run.tokens.len().min(usize::try_from(clients).unwrap_or(usize::MAX)),
        seconds,
        rss_kib_after_tenth: after_tenth.memory_kib().0,
        rss_kib_after_all: after_all.memory_kib().0,
        rss_peak_kib: after_all.memory_kib().1,
    })
}

impl Run {
    /// Runs clients until their number is reached, or until this instant. Returns the number of all clients so far.
    async fn until(self: &Rc<Self>, clients: u64, end: Instant) -> Result<u64, LoadError> {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let run = Rc::clone(self);
            tasks.spawn_local(async move {
                while run.next.get() < clients && Instant::now() < end {
                    let number = run.next.replace(run.next.get() + 1);
                    let answer = timeout(LIMIT, run.one(number)).await;
                    answer.map_err(|_| LoadError::Stuck {
                        seconds: LIMIT.as_secs(),
                    })??;
                }
                Ok::<_, LoadError>(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| LoadError::System(error.into()))??;
        }
        Ok(self.next.get())
    }

    async fn one(&self, number: u64) -> Result<(), LoadError> {
        let token = self.tokens.next()?;
        let failed = |source| LoadError::Connect {
            target: self.address.to_string(),
            source,
        };
        let answer = self.talk(number, &token).await.map_err(failed)?;
        if answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(LoadError::Answer(
            String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned(),
        ))
    }

    async fn talk(&self, number: u64, token: &Bytes) -> io::Result<Vec<u8>> {
        let socket = TcpSocket::new_v4()?;
        // The kernel chooses the port when it knows the other end, so that no port is taken by an earlier connection.
        socket.bind(SocketAddr::from((source(number), 0)))?;
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::with_capacity(self.head.len() + token.len() + 4);
        for part in [self.head.as_bytes(), token, b"\r\n\r\n"] {
            request.extend_from_slice(part);
        }
        stream.write_all(&request).await?;
        let mut answer = Vec::with_capacity(8 * 1024);
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// The address of a client.
fn source(number: u64) -> Ipv4Addr {
    let number = u32::try_from(number % u64::from(ADDRESSES)).unwrap_or(0);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testserver::{TestServer, echo};

    #[test]
    fn every_client_has_its_own_address() {
        assert_eq!(source(0).to_string(), "127.1.0.0");
        assert_eq!(source(1_000_000).to_string(), "127.16.66.64");
        assert!(source(u64::from(ADDRESSES) - 1).is_loopback());
    }

    #[test]
    fn clients_come_until_their_number_or_the_time_is_over() {
        let server = TestServer::start(None, echo());
        let tokens = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(tokens.path(), "Bearer a\nBearer b\n").expect("written");
        let mut crowd = Crowd {
            url: format!("http://{}/x", server.address.expect("an address")),
            clients: 50,
            limit: Duration::from_secs(20),
            tokens: tokens.path().to_owned(),
            pid: std::process::id(),
        };
        let memory = send(&crowd).expect("answers");
        assert_eq!((memory.clients, memory.tokens), (50, 2));
        assert!(memory.rss_kib_after_all > 0 && memory.rss_peak_kib >= memory.rss_kib_after_all);
        crowd.clients = u64::MAX;
        crowd.limit = Duration::from_millis(100);
        assert!(send(&crowd).expect("answers").clients > 50);
    }
}
