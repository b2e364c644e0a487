//! The processes of the replicas. A seeded generator decides when they are killed and started again.

use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::harness::Sidecar;
use crate::harness::time::{instant, next_beat};
use crate::seats::{Seat, Seats};

/// How many may be down at once, while the generator decides.
const MOST_DOWN: usize = 2;
const BEAT: Duration = Duration::from_millis(15);
const LOOK: Duration = Duration::from_millis(500);

pub(crate) struct Crew<'a> {
    seats: &'a Seats,
    processes: Vec<Process>,
    dice: Dice,
    next_kill: Instant,
    next_look: Instant,
    /// Whether processes are being killed.
    pub(crate) restless: bool,
    pub(crate) kills: usize,
    /// The maximum resident memory of any replica so far, in KiB.
    pub(crate) most_memory: u64,
}

enum Process {
    Runs(Sidecar),
    StartsAt(Instant),
}

impl<'a> Crew<'a> {
    /// Starts all replicas at once on an empty ring.
    pub(crate) fn start(seats: &'a Seats, dice: Dice) -> Self {
        let now = instant();
        Self {
            seats,
            processes: seats.iter().map(|seat| Process::Runs(seat.spec.spawn())).collect(),
            dice,
            next_kill: now,
            next_look: now,
            restless: false,
            kills: 0,
            most_memory: 0,
        }
    }

    /// Waits for a condition, and kills meanwhile.
    #[track_caller]
    pub(crate) fn until<T>(&mut self, what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
        let start = instant();
        let mut beat = start;
        loop {
            self.tick();
            if let Some(found) = probe() {
                return found;
            }
            assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
            next_beat(&mut beat, BEAT);
        }
    }

    /// Lets time pass, and kills meanwhile.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = instant() + span;
        self.until("time to pass", span + LOOK, || (instant() >= end).then_some(()));
    }

    /// Waits until all replicas are running and ready, and stops killing until told otherwise.
    pub(crate) fn gather(&mut self, limit: Duration) {
        self.restless = false;
        let seats = self.seats;
        self.until("all replicas to be ready", limit, || {
            seats.iter().all(Seat::is_ready_now).then_some(())
        });
    }

    /// Kills all replicas, and starts all of them a moment later.
    pub(crate) fn kill_all(&mut self, down: Duration) {
        for index in 0..self.processes.len() {
            self.kill(index, down);
        }
    }

    fn kill(&mut self, index: usize, down: Duration) {
        if let Process::Runs(sidecar) = &mut self.processes[index] {
            sidecar.kill();
            self.kills += 1;
            // Only now is its log complete. Dropping it scans the log for secrets.
            self.processes[index] = Process::StartsAt(instant() + down);
        }
    }

    fn tick(&mut self) {
        let now = instant();
        for (process, seat) in self.processes.iter_mut().zip(self.seats.iter()) {
            if matches!(process, Process::StartsAt(at) if *at <= now) {
                *process = Process::Runs(seat.spec.spawn());
            }
        }
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look();
        }
        if self.restless && now >= self.next_kill {
            self.next_kill = now + self.dice.span(700, 2200);
            let down = self.processes.iter().filter(|p| matches!(p, Process::StartsAt(_)));
            if down.count() < MOST_DOWN {
                let victim = self.dice.below(self.processes.len());
                let span = self.dice.span(50, 1200);
                self.kill(victim, span);
            }
        }
    }

    /// Checks that no replica has ended by itself or uses too much memory.
    fn look(&mut self) {
        for process in &self.processes {
            let Process::Runs(sidecar) = process else { continue };
            let status = format!("/proc/{}/status", sidecar.pid());
            let status = std::fs::read_to_string(status).expect("the kernel's word of a child");
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
            let state = field("State:").unwrap_or_default();
            assert!(
                !state.contains('Z'),
                "a replica ended by itself:\n{}",
                sidecar.log_text()
            );
            let resident = field("VmRSS:").and_then(|rss| rss.trim().trim_end_matches(" kB").parse().ok());
            self.most_memory = self.most_memory.max(resident.unwrap_or(0));
        }
    }
}
