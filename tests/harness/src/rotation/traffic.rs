//! Tokens that are signed by one replica and checked repeatedly by everybody until they expire.

use std::time::{Duration, Instant};

use serde_json::json;

use super::verifier::Verifier;
use super::watch::Seen;
use crate::http::Connection;
use crate::time::{instant, next_beat, unix_millis};
use crate::{AUDIENCE, Sidecar, Signed, say};

const BEAT: Duration = Duration::from_millis(40);
/// Each round checks the newest live token, and one in this many of the others, in turn.
const SHARE: usize = 4;

/// A key that has signed, and when that was first seen.
#[derive(Clone, Debug)]
pub struct Signer {
    pub kid: String,
    pub first_asked: Instant,
    pub first_seen: Instant,
}

pub struct Traffic<'a> {
    sidecars: Vec<&'a Sidecar>,
    sockets: Vec<Connection>,
    verifiers: Vec<Verifier>,
    alive: Vec<Signed>,
    /// The keys in the order in which they signed.
    pub signers: Vec<Signer>,
    pub tokens: usize,
    pub checks: usize,
}

impl<'a> Traffic<'a> {
    pub fn new(sidecars: &[&'a Sidecar], verifiers: Vec<Verifier>) -> Self {
        Self::resumed(sidecars, verifiers, Vec::new(), Vec::new())
    }

    pub fn resumed(
        sidecars: &[&'a Sidecar],
        verifiers: Vec<Verifier>,
        alive: Vec<Signed>,
        signers: Vec<Signer>,
    ) -> Self {
        Self {
            sidecars: sidecars.to_vec(),
            sockets: sidecars.iter().map(|sidecar| sidecar.socket()).collect(),
            verifiers,
            alive,
            signers,
            tokens: 0,
            checks: 0,
        }
    }

    pub fn into_parts(self) -> (Vec<Signed>, Vec<Verifier>, Vec<Signer>) {
        (self.alive, self.verifiers, self.signers)
    }

    /// Signs and checks until the condition holds.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) {
        let start = instant();
        let mut beat = start;
        while !done(self) {
            assert!(
                start.elapsed() < limit,
                "{} keys have signed after {limit:?}",
                self.signers.len()
            );
            self.sign();
            self.check();
            next_beat(&mut beat, BEAT);
        }
    }

    /// Whether a token of this key is alive.
    pub fn lives(&self, kid: &str) -> bool {
        self.alive.iter().any(|signed| signed.kid == kid && signed.is_alive())
    }

    fn sign(&mut self) {
        let index = self.tokens % self.sidecars.len();
        // Half of the tokens have the default lifetime, and half the longest. Asking for more gives no more.
        let mut request = json!({ "claims": { "sub": format!("client {}", self.tokens), "aud": AUDIENCE } });
        if self.tokens.is_multiple_of(2) {
            request["ttl"] = 3600.into();
        }
        let asked = instant();
        let signed = self.sidecars[index].sign_over(&mut self.sockets[index], &request);
        let seen = instant();
        assert!(
            signed.exp * 1000 <= unix_millis() + 2000,
            "a token outlives the longest life allowed"
        );
        if !self.signers.iter().any(|signer| signer.kid == signed.kid) {
            self.signers.push(Signer {
                kid: signed.kid.clone(),
                first_asked: asked,
                first_seen: seen,
            });
        }
        self.alive.push(signed);
        self.tokens += 1;
    }

    fn check(&mut self) {
        self.alive.retain(Signed::is_alive);
        let turn = self.tokens % SHARE;
        let newest = self.alive.len().saturating_sub(1);
        for (index, signed) in self.alive.iter().enumerate() {
            if index != newest && index % SHARE != turn {
                continue;
            }
            for verifier in &mut self.verifiers {
                let outcome = verifier.verify(&signed.token, &signed.kid);
                // A token that expired while it was checked is rightly refused.
                assert!(
                    outcome.is_ok() || !signed.is_alive(),
                    "a good token was refused: {outcome:?} {signed:?}"
                );
                self.checks += 1;
            }
            for socket in &mut self.sockets {
                let request = json!({ "token": signed.token, "audience": AUDIENCE }).to_string();
                let answer = socket.post("/v1/verify", request.as_bytes()).expect("an answer").json();
                assert!(
                    answer["active"] == true || !signed.is_alive(),
                    "a good token was refused: {answer}"
                );
                self.checks += 1;
            }
        }
    }

    pub fn report(&self, what: &str, seen: &Seen) {
        let fetches: u64 = self.verifiers.iter().map(|verifier| verifier.fetches).sum();
        assert!(fetches > 0);
        say(format!(
            "{what}: {} tokens signed by {} keys ({} rotations), checked {} times by {} verifiers and {} sidecars, none \
             refused; {fetches} fetches by verifiers; JWKS looked at {} times, at most {} keys, {} changes, none within \
             max-age",
            self.tokens,
            self.signers.len(),
            self.signers.len() - 1,
            self.checks,
            self.verifiers.len(),
            self.sidecars.len(),
            seen.polls,
            seen.most_keys,
            seen.changes,
        ));
    }
}
