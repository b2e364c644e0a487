//! `ExternalJWTSigner`: signs the tokens of service accounts for the API server of Kubernetes.
//!
//! The claims are the API server's and are signed exactly as they arrive. What `/v1/sign` would set is therefore
//! checked here: the issuer is ours, and the token expires before its key leaves the JWKS.

use arc_swap::Guard;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_base::LogLimit;
use signet_core::json::Object;
use signet_core::{Timestamp, token};
use tonic::{Code, Status};

use crate::grpc::kubernetes::{FetchKeysResponse, Key, MetadataResponse, SignJwtResponse};
use crate::routes::Service;
use crate::settings::Kubernetes;
use crate::signing::NotSigned;
use crate::snapshot::{Signer, Snapshot};

/// Why nothing was signed: a code for the metrics, and the status for the API server.
struct Refusal(&'static str, Status);

fn refusal(word: &'static str, code: Code, detail: impl Into<String>) -> Refusal {
    Refusal(word, Status::new(code, detail))
}

fn too_large(whole: usize) -> Refusal {
    let detail = format!("the token would have {whole} bytes, which is too long for this key or for verifiers");
    refusal("too_large", Code::InvalidArgument, detail)
}

impl Service {
    /// Signs claims, which arrive in base64url as they will be in the token.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the claims must not be signed; `FAILED_PRECONDITION` if the active key is not
    /// suitable for Kubernetes or its tokens are too short-lived; `UNAVAILABLE` and `RESOURCE_EXHAUSTED` if
    /// nothing can be signed now.
    pub async fn kubernetes_sign(&self, claims: &str) -> Result<SignJwtResponse, Status> {
        match self.try_to_sign(claims).await {
            Ok(signed) => {
                self.metrics.signed.inc();
                Ok(signed)
            }
            Err(Refusal(word, status)) => {
                self.metrics.on_refused_to_sign(word);
                static LOGGED: LogLimit<&str> = LogLimit::new();
                if let Some(held_back) = LOGGED.may_log(word) {
                    tracing::warn!(
                        code = word,
                        held_back,
                        "a token for Kubernetes was not signed: {}",
                        status.message()
                    );
                }
                Err(status)
            }
        }
    }

    async fn try_to_sign(&self, claims: &str) -> Result<SignJwtResponse, Refusal> {
        let now = self.clock.now();
        let snapshot = Guard::into_inner(self.published.at(now));
        let signer = snapshot.signer.as_ref().map_err(|_| {
            let detail = "no key can sign now; /readyz on the admin listener says why";
            refusal("signing_unavailable", Code::Unavailable, detail)
        })?;
        let algorithm = signer.public.algorithm();
        if !Kubernetes::takes(algorithm) {
            let detail = format!(
                "the active key signs with {algorithm}, which Kubernetes does not accept; set SIGNET_ALGORITHM \
                     to RS256, ES256, ES384 or ES512 and wait for the next key"
            );
            return Err(refusal("signing_unavailable", Code::FailedPrecondition, detail));
        }
        self.check_claims(claims, signer, now)?;
        let (alg, kid) = (algorithm.as_str(), signer.public.kid());
        // Only these three members: the API server refuses a header with more.
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"JWT"}}"#));
        let message = format!("{header}.{claims}").into_bytes();
        let whole = message.len() + 1 + (signer.public.public().signature_len() * 4).div_ceil(3);
        if whole > token::LONGEST {
            return Err(too_large(whole));
        }
        let (_, signature) = self.signing.sign(signer, message).await.map_err(|why| match why {
            NotSigned::QueueFull(full) => refusal("overloaded", Code::ResourceExhausted, full.to_string()),
            NotSigned::TooLong { .. } => too_large(whole),
            NotSigned::Provider(error) => {
                // The provider's answer may name accounts and hosts, so it is only logged.
                let detail = format!(
                    "{} did not sign ({}); the log has the reason",
                    error.provider,
                    error.kind.as_str()
                );
                refusal("provider_unavailable", Code::Unavailable, detail)
            }
            NotSigned::Library(_) => refusal("internal", Code::Internal, "the cryptographic library failed"),
        })?;
        Ok(SignJwtResponse {
            header,
            signature: URL_SAFE_NO_PAD.encode(signature.as_ref()),
        })
    }

    fn check_claims(&self, claims: &str, signer: &Signer, now: Timestamp) -> Result<(), Refusal> {
        let invalid = |detail: String| refusal("invalid_claims", Code::InvalidArgument, detail);
        let text = URL_SAFE_NO_PAD.decode(claims).ok();
        let text = text
            .and_then(|octets| String::from_utf8(octets).ok())
            .ok_or_else(|| invalid("claims: must be UTF-8 text in base64url without padding".to_owned()))?;
        let claims = Object::parse(&text).map_err(|error| invalid(format!("claims: {error}")))?;
        let member = |name| claims.member(name).map(serde_json::value::RawValue::get);
        let issuer = member("iss").and_then(|text| serde_json::from_str::<String>(text).ok());
        if issuer.as_deref() != Some(self.issuer.as_str()) {
            let detail = format!(
                "claims: iss must be {}; set the first --service-account-issuer of the API server to this, or change \
                 SIGNET_ISSUER",
                self.issuer.as_str()
            );
            return Err(refusal("contradicting_claim", Code::InvalidArgument, detail));
        }
        let expires_at = member("exp").and_then(|text| serde_json::from_str::<u32>(text).ok());
        let expires_at =
            expires_at.ok_or_else(|| invalid("claims: exp must be a number of whole seconds".to_owned()))?;
        let expires_at = Timestamp::from_secs(expires_at.into());
        if expires_at > now.plus(signer.longest_at(now)) {
            let detail = format!(
                "claims: exp is {} s from now, but the active key may sign for at most {} s: that is \
                 SIGNET_TOKEN_MAX_TTL when the key was created, and less while the provider cannot \
                 be read",
                expires_at.since(now).as_secs(),
                signer.longest_at(now).as_secs()
            );
            return Err(refusal("invalid_ttl", Code::FailedPrecondition, detail));
        }
        Ok(())
    }

    /// The keys that a service account's token may name.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the known ring may be out of date. The API server then continues with the keys that it has.
    pub fn kubernetes_keys(&self, told: Kubernetes) -> Result<FetchKeysResponse, Status> {
        let snapshot = self.published.at(self.clock.now());
        let keys = keys(&snapshot);
        if snapshot.asleep.is_some() || keys.is_empty() {
            return Err(Status::new(
                Code::Unavailable,
                "the sidecar is reading the ring; try again in a second",
            ));
        }
        let read_at = snapshot.refreshed_at.as_millis();
        Ok(FetchKeysResponse {
            keys,
            data_timestamp: Some(prost_types::Timestamp {
                seconds: read_at.div_euclid(1000),
                nanos: i32::try_from(read_at.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
            }),
            refresh_hint_seconds: seconds(told.refresh_hint),
        })
    }
}

/// The keys for Kubernetes. Keys for other algorithms, as during a switch, are left out: the API server would refuse
/// all keys because of them.
fn keys(snapshot: &Snapshot) -> Vec<Key> {
    let taken = snapshot
        .published
        .values()
        .filter(|key| Kubernetes::takes(key.algorithm()));
    let mut keys: Vec<Key> = taken
        .filter_map(|key| {
            Some(Key {
                key_id: key.kid().as_str().to_owned(),
                key: key.to_spki_der().ok()?,
                exclude_from_oidc_discovery: false,
            })
        })
        .collect();
    keys.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    keys
}

/// The limits for tokens.
#[must_use]
pub fn metadata(told: Kubernetes) -> MetadataResponse {
    MetadataResponse {
        max_token_expiration_seconds: seconds(told.longest),
    }
}

fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
