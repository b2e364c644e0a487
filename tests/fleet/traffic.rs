//! The traffic: every replica that gets requests signs, and everybody checks every token at random times of its life.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::dice::Dice;
use crate::harness::http::{Answer, Connection};
use crate::harness::time::{instant, next_beat};
use crate::harness::{AUDIENCE, Signed};
use crate::ledger::{Checker, Ledger, Refusal, Token, Unsigned};
use crate::seats::Seats;
use crate::verifier::Verifier;

/// The time between two tokens of one replica.
const BEAT: Duration = Duration::from_millis(150);
/// How often each checker looks at each token.
const LOOKS: usize = 2;
/// The minimum remaining life of a token at its last check.
const MARGIN: Duration = Duration::from_millis(50);

/// What all threads share.
pub(crate) struct Scene {
    pub(crate) seats: Seats,
    pub(crate) ledger: Ledger,
    /// The maximum lifetime of a token in seconds.
    pub(crate) longest_life: usize,
    /// No more tokens are signed.
    pub(crate) done: AtomicBool,
    /// All threads must end.
    pub(crate) over: AtomicBool,
}

/// Ends the threads when dropped, even if the test panics.
pub(crate) struct Curtain<'a>(pub(crate) &'a Scene);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Starts all threads. They end when no more tokens are signed and the last one has expired.
pub(crate) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    scene: &'env Scene,
    verifiers: Vec<Verifier>,
    dice: &mut Dice,
) {
    let mut sinks = Vec::new();
    for (index, verifier) in verifiers.into_iter().enumerate() {
        let (sink, tokens) = channel();
        sinks.push(sink);
        let dice = dice.apart();
        let by = Checker::Verifier(index);
        scope.spawn(move || ask_verifier(scene, by, verifier, Turns::new(tokens, dice)));
    }
    for index in 0..scene.seats.len() {
        let (sink, tokens) = channel();
        sinks.push(sink);
        let dice = dice.apart();
        scope.spawn(move || ask_replica(scene, index, Turns::new(tokens, dice)));
    }
    for index in 0..scene.seats.len() {
        let (sinks, dice) = (sinks.clone(), dice.apart());
        scope.spawn(move || sign(scene, index, &sinks, dice));
    }
}

/// Sends a request over a connection that stays open as long as the other side lives.
fn post(scene: &Scene, index: usize, connection: &mut Option<Connection>, path: &str, body: &str) -> Option<Answer> {
    if connection.is_none() {
        *connection = Connection::unix(&scene.seats.seat(index).spec.socket_path()).ok();
    }
    let answer = connection.as_mut()?.post(path, body.as_bytes()).ok();
    if answer.is_none() {
        *connection = None;
    }
    answer
}

fn sign(scene: &Scene, index: usize, sinks: &[Sender<Arc<Token>>], mut dice: Dice) {
    let mut connection = None;
    let mut beat = instant() + dice.span(0, 150);
    while !scene.done.load(Ordering::Relaxed) {
        // A replica that waited for a frozen provider does not catch up.
        beat = beat.max(instant());
        next_beat(&mut beat, BEAT);
        if !scene.seats.serves(index) {
            continue;
        }
        let life = 1 + dice.below(scene.longest_life);
        let request =
            json!({ "claims": { "sub": format!("client {}", dice.below(1000)), "aud": AUDIENCE }, "ttl": life });
        let asked = instant();
        let Some(answer) = post(scene, index, &mut connection, "/v1/sign", &request.to_string()) else {
            continue;
        };
        if answer.status != 200 {
            scene.ledger.entries().unsigned.push(Unsigned {
                by: index,
                asked,
                answered: instant(),
                why: format!("{} {}: {}", answer.status, answer.problem(), answer.text()),
            });
            continue;
        }
        let token = Token::new(Signed::from_json(&answer.json()), asked);
        scene.ledger.signed(&token);
        let token = Arc::new(token);
        for sink in sinks {
            // If a checker is missing, it has panicked, which is reported at the end of the test.
            let _ = sink.send(Arc::clone(&token));
        }
    }
}

