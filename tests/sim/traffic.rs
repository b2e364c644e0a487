//! Tokens: signed by any ready replica, and checked later by any replica and any verifier, at any time of their lives.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use signet::routes::public::max_age;
use signet::snapshot::{Signs, Snapshot};
use signet_core::mint::{SignRequest, Template};
use signet_core::verify::{Requirements, authenticate};
use signet_core::{Audience, Issuer, Timestamp};

use crate::plan::Plan;
use crate::replica::{ISSUER, Site};
use crate::rng::Rng;
use crate::sky::{Ms, SECOND, SkewedClock, ms, wall};
use crate::verifier::{Cached, Keeps, Verifier};
use crate::witness::{State, Terms, Witness};

/// One in this many tokens is really signed and verified. The others are checked by kid and lifetime
/// only, which the fleet decides.
const SIGNED: u64 = 12;

#[derive(Clone, Debug)]
pub(crate) struct Token {
    name: usize,
    born: Ms,
    /// The expiry, which each checker judges by its own clock.
    expires: Timestamp,
    text: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Traffic {
    verifiers: Vec<Verifier>,
    tokens: Vec<Token>,
    rng: Rng,
    terms: Terms,
    max_age: Duration,
}

impl Traffic {
    pub(crate) fn new(plan: &Plan, rng: &mut Rng, terms: Terms) -> Self {
        let durations = plan.policies[0].durations();
        let budget = ms(durations.verifier_cache);
        Self {
            verifiers: (0..plan.verifiers)
                .map(|_| Verifier::drawn(rng, terms.skew, budget))
                .collect(),
            tokens: Vec::new(),
            rng: rng.fork(1),
            terms,
            max_age: durations.jwks_max_age,
        }
    }

    /// Makes a token on a ready replica that has a key.
    pub(crate) async fn mint(&mut self, now: Ms, witness: &Witness, site: &Site) -> Option<usize> {
        let (seat, snapshot, shown, cap, provider) = {
            let mut state = witness.state();
            let seat = any_ready(&mut state, &mut self.rng, now)?;
            let live = state.seats[seat].live.as_ref()?;
            let provider = Arc::clone(&state.seats[seat].opened()?.provider);
            let cap = live.policy.durations().token_max_ttl;
            (
                seat,
                Arc::clone(live.snapshot.as_ref()?),
                state.seats[seat].clock.at(now),
                cap,
                provider,
            )
        };
        let signer = snapshot.signer.as_ref().ok()?;
        let longest = signer.longest_at(shown).min(cap);
        let life = match self.rng.percent(60) {
            true => longest,
            false => Duration::from_secs(1 + self.rng.below(longest.as_secs())),
        };
        let name = *witness.state().names.get(signer.public.kid())?;
        let text = match self.rng.below(SIGNED) {
            0 => sign(&snapshot, shown, life, cap, &*provider).await,
            _ => None,
        };
        let expires = Timestamp::from_secs(shown.as_secs()).plus(Duration::from_secs(life.as_secs()));
        let mut state = witness.state();
        state.figures.minted += 1;
        state.trace.line(
            site.sun.now(),
            format_args!("replica {seat}: signs a token with k{name} for {} s", life.as_secs()),
        );
        self.tokens.push(Token {
            name,
            born: site.sun.now(),
            expires,
            text,
        });
        Some(self.tokens.len() - 1)
    }

    /// The times to check a token: at once, at the very end, and in between.
    pub(crate) fn when_to_check(&mut self, token: usize) -> Vec<Ms> {
        let token = &self.tokens[token];
        // The true time at which it expires for a correct clock.
        let end = token.born + ms(token.expires.since(wall(token.born)));
        let mut at = vec![token.born, (end - 1).max(token.born), end + self.terms.skew - 1];
        for _ in 0..3 {
            at.push(self.rng.between(token.born, end.max(token.born)));
        }
        at
    }

    pub(crate) fn check(&mut self, now: Ms, number: usize, witness: &Witness) {
        let token = self.tokens[number].clone();
        let mut state = witness.state();
        self.by_a_replica(now, &token, &mut state);
        self.by_a_verifier(now, &token, &mut state);
    }

    fn by_a_replica(&mut self, now: Ms, token: &Token, state: &mut State) {
        let Some(seat) = any_ready(state, &mut self.rng, now) else {
            state.figures.unanswered += 1;
            return;
        };
        let clock = Arc::clone(&state.seats[seat].clock);
        let shown = clock.at(now);
        let Some(live) = &state.seats[seat].live else { return };
        let (Some(view), Some(snapshot)) = (&live.view, &live.snapshot) else {
            return;
        };
        let (known, snapshot) = (view.names.contains(&token.name), Arc::clone(snapshot));
        self.judge(now, token, known, &snapshot, shown, state, &format!("replica {seat}"));
    }

    fn by_a_verifier(&mut self, now: Ms, token: &Token, state: &mut State) {
        let index = self.rng.index(self.verifiers.len());
        if self.verifiers[index].fresh(now).is_none() {
            let Some(seat) = any_ready(state, &mut self.rng, now) else {
                state.figures.unanswered += 1;
                return;
            };
            self.fetch(now, index, seat, state);
        }
        let verifier = &self.verifiers[index];
        let Some(cached) = verifier.fresh(now).or(verifier.cache.as_ref()) else {
            return;
        };
        let (known, snapshot) = (cached.names.contains(&token.name), Arc::clone(&cached.snapshot));
        let shown = wall(now + verifier.offset);
        let who = format!("verifier {index} ({:?})", verifier.keeps);
        self.judge(now, token, known, &snapshot, shown, state, &who);
    }

