//! The connections of one listener: which of them is closed when there is no place for another, and how much memory
//! they hold for peers that do not take what they asked for.
//!
//! The one entry point is [`Crowd::admit`]. A connection that is working is never closed for another one.

pub(crate) mod connection;
mod tally;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

pub(crate) use connection::{Connection, Told};
use signet_base::Seldom;

/// The most octets that the connections of a listener hold together, beyond what each may hold for itself: HTTP/2
/// streams, long answers that are not taken, long headers that are not complete.
const HELD: usize = 16 * 1024 * 1024;
/// What is freed when that is too much, so that not every request has to look for a connection to close.
const FREED: usize = HELD / 4;
/// For so long a peer may leave lying what it asked for, before its connection is closed to free memory for others.
const PROTECTED: Duration = Duration::from_secs(1);
/// For so long a new connection is not closed for another one, so that its peer can send what it came for.
const SETTLING: Duration = Duration::from_millis(100);
/// How many connections are moved to their true place in the order before all are compared.
const MOVES: usize = 64;
/// How often a full listener looks whether a connection has come to rest.
const LOOK: Duration = Duration::from_millis(20);

/// What memory is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A head that has not come whole.
    Head,
    /// A request that has, or its answer.
    Request,
}

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Crowd {
    name: &'static str,
    most: usize,
    /// The setting that says how many, for the log.
    setting: &'static str,
    start: Instant,
    held: AtomicUsize,
    present: Mutex<Present>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Present {
    /// By the time at which each was last seen to come to rest, and a number that makes the key its own. A connection
    /// does not move when it rests again: that would be a lock for every request. It moves when it is looked at.
    by_rest: BTreeMap<(u64, u64), Arc<Connection>>,
    admitted: u64,
    /// What is held by connections that were told to go and have not gone yet.
    leaving: usize,
    closed: bool,
}

/// A place in the crowd, for as long as it is not dropped.
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
    /// A listener that has places for so many connections.
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

    /// A place for a new connection. If there is none, the connection is closed that has been idle longest since its last
    /// answer, or else the one whose peer has kept it waiting longest for a first request, for a body, or by not taking an
    /// answer. If all are working or have just come, it waits for one of them.
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

    /// Tells all connections, and those that are still admitted, to finish what is under way.
    pub(crate) fn close(&self) {
        let mut present = self.present();
        present.closed = true;
        for connection in present.by_rest.values() {
            connection.tell(Told::Finish);
        }
    }

    /// Microseconds since the listener was opened.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes memory for a connection. If there is too much of it, connections are closed whose peers do not take what they
    /// asked for, those first that hold most. `false` if that does not help.
    #[must_use]
    pub(crate) fn hold(&self, octets: usize, need: Need) -> bool {
        let held = self.held.fetch_add(octets, Ordering::Relaxed) + octets;
        if held <= HELD || self.relieve(need) {
            return true;
        }
        self.give_back(octets);
        false
    }

    /// Gives memory back.
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
            connection.tell(Told::Finish);
        }
        present.by_rest.insert(key, Arc::clone(&connection));
        Some(Member(connection))
    }

    /// The first in order is the one idle longest, if what is noted of it is still true; else it gets its true place. So
    /// each look is paid for by a request that was made since. If many are not what they were, all are compared.
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
                connection.tell(Told::Go);
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
        // One that has never asked is no better than one that has not sent its body: it may be about to ask.
        let longest = resting.min_by_key(|connection| {
            let is_free = connection.has_asked() && connection.is_idle();
            (!is_free, connection.waits_since())
        });
        let Some(longest) = longest.cloned() else {
            return false;
        };
        present.by_rest.remove(&longest.key());
        longest.tell(Told::Go);
        true
    }

    /// What asks for nothing yet is not protected from a request.
    fn relieve(&self, need: Need) -> bool {
        let mut present = self.present();
        let held = |present: &Present| self.held.load(Ordering::Relaxed).saturating_sub(present.leaving);
        if held(&present) <= HELD {
            return true;
        }
        let before = self.before(PROTECTED);
        while held(&present) > HELD - FREED {
            let slow = present.by_rest.values().filter(|connection| {
                let is_unprotected =
                    connection.waits_since() <= before || (need == Need::Request && connection.holds_a_head_alone());
                connection.held() > 0 && connection.is_peer_slow() && is_unprotected
            });
            let Some(most) = slow.max_by_key(|connection| connection.held()).cloned() else {
                break;
            };
            present.leaving += most.leave_behind();
            present.by_rest.remove(&most.key());
            most.tell(Told::Go);
        }
        held(&present) <= HELD
    }

    /// So long ago, in the time of [`Crowd::now`].
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
        static LOGGED: Seldom<&str> = Seldom::new();
        let Some(held_back) = LOGGED.may_log(self.name) else {
            return;
        };
        warn!(
            listener = self.name,
            connections = self.most,
            held_back,
            "the listener is full: connections that have been idle longest are closed for new ones; if these are your own \
             clients, raise {}",
            self.setting
        );
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // Nothing in here panics half-way.
        self.present.lock()
    }
}
