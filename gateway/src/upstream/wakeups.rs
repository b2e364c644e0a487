//! Wakes a task when its connection needs it, but not for events that the task itself has caused.
//!
//! A request and its connection are polled by one task, in turn. Each would wake the task on behalf of the other,
//! although the task is about to poll both anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake};

use futures_util::task::AtomicWaker;

/// The task waits. It is woken when something happens.
const RESTING: u8 = 0;
/// The task is polling the connection.
const POLLING: u8 = 1;
/// Something has happened, or the connection was not polled yet.
const DUE: u8 = 2;

/// The state of a connection's wakeups. It is also the waker that the connection itself wakes.
#[derive(Debug)]
pub(super) struct Wakeups {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wakeups {
    /// The wakeups of a new connection.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(DUE),
            task: AtomicWaker::new(),
        })
    }

    /// Whether the connection must be polled. If not, this task is woken as soon as polling is needed.
    pub(super) fn is_due(&self, cx: &Context<'_>) -> bool {
        // The order matters: an event in between must wake the task.
        self.task.register(cx.waker());
        self.state.load(Ordering::Acquire) != RESTING
    }

    /// Marks the connection to be polled next time. No task is woken.
    pub(super) fn set_due(&self) {
        self.state.store(DUE, Ordering::Release);
    }

    /// Handles the start of polling.
    pub(super) fn on_polling(&self) {
        self.state.store(POLLING, Ordering::Release);
    }

    /// Handles the end of polling. Returns `false` if something has happened meanwhile: then the connection must be polled
    /// again.
    pub(super) fn on_polled(&self) -> bool {
        let ended = self
            .state
            .compare_exchange(POLLING, RESTING, Ordering::AcqRel, Ordering::Acquire);
        ended.is_ok()
    }
}

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(DUE, Ordering::AcqRel) == RESTING {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Waker;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_only_while_it_rests_and_misses_nothing() {
        let task = Arc::new(Counted::default());
        let woken = || task.0.load(Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task));
        let cx = Context::from_waker(&waker);
        let wakeups = Wakeups::new();
        let own = Waker::from(Arc::clone(&wakeups));

        assert!(wakeups.is_due(&cx), "a new connection was not polled yet");
        wakeups.on_polling();
        own.wake_by_ref();
        assert_eq!(woken(), 0, "the task is polling");
        assert!(!wakeups.on_polled(), "it must poll again");
        wakeups.on_polling();
        assert!(wakeups.on_polled());

        assert!(!wakeups.is_due(&cx), "nothing has happened");
        own.wake_by_ref();
        own.wake_by_ref();
        assert_eq!(woken(), 1);
        assert!(wakeups.is_due(&cx));
    }
}
