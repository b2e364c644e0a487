//! The verdicts of the verifier, with keys that the test controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::json;
use signet_core::algorithm::RsaBits;
use signet_core::verify::{Authentic, Refusal, Unproven};
use signet_core::{Algorithm, Audience, Issuer, SigningKey, Timestamp, VerifyingKey};
use signet_verify::{Expectations, Identity, KeySource, Keys, NoKeys, NoVerdict, Terms, Verdict, Verifier};

const OURS: &str = "https://ours.example";
const THEIRS: &str = "https://theirs.example";
const NOW: Timestamp = Timestamp::from_secs(1_783_000_000);

#[derive(Debug)]
struct PublicKeys(Vec<VerifyingKey>);

impl Keys for PublicKeys {
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.kid().as_str() == token.kid())
    }

    fn have_signed(&self, token: &Authentic) -> bool {
        self.0.iter().any(|key| token.is_signed_by(key))
    }
}

/// Keys that the test can change, and a count of how often they were read.
#[derive(Debug)]
struct Held {
    keys: Mutex<Result<Vec<VerifyingKey>, NoKeys>>,
    asked: AtomicUsize,
    refused: Mutex<Vec<Refusal>>,
}

impl Held {
    fn new(keys: &[&SigningKey]) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::new(Ok(public(keys))),
            asked: AtomicUsize::new(0),
            refused: Mutex::default(),
        })
    }

    fn replace(&self, keys: Result<Vec<VerifyingKey>, NoKeys>) {
        *self.keys.lock() = keys;
    }

    fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut *self.refused.lock())
    }
}

impl KeySource for Held {
    fn keys_at(&self, _: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let keys = self.keys.lock().clone()?;
        Ok(Arc::new(PublicKeys(keys)))
    }

    fn on_refused(&self, refusal: Refusal) {
        self.refused.lock().push(refusal);
    }
}

fn public(keys: &[&SigningKey]) -> Vec<VerifyingKey> {
    keys.iter().map(|key| key.verifying_key().clone()).collect()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDSA, RsaBits::default()).expect("a key")
}

fn issuer(name: &str) -> Issuer {
    Issuer::new(name)
}

fn audiences(names: &[&str]) -> Vec<Audience> {
    names.iter().map(Audience::new).collect()
}

