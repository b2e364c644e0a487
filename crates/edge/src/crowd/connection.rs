//! What a listener knows of one connection: what is under way, who waits for whom, and what it holds for its peer.
//!
//! Costs a request a handful of plain stores and one reading of the clock; no lock, no timer and no allocation.

mod under_way;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{self, Waker};

use parking_lot::Mutex;

use super::tally::Tally;
use super::{Crowd, Need};

pub(crate) use self::under_way::UnderWay;

/// What a connection may hold of an unfinished head before it counts.
const FREE: u64 = 8 * 1024;
/// The same over HTTP/2, where headers come compressed.
const FREE_HTTP2: u64 = 1024;
/// The most that an unfinished head takes: what hyper reads of one, and its parsed form.
const HEAD: u64 = 64 * 1024;
/// Pipelined requests that are answered one after the other before other connections have their turn.
const TURN: u64 = 4;

/// What a connection has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Told {
    /// Nothing: it goes on.
    Nothing = 0,
    /// To finish what is under way, and to end.
    Finish = 1,
    /// To end, since others need its place or its memory.
    Go = 2,
}

/// What is known of one connection, shared by its task and its listener.
#[derive(Debug)]
pub(crate) struct Connection {
    crowd: Arc<Crowd>,
    key: Mutex<(u64, u64)>,
    told: AtomicU8,
    task: OnceLock<Waker>,
    /// Requests, and the pieces of the bodies that the peer has taken: it shows that the connection is alive.
    activity: Tally,
    /// Requests that began since the task had its turn.
    in_turn: Tally,
    /// Requests whose answer has not been handed over.
    under_way: Tally,
    /// Of these, those whose body has not come.
    bodies: Tally,
    /// Of these, those whose answer the peer does not take.
    answers: Tally,
    /// When nothing was under way for the last time.
    rested: Tally,
    /// When the peer last began to keep a request waiting.
    waited: Tally,
    /// Its task has looked whether the peer has sent something.
    looked: AtomicBool,
    /// It has been told to go, and takes what has come until now.
    last_look: AtomicBool,
    /// Octets that have come since the last request.
    head: Tally,
    head_held: AtomicBool,
    /// The peer takes no octet now.
    blocked: AtomicBool,
    /// How often it took some again.
    unblocked: Tally,
    is_http2: AtomicBool,
    /// Octets of bodies that have come.
    bodies_came: Tally,
    /// The connection cannot go on after the answer: a body was not read to its end, or it is not clear what follows.
    last: AtomicBool,
    /// What still comes is thrown away: it is part of nothing.
    lingers: AtomicBool,
    /// The answer that is under way has no end of its own, over HTTP/1.1.
    endless: AtomicBool,
    held: Tally,
    /// Of what is held, that which is the peer's once all is written.
    written: Tally,
    left_behind: Tally,
    ended: AtomicBool,
}

impl Connection {
    /// One that was accepted just now.
    pub(crate) fn new(crowd: Arc<Crowd>, key: (u64, u64)) -> Self {
        let rested = Tally::default();
        rested.set(key.0);
        Self {
            crowd,
            key: Mutex::new(key),
            told: AtomicU8::default(),
            task: OnceLock::new(),
            activity: Tally::default(),
            in_turn: Tally::default(),
            under_way: Tally::default(),
            bodies: Tally::default(),
            answers: Tally::default(),
            rested,
            waited: Tally::default(),
            looked: AtomicBool::default(),
            last_look: AtomicBool::default(),
            head: Tally::default(),
            head_held: AtomicBool::default(),
            blocked: AtomicBool::default(),
            unblocked: Tally::default(),
            is_http2: AtomicBool::default(),
            bodies_came: Tally::default(),
            last: AtomicBool::default(),
            lingers: AtomicBool::default(),
            endless: AtomicBool::default(),
            held: Tally::default(),
            written: Tally::default(),
            left_behind: Tally::default(),
            ended: AtomicBool::default(),
        }
    }

    /// The listener's connections.
    pub(crate) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// Where it stands in the order of the crowd.
    pub(crate) fn key(&self) -> (u64, u64) {
        *self.key.lock()
    }

