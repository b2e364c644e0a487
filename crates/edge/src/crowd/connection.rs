//! The state of one connection: its requests in progress, whether it waits for its peer or its peer waits for it, and
//! the memory that it holds for its peer.
//!
//! A request costs a few plain stores and one reading of the clock, without locks, timers or allocations.

mod under_way;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{self, Waker};

use parking_lot::Mutex;
use signet_base::LogLimit;
use tracing::warn;

use super::Crowd;
use super::tally::Tally;

pub(crate) use self::under_way::UnderWay;

/// An unfinished head of up to this many bytes is not counted.
const FREE: u64 = 8 * 1024;
/// The same for HTTP/2, where headers are compressed.
const FREE_HTTP2: u64 = 1024;
/// The maximum memory for an unfinished head: what hyper reads of it, and its parsed form.
const HEAD: u64 = 64 * 1024;
/// How many pipelined requests are answered in a row before other connections get a turn.
const TURN: u64 = 4;

/// The instruction that a connection was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Instruction {
    /// Continue as before.
    Nothing = 0,
    /// Finish the current requests, then end.
    Finish = 1,
    /// End now, because others need the place or the memory.
    Go = 2,
}

/// The state of one connection, shared by its task and its listener.
#[derive(Debug)]
pub(crate) struct Connection {
    crowd: Arc<Crowd>,
    key: Mutex<(u64, u64)>,
    instruction: AtomicU8,
    task: OnceLock<Waker>,
    /// Counts requests, and pieces of bodies that the peer has accepted. It shows that the connection is alive.
    activity: Tally,
    /// The number of requests since the task's turn began.
    in_turn: Tally,
    /// The number of requests whose answer was not yet delivered.
    under_way: Tally,
    /// The number of those whose body is still arriving.
    bodies: Tally,
    /// The number of those whose answer the peer does not read.
    answers: Tally,
    /// When the last request in progress ended.
    rested: Tally,
    /// When the peer last began to keep a request waiting.
    waited: Tally,
    /// Whether the task has checked at least once if the peer has sent anything.
    looked: AtomicBool,
    /// Whether the connection was told to end and is reading what has arrived so far.
    last_look: AtomicBool,
    /// The number of bytes that arrived since the last request.
    head: Tally,
    head_held: AtomicBool,
    /// Whether there was no memory for the rest of a head.
    is_refused: AtomicBool,
    /// Over HTTP/1.1: the number of complete heads that hyper received.
    heads: Tally,
    /// The first of these heads, counted from 1, that has a `#` in its target; 0 if none has.
    fragment: Tally,
    /// The number of these heads that hyper has read.
    read: Tally,
    /// How many streams in a row were refused for lack of memory.
    refused: Tally,
    /// Whether the peer accepts no bytes at present.
    blocked: AtomicBool,
    /// How often the peer started to accept bytes again.
    unblocked: Tally,
    is_http2: AtomicBool,
    /// The number of bytes of bodies that have arrived.
    bodies_came: Tally,
    /// Whether the connection must end after the answer, because a body was not read to its end or the
    /// next bytes are ambiguous.
    last: AtomicBool,
    /// Whether everything that still arrives is discarded.
    lingers: AtomicBool,
    /// Whether the current answer is endless, over HTTP/1.1.
    endless: AtomicBool,
    held: Tally,
    /// The part of the held memory that stays in use because of the peer after everything was written.
    written: Tally,
    left_behind: Tally,
    ended: AtomicBool,
}

impl Connection {
    /// Makes the state for a connection that was just accepted.
    pub(crate) fn new(crowd: Arc<Crowd>, key: (u64, u64)) -> Self {
        let rested = Tally::default();
        rested.set(key.0);
        Self {
            crowd,
            key: Mutex::new(key),
            instruction: AtomicU8::default(),
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
            is_refused: AtomicBool::default(),
            heads: Tally::default(),
            fragment: Tally::default(),
            read: Tally::default(),
            refused: Tally::default(),
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

    /// The connections of the listener.
    pub(crate) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// The key of this connection in the order of the crowd.
    pub(crate) fn key(&self) -> (u64, u64) {
        *self.key.lock()
    }

    /// Records a new key in the order of the crowd.
    pub(crate) fn move_to(&self, key: (u64, u64)) {
        *self.key.lock() = key;
    }

    /// Whether no request is in progress and nothing is left to write.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.count() == 0 && !self.is_blocked()
    }

    /// Whether all requests in progress wait for the peer.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.is_idle() && self.under_way.count() <= self.bodies.count() + self.answers.count()
    }

    /// Whether a request is in progress that does not wait for the peer.
    pub(crate) fn is_working(&self) -> bool {
        !self.is_idle() && !self.is_waiting()
    }

