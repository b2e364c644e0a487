//! The events that happen to the fleet. The seed decides their order and times.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bao::Bao;
use crate::crew::Crew;
use crate::dice::Dice;
use crate::emergency::{Planned, Revoked};
use crate::harness::http::Connection;
use crate::harness::time::instant;
use crate::harness::{Signed, Spec, kid_in_phase, kids, say};
use crate::seats::Seat;
use crate::traffic::Scene;
use crate::{LEAD, POLICY, ROTATIONS};

/// The limit for steps that take long only if they fail.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Act {
    Freeze,
    FreezeAndRestartAll,
    Rotate,
    Revoke,
}

/// A time in which OpenBao did not answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// When all replicas were ready again.
    pub(crate) over: Instant,
}

pub(crate) struct Script<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) bao: Bao,
    pub(crate) crew: Crew<'a>,
    pub(crate) dice: Dice,
    /// The command line of an operator without a sidecar.
    pub(crate) operator: Spec,
    pub(crate) outages: Vec<Outage>,
    pub(crate) revoked: Option<Revoked>,
    /// A second revocation, when no key was pending and all tokens had expired.
    pub(crate) revoked_alone: Option<Revoked>,
    pub(crate) planned: Option<Planned>,
    /// The keys of the ring at the end.
    pub(crate) keys: Vec<String>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(scene: &'a Scene, bao: Bao, crew: Crew<'a>, dice: Dice) -> Self {
        Self {
            operator: bao.operator().set_all(POLICY),
            scene,
            bao,
            crew,
            dice,
            outages: Vec::new(),
            revoked: None,
            revoked_alone: None,
            planned: None,
            keys: Vec::new(),
        }
    }

    pub(crate) fn wait_for_all(&mut self) {
        self.crew.gather(LIMIT);
    }

    /// Plays all events, until there were enough rotations.
    pub(crate) fn play(&mut self) {
        let mut acts = [Act::Freeze, Act::FreezeAndRestartAll, Act::Rotate, Act::Revoke];
        self.dice.shuffle(&mut acts);
        for (index, act) in acts.into_iter().enumerate() {
            self.crew.restless = true;
            self.wait_for_rotations(1 + 2 * index);
            let wait = self.dice.span(0, 4000);
            self.crew.pass(wait);
            match act {
                Act::Freeze => self.freeze(),
                Act::FreezeAndRestartAll => self.freeze_and_restart_all(),
                Act::Rotate => self.rotate(),
                Act::Revoke => self.revoke(),
            }
        }
        self.crew.restless = true;
        self.wait_for_rotations(ROTATIONS);
        self.crew.gather(LIMIT);
        self.scene.done.store(true, Ordering::Relaxed);
        // Wait until the last token has expired.
        self.crew.pass(Duration::from_secs(crate::LONGEST_LIFE as u64));
        self.revoke_without_successor();
    }

    fn wait_for_rotations(&mut self, count: usize) {
        let scene = self.scene;
        let enough = || (scene.ledger.rotations() >= count).then_some(());
        self.crew.until("the next rotation", LIMIT, enough);
    }

    /// Stops OpenBao with SIGSTOP for longer than the lead, while replicas are killed and started.
    fn freeze(&mut self) {
        self.ask_for_a_key();
        let from = instant();
        self.bao.freeze();
        let span = LEAD + self.dice.span(500, 2000);
        self.crew.pass(span);
        self.bao.thaw();
        self.recovers(from);
    }

    /// Stops OpenBao with SIGSTOP for longer than the lead. All replicas are killed at once and start without it. Then
    /// OpenBao is killed and started, too.
    fn freeze_and_restart_all(&mut self) {
        self.crew.gather(LIMIT);
        let scene = self.scene;
        let witness = sign(scene.seats.seat(0));
        let before = ring(scene.seats.seat(0)).expect("a ring");
        let active = kid_in_phase(&before, "active").expect("an active key");
        self.ask_for_a_key();
        let from = instant();
        self.bao.freeze();
        let span = self.dice.span(200, 1000);
        self.crew.pass(span);
        self.crew.kill_all(Duration::from_millis(200));
        for seat in scene.seats.iter() {
            let served = || jwks(seat).filter(|published| published.contains(&active));
            self.crew.until("the last good ring to be published", LIMIT, served);
            let word = verify(seat, &witness.token).expect("an answer");
            let is_known = word["active"] == true || word["error"] == "expired" && !witness.is_alive();
            assert!(is_known, "a replica that starts without OpenBao: {word}");
        }
        say(format!(
            "all replicas were back {:?} after OpenBao had stopped, and publish and verify without it",
            from.elapsed()
        ));
        self.crew
            .pass((LEAD + Duration::from_millis(500)).saturating_sub(from.elapsed()));
        self.bao.restart();
        self.recovers(from);
    }

    /// Creates the worst kind of key for an outage: few replicas read it before the outage, and it may sign before the
    /// outage ends.
    fn ask_for_a_key(&self) {
        let ran = self.operator.run(&["keys", "rotate", "--reason", "bad timing"]);
        // Code 64 means that a key is already pending.
        assert!([0, 64].contains(&ran.code), "{}", ran.stderr);
    }

    fn recovers(&mut self, from: Instant) {
        let (to, seats) = (instant(), &self.scene.seats);
        assert!(to - from > LEAD);
        // A replica that is down has not been ready again yet. A ready majority shows that the outage is over.
        let most = || (seats.ready() * 2 > seats.len()).then_some(());
        self.crew.until("most replicas to be ready again", LIMIT, most);
        self.outages.push(Outage {
            from,
            to,
            over: instant(),
        });
    }

    /// Checks that OpenBao contains exactly what is in the ring, and that `prune` finds nothing.
    pub(crate) fn leave_no_orphans(&mut self) {
        let (bao, operator) = (&self.bao, &self.operator);
        let mut orphans = Vec::new();
        let mut keys = Vec::new();
        self.crew.until("the ring to be still", LIMIT, || {
            // A key may be created between two checks.
            keys = listed(operator);
            orphans = bao.orphans(keys.len());
            (orphans.is_empty() || keys == listed(operator)).then_some(())
        });
        assert!(orphans.is_empty(), "in OpenBao, but not in the ring: {orphans:?}");
        let pruned = operator.run(&["keys", "prune", "--json"]);
        assert_eq!(pruned.code, 0, "{}", pruned.stderr);
        assert_eq!(
            pruned.json()["pruned"].as_array().map(Vec::len),
            Some(0),
            "{}",
            pruned.stdout
        );
        self.keys = keys;
    }
}