    /// It stands elsewhere now.
    pub(crate) fn move_to(&self, key: (u64, u64)) {
        *self.key.lock() = key;
    }

    /// Whether nothing is under way, and nothing is left to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.count() == 0 && !self.is_blocked()
    }

    /// Whether all that is under way waits for the peer.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.is_idle() && self.under_way.count() <= self.bodies.count() + self.answers.count()
    }

    /// Whether something is under way that does not wait for the peer.
    pub(crate) fn is_working(&self) -> bool {
        !self.is_idle() && !self.is_waiting()
    }

    /// Whether it holds something because of its peer: an answer that is not taken, a head that is not complete.
    pub(crate) fn is_peer_slow(&self) -> bool {
        self.answers.count() > 0 || self.is_blocked() || self.head_held.load(Ordering::Relaxed)
    }

    /// Whether it holds memory for an unfinished head, and has no request under way.
    pub(crate) fn holds_a_head_alone(&self) -> bool {
        self.head_held.load(Ordering::Relaxed) && self.under_way.count() == 0
    }

    /// When nothing was under way for the last time, in the crowd's time.
    pub(crate) fn rested_at(&self) -> u64 {
        self.rested.count()
    }

    /// Since when nothing is under way, or its peer keeps it waiting, in the crowd's time.
    pub(crate) fn waits_since(&self) -> u64 {
        self.rested.count().max(self.waited.count())
    }

    /// Whether a request has come, ever.
    pub(crate) fn has_asked(&self) -> bool {
        self.activity.count() > 0
    }

    /// Whether it was there at this time, and its task has looked in vain for a first request.
    pub(crate) fn is_silent_since(&self, time: u64) -> bool {
        self.looked.load(Ordering::Relaxed) && self.waits_since() <= time
    }

    /// Whether the peer takes no octet now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Changes whenever the connection shows that it is alive.
    pub(crate) fn activity(&self) -> u64 {
        self.activity.count()
    }

    /// Changes whenever the peer took something of what was asked for, or sent something of a body.
    pub(crate) fn progress(&self) -> u64 {
        let took = self.activity.count().wrapping_add(self.unblocked.count());
        took.wrapping_add(self.bodies_came.count())
    }

    /// Whether the peer has begun a request and not sent all of it, over HTTP/1.1 and with nothing else under way.
    pub(crate) fn is_owed_a_request(&self) -> bool {
        let owes_body = self.under_way.count() > 0 && self.under_way.count() <= self.bodies.count();
        let owes_head = self.under_way.count() == 0 && self.head.count() > 0;
        (owes_head || owes_body) && !self.is_blocked() && !self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether the last answer is written: octets that still arrive are no request that is answered.
    pub(crate) fn is_over(&self) -> bool {
        self.is_idle() && self.is_last()
    }

    /// Whether the connection ends after the answer that is under way.
    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether an answer is under way that ends only when the client leaves, such as a stream of events.
    pub(crate) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::Relaxed)
    }

    /// Tells its task, and wakes it. What it was told before is not taken back.
    pub(crate) fn tell(&self, told: Told) {
        self.told.fetch_max(told as u8, Ordering::SeqCst);
        // Either the task is seen here, or it sees what it is told when it asks for the first time.
        fence(Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// What it has been told. The task of the connection asks; it is woken when the answer changes.
    pub(crate) fn told(&self, cx: &task::Context<'_>) -> Told {
        if self.task.get().is_none() {
            let _ = self.task.set(cx.waker().clone());
            fence(Ordering::SeqCst);
        }
        match self.told.load(Ordering::Acquire) {
            0 => Told::Nothing,
            1 => Told::Finish,
            _ => Told::Go,
        }
    }

    /// Whether nothing more is to be read.
    pub(crate) fn is_deaf(&self, cx: &task::Context<'_>) -> bool {
        self.told(cx) == Told::Go && !self.last_look.load(Ordering::Relaxed)
    }

    /// Polls once more although the connection was told to go: what its peer has sent by now is answered.
    pub(crate) fn look_once_more<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.last_look.store(true, Ordering::Relaxed);
        let polled = poll();
        self.last_look.store(false, Ordering::Relaxed);
        polled
    }

    /// What it holds, in octets.
    pub(crate) fn held(&self) -> usize {
        octets(self.held.count())
    }

    /// Notes what it holds at the moment when it is told to go.
    pub(crate) fn leave_behind(&self) -> usize {
        let held = self.held();
        self.left_behind.set(u64::try_from(held).unwrap_or(u64::MAX));
        held
    }

    /// What [`Connection::leave_behind`] noted.
    pub(crate) fn left_behind(&self) -> usize {
        octets(self.left_behind.count())
    }

    /// Its task has its turn.
    pub(crate) fn on_turn(&self) {
        self.in_turn.set(0);
    }

    /// Whether so many requests came at once that others should have their turn before the next.
    pub(crate) fn has_had_its_turn(&self) -> bool {
        self.in_turn.count() > TURN
    }

    /// Its task looks whether octets have come.
    pub(crate) fn on_looked(&self) {
        self.looked.store(true, Ordering::Relaxed);
    }

    /// Octets have come.
    ///
    /// # Errors
    /// If they are part of a long head, and the listener holds too much of such already.
    pub(crate) fn on_received(&self, octets: usize) -> io::Result<()> {
        if self.lingers.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.head.add(u64::try_from(octets).unwrap_or(u64::MAX));
        let is_http2 = self.is_http2.load(Ordering::Relaxed);
        let free = if is_http2 { FREE_HTTP2 } else { FREE };
        if self.head.count() <= free || self.head_held.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Over HTTP/1.1 what comes while a request is under way is its body, which is counted where it is read.
        if self.under_way.count() > 0 && !is_http2 {
            return Ok(());
        }
        if !self.hold(HEAD, Need::Head) {
            return Err(io::Error::other("the listener holds too many unfinished heads"));
        }
        self.head_held.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The last answer is written, and what comes now is only read so that its client gets to see it.
    pub(crate) fn on_lingering(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether it has been told to end, now or once it has finished.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed) != Told::Nothing as u8
    }

    /// It speaks HTTP/2: many requests at once. What came before was the handshake of TLS and the preface.
    pub(crate) fn on_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
        self.head.set(0);
    }

    /// Octets of a body were taken out of what has come.
    pub(crate) fn on_body(&self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.bodies_came.add(octets);
        self.head.sub(octets);
    }

    /// The peer takes octets, or does not. `true` if it does again after it did not.
    pub(crate) fn on_writing(&self, ready: bool) -> bool {
        if ready != self.is_blocked() {
            return false;
        }
        self.blocked.store(!ready, Ordering::Relaxed);
        match ready {
            true => self.unblocked.add(1),
            false => self.waited.set(self.crowd.now()),
        }
        ready
    }

    /// All that there was to write is written.
    pub(crate) fn on_flushed(&self) {
        let written = self.written.count();
        if written > 0 {
            self.written.set(0);
            self.give_back(written);
        }
    }

    /// A request waits for its body, or does so no more.
    pub(crate) fn on_waiting_for_body(&self, waits: bool) {
        match waits {
            true => {
                self.bodies.add(1);
                self.waited.set(self.crowd.now());
            }
            false => self.bodies.sub(1),
        }
    }

    /// Nothing is answered after the answer that is under way. Over HTTP/2 the stream ends with it anyway, and the others
    /// go on.
    pub(crate) fn end_after_this_answer(&self) {
        if !self.is_http2.load(Ordering::Relaxed) {
            self.last.store(true, Ordering::Relaxed);
        }
    }

    /// Its task has ended. Streams of HTTP/2 may end later.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.on_flushed();
        self.head_is_complete();
    }

    fn head_is_complete(&self) {
        self.head.set(0);
        if self.head_held.load(Ordering::Relaxed) {
            self.head_held.store(false, Ordering::Relaxed);
            self.give_back(HEAD);
        }
    }

    fn hold(&self, more: u64, need: Need) -> bool {
        let taken = self.crowd.hold(octets(more), need);
        if taken {
            self.held.add(more);
        }
        taken
    }

    fn give_back(&self, less: u64) {
        self.held.sub(less);
        self.crowd.give_back(octets(less));
    }
}

fn octets(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