    fn fetch(&mut self, now: Ms, index: usize, seat: usize, state: &mut State) {
        let verifier = &mut self.verifiers[index];
        let clock = Arc::clone(&state.seats[seat].clock);
        let Some(live) = &state.seats[seat].live else { return };
        let (Some(view), Some(snapshot)) = (&live.view, &live.snapshot) else {
            return;
        };
        let (names, snapshot) = (Arc::clone(&view.names), Arc::clone(snapshot));
        state.figures.fetches += 1;
        let told = max_age(self.max_age, snapshot.set_changes_at, clock.at(now));
        let told = Duration::from_secs(told.as_secs());
        let until = now
            + match verifier.keeps {
                Keeps::AsToldTo => ms(told),
                Keeps::For(keeps) => keeps,
            };
        self.judge_max_age(now, seat, &snapshot, told, &clock, state);
        self.verifiers[index].cache = Some(Cached { names, snapshot, until });
    }

    /// Checks that no answer tells a cache to keep a key beyond its time.
    fn judge_max_age(
        &self,
        now: Ms,
        seat: usize,
        snapshot: &Snapshot,
        told: Duration,
        clock: &SkewedClock,
        state: &mut State,
    ) {
        let until = clock.at(now).plus(told);
        for key in snapshot.ring.keys.iter().filter(|key| key.phase.is_published()) {
            let Some(expires) = key
                .expires_at
                .as_deref()
                .and_then(|at| humantime::parse_rfc3339(at).ok())
            else {
                continue;
            };
            let since = expires.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            // Reported in whole seconds, rounded down.
            let expires = Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX) + 1);
            if until > expires {
                let text = format!(
                    "replica {seat} lets its JWKS be cached for {} s, {} s beyond the time of a key in it",
                    told.as_secs(),
                    until.since(expires).as_secs()
                );
                state.broken(now, "1 no cache outlives a key", text);
                return;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "who looks at what, when, and by which clock")]
    fn judge(
        &self,
        now: Ms,
        token: &Token,
        known: bool,
        snapshot: &Snapshot,
        shown: Timestamp,
        state: &mut State,
        who: &str,
    ) {
        if shown >= token.expires {
            return;
        }
        if state.is_excused_or_revoked(token.name, now) {
            state.figures.of_revoked += 1;
            return;
        }
        state.figures.checked += 1;
        let mut refusal = (!known).then(|| "its key is not known".to_owned());
        if let (None, Some(text)) = (&refusal, &token.text) {
            state.figures.with_signature += 1;
            refusal = verify(text, snapshot, shown, self.terms).err();
        }
        if let Some(why) = refusal {
            let left = token.expires.since(shown).as_secs();
            let text = format!(
                "{who} refuses a token of k{}, {} s old and good for {left} s more: {why}",
                token.name,
                (now - token.born) / SECOND
            );
            state.broken(now, "1 no good token is refused", text);
        }
    }
}

/// A random replica that gets requests.
fn any_ready(state: &mut State, rng: &mut Rng, now: Ms) -> Option<usize> {
    let count = state.seats.len();
    let first = rng.index(count);
    (first..first + count).map(|seat| seat % count).find(|seat| {
        state.look(now, *seat);
        state.seats[*seat].is_ready(now)
    })
}

async fn sign(
    snapshot: &Snapshot,
    now: Timestamp,
    life: Duration,
    cap: Duration,
    provider: &dyn signet_api::KeyProvider,
) -> Option<String> {
    let signer = snapshot.signer.as_ref().ok()?;
    let template = Template::new(
        &Issuer::new(ISSUER),
        &[Audience::new("api")],
        Some("somebody"),
        life,
        cap,
    );
    let claims = RawValue::from_string("{}".to_owned()).ok()?;
    let request = SignRequest {
        claims: &claims,
        ttl: Some(life.as_secs()),
        typ: None,
    };
    let unsigned = template
        .mint(&request, &signer.headers, signer.longest_at(now), now, [7; 16])
        .ok()?;
    let signature = match &signer.signs {
        Signs::Here(key) => key.sign(unsigned.signing_input()).ok()?,
        Signs::Remote => {
            let kid = signer.public.kid();
            provider.sign(kid, unsigned.signing_input()).await.ok()?
        }
    };
    Some(unsigned.finish(signature.as_ref()))
}

fn verify(token: &str, snapshot: &Snapshot, now: Timestamp, terms: Terms) -> Result<(), String> {
    let authentic = authenticate(token, |kid| snapshot.published.get(kid)).map_err(|refusal| refusal.to_string())?;
    let require = Requirements {
        issuer: &Issuer::new(ISSUER),
        audience: &["api"],
        scope: None,
        typ: None,
        clock_skew: crate::sky::span(terms.skew),
    };
    authentic
        .verify(&require, now)
        .map(|_| ())
        .map_err(|refusal| refusal.to_string())
}
