//! Runs the load: clients in a closed loop on one thread, first a warm-up, then a window in
//! which everything is counted.
//!
//! It uses one thread and no locks, because the generator shares the machine with the server. An HTTP/1.1
//! client and its connection are one task, so a request wakes no other task. A request counts if its answer is
//! complete within the window. The processes are sampled at both ends of the window. One wrong answer, even
//! during the warm-up, ends the run.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until, timeout};

use crate::error::LoadError;
use crate::histogram::Latencies;
use crate::plan::{Plan, Protocol};
use crate::process::{Sample, Usage};

/// How long after the window an answer may still arrive.
const GRACE: Duration = Duration::from_secs(10);

/// The results of a run.
pub(crate) struct Outcome {
    pub plan: Plan,
    /// The actual length of the window.
    pub window: Duration,
    pub latencies: Latencies,
    /// The number of good answers in the whole run, including the warm-up.
    pub answered: u64,
    /// The usage of the processes in the plan. `None` if it names none.
    pub server: Option<Usage>,
    /// The usage of this process.
    pub generator: Usage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// What the clients share.
struct Run {
    plan: Plan,
    phase: Cell<Phase>,
    latencies: RefCell<Latencies>,
    answered: Cell<u64>,
}

/// Performs the run. Call it outside of a runtime; it makes its own on this thread.
pub(crate) fn drive(plan: Plan) -> Result<Outcome, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::System)?;
    runtime.block_on(LocalSet::new().run_until(conduct(plan)))
}

/// Opens the connections, starts the clients, and samples the clocks and processes at the ends of the window.
async fn conduct(plan: Plan) -> Result<Outcome, LoadError> {
    let (warmup, window) = (plan.warmup, plan.window);
    let latencies = RefCell::new(Latencies::new());
    let run = Rc::new(Run {
        plan,
        phase: Cell::new(Phase::WarmUp),
        latencies,
        answered: Cell::new(0),
    });
    let mut clients = JoinSet::new();
    open(&run, &mut clients).await?;

    watch(&mut clients, warmup).await?;
    let (server, generator) = run.samples()?;
    run.phase.set(Phase::Measured);
    let start = Instant::now();
    watch(&mut clients, window).await?;
    run.phase.set(Phase::Over);
    let window = start.elapsed();
    let (server_after, generator_after) = run.samples()?;

    let rest = async {
        while let Some(ended) = clients.join_next().await {
            ended.map_err(|error| LoadError::System(error.into()))??;
        }
        Ok(())
    };
    timeout(GRACE, rest).await.map_err(|_| LoadError::Stuck {
        seconds: GRACE.as_secs(),
    })??;
    drop(clients);

    let run = Rc::into_inner(run).ok_or(LoadError::Stuck { seconds: 0 })?;
    let latencies = run.latencies.into_inner();
    if latencies.count() == 0 {
        return Err(LoadError::NothingMeasured);
    }
    let generator = Usage::between(&generator, &generator_after)?;
    let server = if run.plan.pids.is_empty() {
        None
    } else {
        Some(Usage::between(&server, &server_after)?)
    };
    Ok(Outcome {
        plan: run.plan,
        window,
        latencies,
        answered: run.answered.get(),
        server,
        generator,
    })
}

/// Waits for this time, unless a client ends. Before the end of the window, a client ends only if it fails.
async fn watch(clients: &mut JoinSet<Result<(), LoadError>>, time: Duration) -> Result<(), LoadError> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        ended = clients.join_next() => match ended {
            Some(Ok(result)) => result.and(Err(LoadError::Closed)),
            Some(Err(error)) => Err(LoadError::System(error.into())),
            None => Err(LoadError::Closed),
        },
    }
}

/// Opens all connections, then starts the clients.
async fn open(run: &Rc<Run>, clients: &mut JoinSet<Result<(), LoadError>>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Handshake {
        target: run.plan.target.to_string(),
        source,
    };
    let mut http1 = Vec::new();
    let mut http2 = Vec::new();
    for _ in 0..run.plan.connections {
        let io = TokioIo::new(run.plan.target.connect().await?);
        match run.plan.protocol {
            Protocol::Http1 => http1.push(http1::handshake::<_, Full<Bytes>>(io).await.map_err(failed)?),
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(LocalExecutor, io).await.map_err(failed)?;
                // Errors of the connection appear in its requests.
                tokio::task::spawn_local(connection);
                http2.push(sender);
            }
        }
    }
    for (sender, connection) in http1 {
        let run = Rc::clone(run);
        clients.spawn_local(async move {
            tokio::select! {
                biased;
                result = run.client(Sender::Http1(sender)) => result,
                ended = connection => Err(ended.err().map_or(LoadError::Closed, |error| run.failed(error))),
            }
        });
    }
    for sender in http2 {
        for _ in 0..run.plan.streams {
            let (run, sender) = (Rc::clone(run), sender.clone());
            clients.spawn_local(async move { run.client(Sender::Http2(sender)).await });
        }
    }
    Ok(())
}

impl Run {
    /// Sends one request after the other until the run is over.
    async fn client(&self, mut sender: Sender) -> Result<(), LoadError> {
        let mut due = Instant::now();
        while self.phase.get() != Phase::Over {
            let mut start = Instant::now();
            if let Some(pace) = self.plan.pace {
                if due > start {
                    sleep_until(due.into()).await;
                    start = Instant::now();
                } else {
                    // The previous answer came too late. This request has been waiting since it was due, and
                    // its latency includes that.
                    start = due;
                }
                due += pace;
            }
            let body = self.plan.supply.next()?;
            let request = match &self.plan.authorizations {
                Some(values) => self.plan.template.authorized(body, values.next()?)?,
                None => self.plan.template.with(body),
            };
            let response = sender.send(request).await.map_err(|error| self.failed(error))?;
            let status = response.status().as_u16();
            let body = read(response.into_body()).await.map_err(|error| self.failed(error))?;
            let latency = start.elapsed();
            self.plan.expect.check(status, &body)?;
            self.answered.set(self.answered.get() + 1);
            if self.phase.get() == Phase::Measured {
                self.latencies.borrow_mut().record(latency);
            }
        }
        Ok(())
    }

    fn failed(&self, source: hyper::Error) -> LoadError {
        LoadError::Request {
            answered: self.answered.get(),
            source,
        }
    }

    fn samples(&self) -> Result<(Sample, Sample), LoadError> {
        Ok((Sample::take(&self.plan.pids)?, Sample::take(&[std::process::id()])?))
    }
}

/// Reads the whole body. A body of one piece, the usual case, is not copied.
async fn read(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, request: http::Request<Full<Bytes>>) -> Result<http::Response<Incoming>, hyper::Error> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// Runs the tasks of an HTTP/2 connection on this thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

#[cfg(test)]
mod tests;
