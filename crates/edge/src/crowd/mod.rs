//! The connections of one listener: which one is closed when there is no place for another, and how much memory they
//! hold for peers that do not read their answers.
//!
//! The entry point is [`Crowd::admit`]. A connection that is working is never closed for another one.

pub(crate) mod connection;
mod tally;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

pub(crate) use connection::{Connection, Instruction};
use signet_base::LogLimit;

/// The maximum memory in bytes that all connections of a listener hold together, beyond a free allowance for each:
/// HTTP/2 streams, long answers that are not read, and long incomplete heads.
pub(crate) const HELD: usize = 16 * 1024 * 1024;
/// How much is freed when the limit is reached, to avoid looking for a connection at every request.
const FREED: usize = HELD / 4;
/// How long a peer may leave an answer unread before its connection may be closed to free memory.
const PROTECTED: Duration = Duration::from_secs(1);
/// How long a new connection is protected, to give its peer time to send its first request.
const SETTLING: Duration = Duration::from_millis(100);
/// How many connections are moved to their right place in the order before all connections are compared.
const MOVES: usize = 64;
/// How often a full listener checks for connections that have become idle.
const LOOK: Duration = Duration::from_millis(20);

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Crowd {
    name: &'static str,
    most: usize,
    /// The setting for the maximum number, for the log.
    setting: &'static str,
    start: Instant,
    held: AtomicUsize,
    present: Mutex<Present>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Present {
    /// The connections, ordered by when each was last seen to become idle. The second number makes the key
    /// unique. A connection is not moved each time it becomes idle, because every request would need the lock. It is
    /// moved when it is examined.
    by_rest: BTreeMap<(u64, u64), Arc<Connection>>,
    admitted: u64,
    /// The memory of connections that were told to end and still exist.
    leaving: usize,
    closed: bool,
}

/// A place in the crowd. It is released when dropped.
#[derive(Debug)]
pub(crate) struct Member(Arc<Connection>);

impl Deref for Member {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.end();
        self.0.crowd().on_left(&self.0);
    }
}

