//! A wrapper around a replica's future that can stop it like SIGSTOP and kill it like SIGKILL, at any await.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Controls a [`Gated`] future.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    dies_in: Option<u32>,
    stops_in: Option<u32>,
    stopped: bool,
    /// The last virtual time at which the future was polled. All polls at one time count as one, because their number
    /// depends on when a thread finishes writing to the disk.
    polled_at: Option<Instant>,
    waker: Option<Waker>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Kills the future after this many more polls at different times. With 0, it is killed at once.
    pub(crate) fn kill_in(&self, polls: u32) {
        let mut state = self.state();
        state.dies_in = Some(polls);
        if polls == 0 {
            state.stopped = false;
            state.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Stops the future after this many more polls. It is then not polled until it is released, while time passes.
    pub(crate) fn stop_in(&self, polls: u32) {
        let mut state = self.state();
        state.stops_in = Some(polls);
        if polls == 0 {
            state.stops_in = None;
            state.stopped = true;
        }
    }

    /// Releases the future. Returns whether it had stopped.
    pub(crate) fn let_on(&self) -> bool {
        let mut state = self.state();
        state.stops_in = None;
        state.waker.iter().for_each(Waker::wake_by_ref);
        std::mem::take(&mut state.stopped)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }
}

/// A future behind a gate. It ends when the inner future ends or is killed.
pub(crate) struct Gated<F, A> {
    inner: Option<Pin<Box<F>>>,
    gate: Arc<Gate>,
    after: A,
}

/// Wraps a future. `after` is called after every poll, with whether the gate has just closed.
pub(crate) fn gated<F: Future<Output = ()>, A: FnMut(bool) + Unpin>(
    gate: Arc<Gate>,
    inner: F,
    after: A,
) -> Gated<F, A> {
    Gated {
        inner: Some(Box::pin(inner)),
        gate,
        after,
    }
}

impl<F: Future<Output = ()>, A: FnMut(bool) + Unpin> Future for Gated<F, A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        {
            let mut state = this.gate.state();
            state.waker = Some(context.waker().clone());
            if state.dies_in == Some(0) {
                drop(state);
                this.inner = None;
                return Poll::Ready(());
            }
            if state.stopped {
                return Poll::Pending;
            }
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(());
        };
        let polled = inner.as_mut().poll(context);
        finish_blocking();
        let (dies, stops) = {
            let mut state = this.gate.state();
            let now = Some(Instant::now());
            let counts = std::mem::replace(&mut state.polled_at, now) != now;
            let down = |left: &mut Option<u32>| {
                if let Some(left) = left.as_mut().filter(|_| counts) {
                    *left = left.saturating_sub(1);
                }
                *left == Some(0)
            };
            let dies = down(&mut state.dies_in);
            let stops = down(&mut state.stops_in);
            if stops {
                state.stops_in = None;
                state.stopped = true;
            }
            (dies, stops)
        };
        (this.after)(stops);
        if dies {
            this.inner = None;
            return Poll::Ready(());
        }
        polled
    }
}

/// Waits in real time until the runtime's other thread has finished its work. A run must not depend on
/// the speed of that thread.
fn finish_blocking() {
    let (done, wait) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || done.send(()));
    wait.recv().expect("the thread goes on");
}