/// When to check which token.
struct Turns {
    tokens: Receiver<Arc<Token>>,
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    known: Vec<Option<(Arc<Token>, usize)>>,
    dice: Dice,
}

impl Turns {
    fn new(tokens: Receiver<Arc<Token>>, dice: Dice) -> Self {
        Self {
            tokens,
            waiting: BinaryHeap::new(),
            known: Vec::new(),
            dice,
        }
    }

    /// The next token to check, when its time has come. `None` if there will be no more.
    fn next(&mut self, scene: &Scene) -> Option<Arc<Token>> {
        let mut is_open = true;
        loop {
            if scene.over.load(Ordering::Relaxed) {
                return None;
            }
            let now = instant();
            match self.waiting.peek() {
                Some(Reverse((at, _))) if *at <= now => return self.take(),
                None if !is_open => return None,
                _ => {}
            }
            let wait = self
                .waiting
                .peek()
                .map(|Reverse((at, _))| at.saturating_duration_since(now));
            let wait = wait.unwrap_or(BEAT).min(BEAT);
            match self.tokens.recv_timeout(wait) {
                Ok(token) => self.plan(token),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    is_open = false;
                    // From here on, only the end of a wait can wake this thread.
                    next_beat(&mut instant(), wait);
                }
            }
        }
    }

    fn plan(&mut self, token: Arc<Token>) {
        let (now, index) = (instant(), self.known.len());
        let left = token.dies.saturating_duration_since(now).saturating_sub(MARGIN);
        let left = u64::try_from(left.as_millis()).unwrap_or(0);
        for _ in 0..LOOKS {
            self.waiting.push(Reverse((now + self.dice.span(0, left), index)));
        }
        self.known.push(Some((token, LOOKS)));
    }

    fn take(&mut self) -> Option<Arc<Token>> {
        let Reverse((_, index)) = self.waiting.pop()?;
        let place = &mut self.known[index];
        let (token, looks) = place.take()?;
        if looks > 1 {
            *place = Some((Arc::clone(&token), looks - 1));
        }
        Some(token)
    }
}

fn ask_verifier(scene: &Scene, by: Checker, mut verifier: Verifier, mut turns: Turns) {
    while let Some(token) = turns.next(scene) {
        let asked = instant();
        if asked >= token.dies {
            continue;
        }
        match verifier.verify(&token.signed.token) {
            Ok(()) => scene.ledger.good(by, &token, asked),
            Err(why) => judge(scene, by, &token, true, why),
        }
    }
    scene.ledger.entries().fetches.insert(by, verifier.fetches);
}

fn ask_replica(scene: &Scene, index: usize, mut turns: Turns) {
    let by = Checker::Replica(index);
    let mut connection = None;
    while let Some(token) = turns.next(scene) {
        let asked = instant();
        if asked >= token.dies {
            continue;
        }
        let request = json!({ "token": token.signed.token, "audience": [AUDIENCE] }).to_string();
        // A refusal right after the replica stopped being ready is not recorded.
        let counts = scene.seats.serves(index);
        let counts = || counts && (scene.seats.seat(index).is_ready_now() || scene.seats.ready() == 0);
        match post(scene, index, &mut connection, "/v1/verify", &request) {
            Some(answer) if answer.status == 200 => {
                let word = answer.json();
                if word["active"] == true {
                    scene.ledger.good(by, &token, asked);
                } else {
                    judge(scene, by, &token, counts(), word.to_string());
                }
            }
            Some(answer) if counts() => {
                let undecided = format!("replica {index}: {} {}", answer.status, answer.text());
                scene.ledger.entries().undecided.push(undecided);
            }
            _ => scene.ledger.entries().unanswered += 1,
        }
    }
}

/// Records a refusal, unless the token expired while it was checked.
fn judge(scene: &Scene, by: Checker, token: &Token, counts: bool, why: String) {
    if !token.signed.is_alive() {
        return;
    }
    scene.ledger.refused(Refusal {
        by,
        kid: token.signed.kid.clone(),
        at: instant(),
        counts,
        why,
    });
}
