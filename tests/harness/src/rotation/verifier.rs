//! A verifier like those in services: it keeps the JWKS for its time, does not fetch it again for an unknown kid, and
//! knows nothing about Signet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use crate::http::Connection;
use crate::{AUDIENCE, ISSUER, time};

/// How long it keeps a JWKS.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// As long as `max-age` says.
    AsTold,
    /// This long, whatever `max-age` says.
    For(Duration),
}

pub struct Verifier {
    address: SocketAddr,
    keep: Keep,
    keys: HashMap<String, (Algorithm, DecodingKey)>,
    fresh_until: Instant,
    pub fetches: u64,
}

impl Verifier {
    /// Makes a verifier. `wait` separates its fetches from those of others.
    pub fn new(address: SocketAddr, keep: Keep, wait: Duration) -> Self {
        let mut verifier = Self {
            address,
            keep,
            keys: HashMap::new(),
            fresh_until: time::instant(),
            fetches: 0,
        };
        verifier.fetch();
        verifier.fresh_until = time::instant() + wait;
        verifier
    }

    fn fetch(&mut self) {
        let mut connection = Connection::tcp(self.address).expect("the JWKS is served");
        let asked = time::instant();
        let answer = connection.get("/.well-known/jwks.json").expect("an answer");
        let life = match self.keep {
            Keep::For(life) => life,
            Keep::AsTold => max_age(answer.header("cache-control").expect("Cache-Control")),
        };
        let set: JwkSet = serde_json::from_slice(&answer.body).expect("a JWKS");
        self.keys = set
            .keys
            .iter()
            .map(|jwk| {
                let kid = jwk.common.key_id.clone().expect("kid");
                let algorithm = jwk.common.key_algorithm.expect("alg").to_string();
                let algorithm = algorithm.parse().expect("a signature algorithm");
                (kid, (algorithm, DecodingKey::from_jwk(jwk).expect("a key")))
            })
            .collect();
        self.fresh_until = asked + life;
        self.fetches += 1;
    }

    /// Verifies like a service: signature, issuer, audience and expiry, without any leeway.
    pub fn verify(&mut self, token: &str, kid: &str) -> Result<(), String> {
        if time::instant() >= self.fresh_until {
            self.fetch();
        }
        let (algorithm, key) = self
            .keys
            .get(kid)
            .ok_or_else(|| format!("the key is not in a JWKS kept {:?}", self.keep))?;
        let mut rules = Validation::new(*algorithm);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        decode::<Value>(token, key, &rules)
            .map(|_| ())
            .map_err(|error| format!("{error}, kept {:?}", self.keep))
    }
}

/// The seconds of `max-age`.
pub fn max_age(cache_control: &str) -> Duration {
    let age = cache_control.split(", ").find_map(|part| part.strip_prefix("max-age="));
    Duration::from_secs(age.and_then(|age| age.parse().ok()).expect("max-age"))
}