pub(crate) fn listed(operator: &Spec) -> Vec<String> {
    let ran = operator.run(&["keys", "list", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    kids(&ran.json())
}

/// The ring of the replica, if it answers.
pub(crate) fn ring(seat: &Seat) -> Option<Value> {
    let mut socket = Connection::unix(&seat.spec.socket_path()).ok()?;
    Some(socket.get("/v1/ring").ok()?.json())
}

/// The kids that the replica publishes, if it answers.
pub(crate) fn jwks(seat: &Seat) -> Option<Vec<String>> {
    let mut public = Connection::tcp(seat.spec.listen()).ok()?;
    let answer = public.get("/.well-known/jwks.json").ok()?;
    (answer.status == 200).then(|| kids(&answer.json()))
}

/// The replica's verdict on a token, if it answers.
pub(crate) fn verify(seat: &Seat, token: &str) -> Option<Value> {
    let request = serde_json::json!({ "token": token, "audience": [crate::harness::AUDIENCE] });
    let mut socket = Connection::unix(&seat.spec.socket_path()).ok()?;
    let answer = socket.post("/v1/verify", request.to_string().as_bytes()).ok()?;
    (answer.status == 200).then(|| answer.json())
}

/// A token from the replica, if it signs.
pub(crate) fn try_sign(seat: &Seat) -> Option<Signed> {
    let claims = serde_json::json!({ "sub": "the script", "aud": crate::harness::AUDIENCE });
    let request = serde_json::json!({ "claims": claims, "ttl": crate::LONGEST_LIFE });
    let mut socket = Connection::unix(&seat.spec.socket_path()).ok()?;
    let answer = socket.post("/v1/sign", request.to_string().as_bytes()).ok()?;
    (answer.status == 200).then(|| Signed::from_json(&answer.json()))
}

pub(crate) fn sign(seat: &Seat) -> Signed {
    try_sign(seat).expect("a replica that is ready signs")
}