    /// Whether the connection holds memory because of its peer: an answer that is not read, or an incomplete head.
    pub(crate) fn is_peer_slow(&self) -> bool {
        self.answers.count() > 0 || self.is_blocked() || self.head_held.load(Ordering::Relaxed)
    }

    /// Whether the connection holds memory for an incomplete head and has no request in progress.
    pub(crate) fn holds_a_head_alone(&self) -> bool {
        self.head_held.load(Ordering::Relaxed) && self.under_way.count() == 0
    }

    /// When the last request ended that left none in progress, in the crowd's time.
    pub(crate) fn rested_at(&self) -> u64 {
        self.rested.count()
    }

    /// Since when no request is in progress, or the peer keeps it waiting, in the crowd's time.
    pub(crate) fn waits_since(&self) -> u64 {
        self.rested.count().max(self.waited.count())
    }

    /// Whether the connection ever had a request.
    pub(crate) fn has_asked(&self) -> bool {
        self.activity.count() > 0
    }

    /// Whether the connection already existed at this time, and has had no request so far.
    pub(crate) fn is_silent_since(&self, time: u64) -> bool {
        self.looked.load(Ordering::Relaxed) && self.waits_since() <= time
    }

    /// Whether the peer accepts no bytes at present.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// A number that changes whenever the connection shows that it is alive.
    pub(crate) fn activity(&self) -> u64 {
        self.activity.count()
    }

    /// A number that changes whenever the peer accepts part of an answer or sends part of a body.
    pub(crate) fn progress(&self) -> u64 {
        let took = self.activity.count().wrapping_add(self.unblocked.count());
        took.wrapping_add(self.bodies_came.count())
    }

