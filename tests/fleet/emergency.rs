//! `signet keys revoke` and `signet keys rotate` under load, measured on every replica.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bao::Custody;
use crate::harness::time::{instant, next_beat, unix_millis};
use crate::harness::{Signed, kid_in_phase};
use crate::script::{Script, jwks, listed, ring, sign, try_sign, verify};
use crate::seats::Seat;
use crate::{CACHE, REFRESH, SKEW};

/// The time that a busy machine and the measuring requests add to R + S.
pub(crate) const ALLOWANCE: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_millis(25);
const REASON: &str = "it was stolen";

/// The revocation of the signing key.
#[derive(Clone, Debug)]
pub(crate) struct Revoked {
    pub(crate) kid: String,
    pub(crate) successor: String,
    /// When the command was started.
    pub(crate) started: Instant,
    /// When the revocation was in the provider, according to the command's audit event.
    pub(crate) marked: Instant,
    /// How long after the revocation the last replica did each of these: refuse a token that it had accepted, remove
    /// the key from its JWKS, and sign its last token with the key.
    pub(crate) refused: Duration,
    pub(crate) unpublished: Duration,
    pub(crate) signed: Duration,
    /// How long after the revocation every replica had signed with the successor.
    pub(crate) succeeded: Duration,
}

/// A rotation before its time.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) kid: String,
    pub(crate) asked: Instant,
}

/// What one replica did after the revocation.
#[derive(Clone, Debug, Default)]
struct Seen {
    refused: Option<Instant>,
    unpublished: Option<Instant>,
    last_signed: Option<Instant>,
    succeeded: Option<Instant>,
    successor: String,
}

impl Script<'_> {
    /// The signing key, once its successor is pending and in all caches. Then no good token is refused because of the
    /// revocation.
    fn replaceable(&mut self) -> (String, String) {
        let seats = &self.scene.seats;
        loop {
            let known = self.crew.until("all replicas to know the next key", LIMIT, || {
                let mut known = seats.iter().map(|seat| {
                    let ring = ring(seat)?;
                    Some((kid_in_phase(&ring, "active")?, kid_in_phase(&ring, "pending")?))
                });
                let first = known.next()??;
                known.all(|other| other.as_ref() == Some(&first)).then_some(first)
            });
            let since = instant();
            self.crew.pass(CACHE);
            let active = ring(seats.seat(0)).and_then(|ring| kid_in_phase(&ring, "active"));
            // Most of the lead has passed. If this machine was busy, the next key may already be signing.
            if active.as_ref() == Some(&known.0) && since.elapsed() < CACHE + Duration::from_millis(500) {
                return known;
            }
        }
    }

    /// The common emergency: the next key is pending.
    pub(crate) fn revoke(&mut self) {
        self.crew.gather(LIMIT);
        let (kid, successor) = self.replaceable();
        let document = self.bao.document();
        let (witness, revoked) = self.revoke_and_measure(&kid, Some(&successor));
        self.enable_again(&revoked, &witness, &document);
        self.revoked = Some(revoked);
    }

    /// The worst emergency: no key is pending.
    ///
    /// The command and five replicas that read the revocation all need a successor that signs at once, and exactly one
    /// is created. Our own verifiers know it as soon as the replicas do. Others must fetch the JWKS first, which is the
    /// price of this emergency, so no tokens are checked here.
    pub(crate) fn revoke_without_successor(&mut self) {
        self.crew.gather(LIMIT);
        let (seats, operator) = (&self.scene.seats, &self.operator);
        let kid = self.crew.until("a ring in which no key waits", LIMIT, || {
            let mut rings = seats.iter().map(ring);
            let is_alone = rings.all(|ring| ring.is_some_and(|ring| kid_in_phase(&ring, "pending").is_none()));
            is_alone
                .then(|| kid_in_phase(&ring(seats.seat(0))?, "active"))
                .flatten()
        });
        let before = listed(operator);
        let (_, revoked) = self.revoke_and_measure(&kid, None);
        let after = listed(&self.operator);
        assert_eq!(after.len(), before.len() + 1, "one successor, no matter who was first");
        assert_eq!(after.last(), Some(&revoked.successor));
        self.revoked_alone = Some(revoked);
    }

    fn revoke_and_measure(&self, kid: &str, successor: Option<&str>) -> (Signed, Revoked) {
        let (seats, operator) = (&self.scene.seats, &self.operator);
        let witness = sign(seats.seat(0));
        assert_eq!(witness.kid, kid);
        for seat in seats.iter() {
            let word = verify(seat, &witness.token).expect("an answer");
            assert_eq!(word["active"], true, "so that it is cached: {word}");
        }
        let (started, ran, seen) = std::thread::scope(|scope| {
            let watches: Vec<_> = seats.iter().map(|seat| scope.spawn(|| watch(seat, &witness))).collect();
            let started = instant();
            let ran = operator.run(&["keys", "revoke", kid, "--reason", REASON, "--json"]);
            let seen: Vec<Seen> = watches
                .into_iter()
                .map(|watch| watch.join().expect("it saw it"))
                .collect();
            (started, ran, seen)
        });
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let made = ran.json()["successor"].as_str().map(str::to_owned);
        // If a key is pending, none is created. Otherwise the command creates one, unless a replica was faster.
        assert!(successor.is_none() || made.is_none(), "{}", ran.stdout);
        let marked = outcome(&ran.stderr, kid);
        let successors: BTreeSet<String> = seen.iter().map(|seen| seen.successor.clone()).collect();
        let one = successors.first().expect("a successor").clone();
        assert_eq!(successors.len(), 1, "all sign with the same key: {successors:?}");
        assert_eq!(successor.unwrap_or(&one), one);
        assert_eq!(made.unwrap_or_else(|| one.clone()), one);

        let last = |what: fn(&Seen) -> Option<Instant>| {
            let last = seen.iter().filter_map(what).max().unwrap_or(marked);
            last.saturating_duration_since(marked)
        };
        let revoked = Revoked {
            kid: kid.to_owned(),
            successor: one,
            started,
            marked,
            refused: last(|seen| seen.refused),
            unpublished: last(|seen| seen.unpublished),
            signed: last(|seen| seen.last_signed),
            succeeded: last(|seen| seen.succeeded),
        };
        let bound = REFRESH + SKEW + ALLOWANCE;
        for measured in [revoked.refused, revoked.unpublished, revoked.signed, revoked.succeeded] {
            assert!(measured <= bound, "R + S and {ALLOWANCE:?} are {bound:?}: {revoked:?}");
        }
        (witness, revoked)
    }

    /// Somebody with all permissions in OpenBao undoes the changes to the key there.
    fn enable_again(&mut self, revoked: &Revoked, witness: &Signed, document: &Value) {
        match self.bao.custody() {
            Custody::Remote => {
                let (name, version) = self.bao.place(&revoked.kid);
                assert!(
                    !self.bao.signs(&name, version),
                    "transit was told to sign no more with it"
                );
                self.bao.enable_all_versions(&name);
                assert!(self.bao.signs(&name, version), "so it is enabled again");
                self.stays_revoked(revoked, witness);
            }
            Custody::Sealed => {
                let after = self.bao.document();
                // The private key is no longer in the ring. Only the earlier ring could restore it.
                self.bao.replace_document(document);
                self.stays_revoked(revoked, witness);
                self.bao.replace_document(&after);
            }
        }
        self.crew.gather(LIMIT);
    }

    fn stays_revoked(&mut self, revoked: &Revoked, witness: &Signed) {
        // Each replica reads the ring at least once in this time.
        self.crew.pass(REFRESH * 2);
        for seat in self.scene.seats.iter() {
            let word = verify(seat, &witness.token).expect("an answer");
            assert_eq!(word["error"], "unknown_key", "{word}");
            let published = jwks(seat).expect("a JWKS");
            assert!(!published.contains(&revoked.kid), "{published:?}");
            let signed = sign(seat);
            assert_ne!(signed.kid, revoked.kid);
        }
    }

    pub(crate) fn rotate(&mut self) {
        let seats = &self.scene.seats;
        self.planned = Some(loop {
            self.crew.until("a ring in which no key waits", LIMIT, || {
                let mut rings = seats.iter().filter_map(ring);
                rings.all(|ring| kid_in_phase(&ring, "pending").is_none()).then_some(())
            });
            let asked = instant();
            let ran = self
                .operator
                .run(&["keys", "rotate", "--reason", "before the holidays", "--json"]);
            // The replicas were faster, and a key is already pending.
            if ran.code == 64 {
                continue;
            }
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let kid = ran.json()["kid"].as_str().expect("a kid").to_owned();
            break Planned { kid, asked };
        });
    }
}