impl Crowd {
    /// Makes the crowd of a listener with at most `most` connections.
    #[must_use]
    pub(crate) fn new(name: &'static str, most: usize, setting: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            most,
            setting,
            start: Instant::now(),
            held: AtomicUsize::new(0),
            present: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Waits for a place for a new connection.
    ///
    /// If there is none, one connection is closed: the one that has been idle longest since its last answer, or else
    /// the one whose peer has kept it waiting longest, by not sending its first request, by not sending a body or by
    /// not reading an answer. If all connections are working or new, this waits.
    pub(crate) async fn admit(self: &Arc<Self>) -> Member {
        loop {
            let left = self.left.notified();
            if let Some(member) = self.enter() {
                return member;
            }
            let _ = tokio::time::timeout(LOOK, left).await;
        }
    }

    /// Closes one connection that is not working, if there is one.
    pub(crate) fn make_place(&self) {
        self.close_one(&mut self.present());
    }

    /// Tells all connections, including those that are still admitted later, to finish their current requests.
    pub(crate) fn close(&self) {
        let mut present = self.present();
        present.closed = true;
        for connection in present.by_rest.values() {
            connection.tell(Instruction::Finish);
        }
    }

    /// Microseconds since the listener was opened.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Counts memory for a connection. If that exceeds the limit, connections are closed whose peers do not read their
    /// answers or have not sent the rest of a head: first those that hold most, and among these the one that has waited
    /// longest. Returns `false` if that is not enough.
    #[must_use]
    pub(crate) fn hold(&self, octets: usize) -> bool {
        let held = self.held.fetch_add(octets, Ordering::Relaxed) + octets;
        if held <= HELD || self.relieve() {
            return true;
        }
        self.give_back(octets);
        false
    }

    /// Releases memory of a connection.
    pub(crate) fn give_back(&self, octets: usize) {
        self.held.fetch_sub(octets, Ordering::Relaxed);
    }

    fn enter(self: &Arc<Self>) -> Option<Member> {
        let mut present = self.present();
        if present.by_rest.len() >= self.most {
            self.say_full();
            if !self.close_one(&mut present) {
                return None;
            }
        }
        present.admitted += 1;
        let key = (self.now(), present.admitted);
        let connection = Arc::new(Connection::new(Arc::clone(self), key));
        if present.closed {
            connection.tell(Instruction::Finish);
        }
        present.by_rest.insert(key, Arc::clone(&connection));
        Some(Member(connection))
    }

    /// Closes one connection.
    ///
    /// The first in order has been idle longest, if its key is still right. If not, it is moved to its right place.
    /// Each such move is caused by a request since the last one, so the cost is shared. After several such moves, all
    /// connections are compared.
    fn close_one(&self, present: &mut Present) -> bool {
        for _ in 0..MOVES {
            let Some(first) = present.by_rest.first_entry() else {
                return false;
            };
            let noted = *first.key();
            let connection = Arc::clone(first.get());
            if !connection.has_asked() {
                break;
            }
            let rested = match connection.is_idle() {
                true => connection.rested_at(),
                false => self.now(),
            };
            if rested <= noted.0 {
                first.remove();
                connection.tell(Instruction::Go);
                return true;
            }
            first.remove();
            connection.move_to((rested, noted.1));
            present.by_rest.insert((rested, noted.1), connection);
        }
        let settled = self.before(SETTLING);
        let resting = present.by_rest.values().filter(|connection| {
            !connection.is_working() && (connection.has_asked() || connection.is_silent_since(settled))
        });
        // A connection that has never had a request is treated like one that has not sent its body: a request may be
        // about to arrive.
        let longest = resting.min_by_key(|connection| {
            let is_free = connection.has_asked() && connection.is_idle();
            (!is_free, connection.waits_since())
        });
        let Some(longest) = longest.cloned() else {
            return false;
        };
        present.by_rest.remove(&longest.key());
        longest.tell(Instruction::Go);
        true
    }

    /// Closes connections with slow peers, those that hold the most memory first, until the limit is kept. Returns
    /// whether it is kept. A connection that has not waited long is spared, unless it only has an incomplete head: a
    /// request or a newer head may need its memory.
    fn relieve(&self) -> bool {
        let mut present = self.present();
        let held = |present: &Present| self.held.load(Ordering::Relaxed).saturating_sub(present.leaving);
        if held(&present) <= HELD {
            return true;
        }
        let before = self.before(PROTECTED);
        while held(&present) > HELD - FREED {
            let slow = present.by_rest.values().filter(|connection| {
                let is_unprotected = connection.waits_since() <= before || connection.holds_a_head_alone();
                connection.held() > 0 && connection.is_peer_slow() && is_unprotected
            });
            let most = slow.max_by_key(|connection| (connection.held(), Reverse(connection.waits_since())));
            let Some(most) = most.cloned() else {
                break;
            };
            present.leaving += most.leave_behind();
            present.by_rest.remove(&most.key());
            most.tell(Instruction::Go);
        }
        held(&present) <= HELD
    }

    /// The time this long ago, in the time of [`Crowd::now`].
    fn before(&self, span: Duration) -> u64 {
        self.now()
            .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    fn on_left(&self, connection: &Connection) {
        let mut present = self.present();
        present.by_rest.remove(&connection.key());
        present.leaving = present.leaving.saturating_sub(connection.left_behind());
        drop(present);
        self.left.notify_one();
    }

    fn say_full(&self) {
        static LOGGED: LogLimit<&str> = LogLimit::new();
        let Some(held_back) = LOGGED.may_log(self.name) else {
            return;
        };
        warn!(
            listener = self.name,
            connections = self.most,
            held_back,
            "the listener is full, so the connections that were idle longest are closed for new ones; if these are \
             your own clients, raise {}",
            self.setting
        );
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // This lock is never poisoned, because no code that holds it panics.
        self.present.lock()
    }
}