    /// Whether the peer has sent part of a request only, over HTTP/1.1 and with nothing else in progress.
    pub(crate) fn is_owed_a_request(&self) -> bool {
        let owes_body = self.under_way.count() > 0 && self.under_way.count() <= self.bodies.count();
        let owes_head = self.under_way.count() == 0 && self.head.count() > 0;
        (owes_head || owes_body) && !self.is_blocked() && !self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether the connection ends because there is no memory for the rest of a head, and the client can be told so: over
    /// HTTP/1.1, and not in the middle of an answer.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed) && !self.is_blocked() && !self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether the last answer was written. Bytes that still arrive are then not answered.
    pub(crate) fn is_over(&self) -> bool {
        self.is_idle() && self.is_last()
    }

    /// Whether the connection ends after the current answer.
    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether the current answer ends only when the client leaves, such as a stream of events.
    pub(crate) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::Relaxed)
    }

    /// Gives the task an instruction and wakes it. A stronger instruction is never replaced by a weaker one.
    pub(crate) fn tell(&self, instruction: Instruction) {
        self.instruction.fetch_max(instruction as u8, Ordering::SeqCst);
        // The fence ensures that either this code sees the task, or the task sees the instruction when it first asks.
        fence(Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// The current instruction. The task of the connection calls this and is woken when it changes.
    pub(crate) fn instruction(&self, cx: &task::Context<'_>) -> Instruction {
        if self.task.get().is_none() {
            let _ = self.task.set(cx.waker().clone());
            fence(Ordering::SeqCst);
        }
        match self.instruction.load(Ordering::Acquire) {
            0 => Instruction::Nothing,
            1 => Instruction::Finish,
            _ => Instruction::Go,
        }
    }

    /// Whether nothing more must be read from the peer.
    pub(crate) fn is_deaf(&self, cx: &task::Context<'_>) -> bool {
        self.instruction(cx) == Instruction::Go && !self.last_look.load(Ordering::Relaxed)
    }

    /// Polls once more after the connection was told to end, to answer what has already arrived.
    pub(crate) fn look_once_more<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.last_look.store(true, Ordering::Relaxed);
        let polled = poll();
        self.last_look.store(false, Ordering::Relaxed);
        polled
    }

    /// The memory that the connection holds, in bytes.
    pub(crate) fn held(&self) -> usize {
        octets(self.held.count())
    }

    /// Records the memory that the connection holds when it is told to end.
    pub(crate) fn leave_behind(&self) -> usize {
        let held = self.held();
        self.left_behind.set(u64::try_from(held).unwrap_or(u64::MAX));
        held
    }

    /// The memory that [`Connection::leave_behind`] recorded.
    pub(crate) fn left_behind(&self) -> usize {
        octets(self.left_behind.count())
    }

    /// Handles the start of the task's turn.
    pub(crate) fn on_turn(&self) {
        self.in_turn.set(0);
    }

    /// Whether this turn has handled so many requests that other connections should have a turn first.
    pub(crate) fn has_had_its_turn(&self) -> bool {
        self.in_turn.count() > TURN
    }

    /// Handles the task's check for new bytes.
    pub(crate) fn on_looked(&self) {
        self.looked.store(true, Ordering::Relaxed);
    }

    /// Counts new bytes from the peer.
    pub(crate) fn on_received(&self, octets: usize) {
        if !self.lingers.load(Ordering::Relaxed) {
            self.head.add(u64::try_from(octets).unwrap_or(u64::MAX));
        }
    }

    /// Handles the moment when all bytes were handed on and the task waits for more. Only then is it known that a head is
    /// incomplete. So a request that arrives at once takes no memory of the listener.
    ///
    /// # Errors
    /// A long head has arrived in part, and the listener has no memory for it.
    pub(crate) fn on_waiting(&self) -> io::Result<()> {
        if self.head.count() <= FREE_HTTP2 {
            return Ok(());
        }
        let is_http2 = self.is_http2.load(Ordering::Relaxed);
        let free = if is_http2 { FREE_HTTP2 } else { FREE };
        let is_counted = self.head_held.load(Ordering::Relaxed) || self.lingers.load(Ordering::Relaxed);
        if self.head.count() <= free || is_counted {
            return Ok(());
        }
        // Over HTTP/1.1, these bytes are the body of the current request. It is counted where it is read.
        if self.under_way.count() > 0 && !is_http2 {
            return Ok(());
        }
        if !self.hold(HEAD) {
            self.is_refused.store(true, Ordering::Relaxed);
            return Err(io::Error::other(
                "the listener holds too many bytes of unfinished requests in memory",
            ));
        }
        self.head_held.store(true, Ordering::Relaxed);
        if self.under_way.count() == 0 {
            self.waited.set(self.crowd.now());
        }
        Ok(())
    }

    /// Notes that hyper received a complete head, over HTTP/1.1.
    pub(crate) fn on_head(&self, has_fragment: bool) {
        self.heads.add(1);
        if has_fragment && self.fragment.count() == 0 {
            self.fragment.set(self.heads.count());
        }
    }

    /// Notes that h2 received a complete head.
    pub(crate) fn on_fields(&self) {
        self.head_is_complete();
    }

    /// Notes that hyper has read the next head, over HTTP/1.1. Returns `true` if its target has a `#`. Also returns `true`
    /// if hyper has read more heads than were seen here, because then it is not clear which head this is.
    pub(crate) fn on_read(&self) -> bool {
        self.read.add(1);
        let this = self.read.count();
        this == self.fragment.count() || this > self.heads.count()
    }

    /// Logs that a request is refused because of a `#` in its target.
    pub(crate) fn on_fragment(&self) {
        static LOGGED: LogLimit<&str> = LogLimit::new();
        if let Some(held_back) = LOGGED.may_log(self.crowd.name) {
            warn!(
                listener = self.crowd.name,
                held_back,
                "a request was refused because its target has a \"#\" in it; if one of your gateways sends it, write \
                 %23 in the address that the gateway requests, or remove the \"#\""
            );
        }
    }

    /// Notes that the last answer was sent and that the connection now lingers. What arrives afterwards is read only to
    /// make sure that the client sees that answer.
    pub(crate) fn on_lingering(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether the connection was told to end, at once or after its requests.
    pub(crate) fn is_told(&self) -> bool {
        self.instruction.load(Ordering::Relaxed) != Instruction::Nothing as u8
    }

    /// Handles the choice of HTTP/2. The bytes before were the TLS handshake and the preface.
    pub(crate) fn on_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
        self.head.set(0);
    }

    /// Handles bytes that belong to a body.
    pub(crate) fn on_body(&self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.bodies_came.add(octets);
        self.head.sub(octets);
    }

    /// Handles a change of whether the peer accepts bytes. Returns `true` if it accepts them again.
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

    /// Handles the end of writing: everything was written.
    pub(crate) fn on_flushed(&self) {
        let written = self.written.count();
        if written > 0 {
            self.written.set(0);
            self.give_back(written);
        }
    }

    /// Handles a request that starts or stops waiting for its body.
    pub(crate) fn on_waiting_for_body(&self, waits: bool) {
        match waits {
            true => {
                self.bodies.add(1);
                self.waited.set(self.crowd.now());
            }
            false => self.bodies.sub(1),
        }
    }

    /// Ends the connection after the current answer. Over HTTP/2, only the stream ends, and the others continue.
    pub(crate) fn end_after_this_answer(&self) {
        if !self.is_http2.load(Ordering::Relaxed) {
            self.last.store(true, Ordering::Relaxed);
        }
    }

    /// Handles the end of the task. HTTP/2 streams may end later.
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

    fn hold(&self, more: u64) -> bool {
        let taken = self.crowd.hold(octets(more));
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