/// The time of the audit event that says that the revocation was done. An earlier event says that it will be tried.
fn outcome(log: &str, kid: &str) -> Instant {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events: Vec<Value> = events
        .filter(|event| event["target"] == "audit" && event["action"] == "revoke")
        .collect();
    let steps: Vec<&Value> = events.iter().map(|event| &event["step"]).collect();
    assert_eq!(steps, ["attempt", "outcome"], "{log}");
    for event in &events {
        assert_eq!(
            (&event["kid"], &event["reason"]),
            (&kid.into(), &REASON.into()),
            "{event}"
        );
    }
    let at = events[1]["timestamp"].as_str().expect("a time");
    let at = humantime::parse_rfc3339(at).expect("RFC 3339");
    let at = at.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let ago = unix_millis() - i64::try_from(at.as_millis()).expect("fits");
    instant() - Duration::from_millis(ago.max(0).unsigned_abs())
}

/// Watches one replica until it has done everything that a revocation demands.
fn watch(seat: &Seat, witness: &Signed) -> Seen {
    let mut seen = Seen::default();
    let (start, mut beat) = (instant(), instant());
    while seen.refused.is_none() || seen.unpublished.is_none() || seen.succeeded.is_none() {
        assert!(start.elapsed() < LIMIT, "in vain: {seen:?}");
        let word = verify(seat, &witness.token).expect("an answer");
        if seen.refused.is_none() && word["active"] == false {
            assert_eq!(word["error"], "unknown_key", "{word}");
            seen.refused = Some(instant());
        }
        let published = jwks(seat).expect("a JWKS");
        if seen.unpublished.is_none() && !published.contains(&witness.kid) {
            seen.unpublished = Some(instant());
        }
        let asked = instant();
        // In remote custody, OpenBao may refuse before the replica knows why.
        if let Some(signed) = try_sign(seat) {
            if signed.kid == witness.kid {
                assert!(seen.succeeded.is_none(), "it signs again with a key that was revoked");
                seen.last_signed = Some(asked);
            } else {
                seen.succeeded = seen.succeeded.or_else(|| Some(instant()));
                seen.successor = signed.kid;
            }
        }
        next_beat(&mut beat, BEAT);
    }
    seen
}
