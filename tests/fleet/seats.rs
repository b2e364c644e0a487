//! The places of the replicas, and which of them get traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bao::Bao;
use crate::harness::Spec;
use crate::harness::http::Connection;
use crate::harness::time::{instant, next_beat};

const BEAT: Duration = Duration::from_millis(30);

/// The place of one replica, whether or not a process is running there.
pub(crate) struct Seat {
    pub(crate) spec: Spec,
    is_live: AtomicBool,
    is_ready: AtomicBool,
}

impl Seat {
    /// Asks the replica now.
    pub(crate) fn is_ready_now(&self) -> bool {
        let asked = Connection::tcp(self.spec.admin_listen()).and_then(|mut admin| admin.get("/readyz"));
        asked.is_ok_and(|answer| answer.status == 200)
    }
}

pub(crate) struct Seats(Vec<Seat>);

impl Seats {
    pub(crate) fn new(bao: &Bao, replicas: usize, policy: &[(&str, &str)]) -> Self {
        let seat = |_| Seat {
            spec: bao.replica().set_all(policy),
            is_live: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        };
        Self((0..replicas).map(seat).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn seat(&self, index: usize) -> &Seat {
        &self.0[index]
    }

    /// How many replicas were ready when last asked.
    pub(crate) fn ready(&self) -> usize {
        self.iter().filter(|seat| seat.is_ready.load(Ordering::Relaxed)).count()
    }

    /// Whether this replica gets traffic: it is ready, or none is ready and it answers.
    pub(crate) fn serves(&self, index: usize) -> bool {
        let seat = self.seat(index);
        match self.ready() {
            0 => seat.is_live.load(Ordering::Relaxed),
            _ => seat.is_ready.load(Ordering::Relaxed),
        }
    }

    /// Checks the readiness of all replicas again and again.
    pub(crate) fn watch(&self, done: &AtomicBool) {
        let mut connections: Vec<Option<Connection>> = self.iter().map(|_| None).collect();
        let mut beat = instant();
        while !done.load(Ordering::Relaxed) {
            for (seat, connection) in self.iter().zip(&mut connections) {
                if connection.is_none() {
                    *connection = Connection::tcp(seat.spec.admin_listen()).ok();
                }
                let answer = connection.as_mut().and_then(|admin| admin.get("/readyz").ok());
                if answer.is_none() {
                    *connection = None;
                }
                let status = answer.map(|answer| answer.status);
                seat.is_live.store(status.is_some(), Ordering::Relaxed);
                seat.is_ready.store(status == Some(200), Ordering::Relaxed);
            }
            next_beat(&mut beat, BEAT);
        }
    }
}
