//! Encoded answers that the sidecar stores with each good token.

mod metadata;

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use signet_core::verify::Authentic;
use signet_verify::Kept;

use metadata::as_struct;

/// Metadata that is longer than this many times the claims is not stored.
const MOST_METADATA: usize = 2;

/// The encoded answers for one token.
#[derive(Debug, Default)]
pub struct Answers {
    active: OnceLock<Bytes>,
    metadata: OnceLock<Option<Bytes>>,
}

impl Answers {
    /// The answer of `POST /v1/verify` for a good token.
    pub fn active(&self, proof: &Authentic) -> &Bytes {
        self.active.get_or_init(|| {
            // The kid of another issuer may be any text, so it is escaped.
            let (claims, kid) = (proof.payload(), Value::from(proof.kid().as_str()).to_string());
            // Concatenated at once, to store an allocation of the exact size.
            [r#"{"active":true,"claims":"#, claims, r#","kid":"#, &kid, "}"]
                .concat()
                .into()
        })
    }

    /// The claims as Envoy's dynamic metadata, an encoded `google.protobuf.Struct`.
    pub fn metadata(&self, proof: &Authentic) -> Bytes {
        let payload = proof.payload();
        let kept = self.metadata.get_or_init(|| {
            let made = metadata(payload);
            // Claims with many small numbers grow to several times their length. Their metadata is
            // encoded for each request.
            (made.len() <= MOST_METADATA * payload.len()).then_some(made)
        });
        kept.clone().unwrap_or_else(|| metadata(payload))
    }
}

impl Kept for Answers {
    fn octets(proof: &Authentic) -> usize {
        let (payload, kid) = (proof.payload().len(), proof.kid().as_str().len());
        // JSON may need six bytes to escape each byte of the kid.
        let active = payload + 6 * kid + 64;
        active + MOST_METADATA * payload
    }
}

fn metadata(payload: &str) -> Bytes {
    // The token was verified, so its payload is a JSON object.
    let claims = serde_json::from_str(payload).unwrap_or_default();
    as_struct(&claims).encode_to_vec().into()
}