/// A token of this issuer for this audience. It expires five minutes after [`NOW`].
fn token(key: &SigningKey, of: &str, audience: &str) -> String {
    let header = json!({"alg": "EdDSA", "kid": key.verifying_key().kid().as_str(), "typ": "JWT"});
    let exp = NOW.as_millis() / 1000 + 300;
    let claims = json!({"iss": of, "aud": audience, "sub": "somebody", "scope": "read", "exp": exp});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let input = format!("{header}.{claims}");
    let signature = key.sign(input.as_bytes()).expect("signs");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn verifier(source: &Arc<Held>, ours: &[&str]) -> Verifier<()> {
    let terms = Terms::new(issuer(OURS), audiences(ours));
    let identity = Identity::new(Vec::new(), ',', 8192);
    let source: Arc<Held> = Arc::clone(source);
    Verifier::new(terms, source, Duration::from_secs(60), 100, identity.bound())
}

/// A verifier that also trusts the other issuer, for these audiences.
fn trusting(own: &Arc<Held>, other: &Arc<Held>, theirs: &[&str]) -> Verifier<()> {
    let mut verifier = verifier(own, &["api"]);
    let other: Arc<Held> = Arc::clone(other);
    verifier.trust(Terms::new(issuer(THEIRS), audiences(theirs)), other);
    verifier
}

fn for_audience<'a>(audience: &'a [&'a str]) -> Expectations<'a> {
    Expectations {
        audience,
        ..Expectations::default()
    }
}

/// A short name of a verdict.
fn word(verdict: &Verdict<()>) -> &'static str {
    match verdict {
        Verdict::Good(_) => "good",
        Verdict::Refused(refusal) => refusal.code(),
        Verdict::Undecided(NoVerdict::NoAudience) => "no audience",
        Verdict::Undecided(NoVerdict::NoKeys(NoKeys::Never)) => "no keys yet",
        Verdict::Undecided(NoVerdict::NoKeys(NoKeys::TooOld)) => "keys too old",
    }
}

#[test]
fn an_audience_is_always_required() {
    let key = key();
    let source = Held::new(&[&key]);
    let token = token(&key, OURS, "api");
    let nobody = verifier(&source, &[]);
    assert_eq!(word(&nobody.check(&token, &for_audience(&[]), NOW)), "no audience");
    assert_eq!(word(&nobody.check(&token, &for_audience(&["api"]), NOW)), "good");
    let configured = verifier(&source, &["api"]);
    assert_eq!(word(&configured.check(&token, &for_audience(&[]), NOW)), "good");
    assert_eq!(
        word(&configured.check(&token, &for_audience(&["other"]), NOW)),
        "wrong_audience"
    );
}

#[test]
fn a_remembered_token_is_refused_once_its_key_is_gone() {
    let (first, second) = (key(), key());
    let source = Held::new(&[&first]);
    let verifier = verifier(&source, &["api"]);
    let token = token(&first, OURS, "api");
    for _ in 0..2 {
        assert_eq!(word(&verifier.check(&token, &Expectations::default(), NOW)), "good");
    }
    assert_eq!(source.refusals(), []);
    source.replace(Ok(public(&[&second])));
    assert_eq!(
        word(&verifier.check(&token, &Expectations::default(), NOW)),
        "unknown_key"
    );
    assert_eq!(source.refusals(), [Refusal::UnknownKey]);
}

#[test]
fn a_remembered_token_is_judged_anew_each_time() {
    let key = key();
    let source = Held::new(&[&key]);
    let verifier = verifier(&source, &["api"]);
    let token = token(&key, OURS, "api");
    assert_eq!(word(&verifier.check(&token, &Expectations::default(), NOW)), "good");
    let scoped = Expectations {
        scope: Some("write"),
        ..Expectations::default()
    };
    assert_eq!(word(&verifier.check(&token, &scoped, NOW)), "insufficient_scope");
    let late = NOW.plus(Duration::from_secs(300 + 60));
    assert_eq!(word(&verifier.check(&token, &Expectations::default(), late)), "expired");
}

#[test]
fn the_keys_of_one_issuer_never_speak_for_another() {
    let (ours, theirs) = (key(), key());
    let (own, other) = (Held::new(&[&ours]), Held::new(&[&theirs]));
    let verifier = trusting(&own, &other, &["api"]);
    for (signed_by, of, expected) in [
        (&ours, OURS, "good"),
        (&theirs, THEIRS, "good"),
        (&theirs, OURS, "unknown_key"),
        (&ours, THEIRS, "unknown_key"),
        (&ours, "https://nobody.example", "wrong_issuer"),
        (&theirs, "https://nobody.example", "unknown_key"),
    ] {
        let token = token(signed_by, of, "api");
        for time in ["unseen", "seen"] {
            let verdict = verifier.check(&token, &Expectations::default(), NOW);
            assert_eq!(word(&verdict), expected, "{of}, {time}");
        }
    }
}

#[test]
fn another_issuer_speaks_for_its_own_audiences_alone() {
    let (ours, theirs) = (key(), key());
    let (own, other) = (Held::new(&[&ours]), Held::new(&[&theirs]));
    let verifier = trusting(&own, &other, &["partners"]);
    let outside = token(&theirs, THEIRS, "api");
    assert_eq!(
        word(&verifier.check(&outside, &for_audience(&["api"]), NOW)),
        "wrong_audience"
    );
    let agreed = token(&theirs, THEIRS, "partners");
    assert_eq!(
        word(&verifier.check(&agreed, &for_audience(&["partners"]), NOW)),
        "good"
    );
    assert_eq!(word(&verifier.check(&agreed, &for_audience(&[]), NOW)), "good");
    let only_ours = Expectations {
        issuer: &[OURS],
        ..Expectations::default()
    };
    assert_eq!(word(&verifier.check(&agreed, &only_ours, NOW)), "wrong_issuer");
}

#[test]
fn without_keys_there_is_no_verdict_for_seen_and_unseen_tokens() {
    let key = key();
    let source = Held::new(&[&key]);
    let verifier = verifier(&source, &["api"]);
    let (seen, unseen) = (token(&key, OURS, "api"), token(&key, OURS, "other"));
    assert_eq!(word(&verifier.check(&seen, &Expectations::default(), NOW)), "good");
    for (why, expected) in [(NoKeys::Never, "no keys yet"), (NoKeys::TooOld, "keys too old")] {
        source.replace(Err(why));
        for token in [&seen, &unseen] {
            assert_eq!(word(&verifier.check(token, &Expectations::default(), NOW)), expected);
        }
    }
}

#[test]
fn each_check_asks_one_source_once() {
    let (ours, theirs) = (key(), key());
    let (own, other) = (Held::new(&[&ours]), Held::new(&[&theirs]));
    let verifier = trusting(&own, &other, &["api"]);
    let token = token(&theirs, THEIRS, "api");
    for count in 1..=3 {
        assert_eq!(word(&verifier.check(&token, &Expectations::default(), NOW)), "good");
        assert_eq!(other.asked.load(Ordering::Relaxed), count);
    }
    assert_eq!(own.asked.load(Ordering::Relaxed), 0);
}
