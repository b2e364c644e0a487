//! Tools for the attacks: keys with their private halves, and tokens with any header, claims and signature.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_core::algorithm::RsaBits;
use signet_core::verify::{Requirements, authenticate};
use signet_core::{Algorithm, Issuer, SigningKey, Timestamp, VerifyingKey};

/// The time at which every token is judged, in seconds.
pub(crate) const NOW: i64 = 1_750_000_000;
/// The configured clock skew, in seconds.
pub(crate) const SKEW: i64 = 60;
pub(crate) const ISSUER: &str = "https://issuer.example";
/// The expectation for a case that turns out to be valid.
pub(crate) const ACCEPTED: &str = "accepted";

/// One key of each algorithm: the ring under attack.
static RING: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    let generate = |algorithm| SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
    Algorithm::ALL.into_iter().map(generate).collect()
});

/// Another key of each algorithm, which is in no ring.
static ATTACKER: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    let generate = |algorithm| SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
    [Algorithm::ES256, Algorithm::RS256].into_iter().map(generate).collect()
});

fn of<'a>(keys: &'a [SigningKey], algorithm: &str) -> &'a SigningKey {
    let key = keys
        .iter()
        .find(|key| key.verifying_key().algorithm().as_str() == algorithm);
    key.expect("a key of this algorithm")
}

/// The ring's key of this algorithm.
pub(crate) fn ours(algorithm: &str) -> &'static SigningKey {
    of(&RING, algorithm)
}

/// The attacker's key of this algorithm.
pub(crate) fn theirs(algorithm: &str) -> &'static SigningKey {
    of(&ATTACKER, algorithm)
}

pub(crate) fn kid(algorithm: &str) -> &'static str {
    ours(algorithm).verifying_key().kid().as_str()
}

pub(crate) fn b64(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The header that Signet itself writes for this key.
pub(crate) fn header(algorithm: &str) -> String {
    format!(r#"{{"alg":"{algorithm}","kid":"{}","typ":"JWT"}}"#, kid(algorithm))
}

/// Claims that are good now, except for these changes. Each change replaces the claim of that name or adds it.
pub(crate) fn claims(changes: &[(&str, &str)]) -> String {
    let (exp, iat) = ((NOW + 300).to_string(), NOW.to_string());
    let iss = format!("\"{ISSUER}\"");
    let mut members = vec![
        ("iss", iss.as_str()),
        ("sub", "\"alice\""),
        ("aud", "\"api\""),
        ("iat", &iat),
        ("exp", &exp),
        ("scope", "\"read write\""),
    ];
    for (name, value) in changes {
        members.retain(|(member, _)| member != name);
        if !value.is_empty() {
            members.push((name, value));
        }
    }
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Signs the header and payload, and appends the signature.
pub(crate) fn sealed(signing_input: &str, key: &SigningKey) -> String {
    let signature = key.sign(signing_input.as_bytes()).expect("a signature");
    format!("{signing_input}.{}", b64(signature))
}

/// A token of any header and any payload, properly signed.
pub(crate) fn signed(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, key: &SigningKey) -> String {
    sealed(&format!("{}.{}", b64(header), b64(payload)), key)
}

/// Good claims under any header, properly signed by the ring's key of this algorithm.
pub(crate) fn with_header(header: &str, algorithm: &str) -> String {
    signed(header, claims(&[]), ours(algorithm))
}

/// Any payload under a good ES256 header, properly signed.
pub(crate) fn with_payload(payload: impl AsRef<[u8]>) -> String {
    signed(header("ES256"), payload, ours("ES256"))
}

/// An ES256 token that is good except for these claims.
pub(crate) fn with_claims(changes: &[(&str, &str)]) -> String {
    with_payload(claims(changes))
}

/// A token without any fault.
pub(crate) fn good(algorithm: &str) -> String {
    with_header(&header(algorithm), algorithm)
}

/// A good token's signing input and its signature.
pub(crate) fn good_parts(algorithm: &str) -> (String, Vec<u8>) {
    let token = good(algorithm);
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    (
        input.to_owned(),
        URL_SAFE_NO_PAD.decode(signature).expect("our own base64url"),
    )
}

/// What the verifier requires besides the issuer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ask {
    pub(crate) scope: Option<&'static str>,
    pub(crate) typ: Option<&'static str>,
}

/// A token and the expected verdict.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) token: String,
    pub(crate) expect: &'static str,
    pub(crate) ask: Ask,
}

pub(crate) fn case(name: &'static str, token: impl Into<String>, expect: &'static str) -> Case {
    let (token, ask) = (token.into(), Ask::default());
    Case {
        name,
        token,
        expect,
        ask,
    }
}

impl Case {
    pub(crate) fn scope(mut self, scope: &'static str) -> Self {
        self.ask.scope = Some(scope);
        self
    }

    pub(crate) fn typ(mut self, typ: &'static str) -> Self {
        self.ask.typ = Some(typ);
        self
    }

    /// The code of the refusal, or [`ACCEPTED`].
    pub(crate) fn judge(&self) -> &'static str {
        judge_for(&self.token, self.ask)
    }
}

pub(crate) fn judge(token: &str) -> &'static str {
    judge_for(token, Ask::default())
}

fn judge_for(token: &str, ask: Ask) -> &'static str {
    let require = Requirements {
        issuer: &Issuer::new(ISSUER),
        audience: &["api"],
        scope: ask.scope,
        typ: ask.typ,
        clock_skew: Duration::from_secs(SKEW.unsigned_abs()),
    };
    let authentic = authenticate(token, ring_key);
    let verdict = authentic.and_then(|token| token.verify(&require, Timestamp::from_secs(NOW)).map(|_| ()));
    verdict.map_or_else(|refusal| refusal.code(), |()| ACCEPTED)
}

fn ring_key(kid: &str) -> Option<&'static VerifyingKey> {
    let mut keys = RING.iter().map(SigningKey::verifying_key);
    keys.find(|key| key.kid().as_str() == kid)
}
