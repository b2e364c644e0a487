//! What the sidecar keeps with each good token: the answers that it leads to, each encoded once.

mod metadata;

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use signet_core::verify::Authentic;
use signet_verify::Kept;

use metadata::as_struct;

/// Claims whose metadata is longer than so many times the claims are not kept as metadata.
const MOST_METADATA: usize = 2;

/// The answers about one token.
#[derive(Debug, Default)]
pub struct Answers {
    active: OnceLock<Bytes>,
    metadata: OnceLock<Option<Bytes>>,
}

impl Answers {
    /// The answer of `POST /v1/verify` when the token is good.
    pub fn active(&self, proof: &Authentic) -> &Bytes {
        self.active.get_or_init(|| {
            // Other issuers' kids may be any text.
            let (claims, kid) = (proof.payload(), Value::from(proof.kid().as_str()).to_string());
            // In one piece of its own size, as it is kept.
            [r#"{"active":true,"claims":"#, claims, r#","kid":"#, &kid, "}"]
                .concat()
                .into()
        })
    }

    /// The claims as Envoy's dynamic metadata, a `google.protobuf.Struct`, encoded.
    pub fn metadata(&self, proof: &Authentic) -> Bytes {
        let payload = proof.payload();
        let kept = self.metadata.get_or_init(|| {
            let made = metadata(payload);
            // Claims of many small numbers grow to several times their length: they are made anew each time.
            (made.len() <= MOST_METADATA * payload.len()).then_some(made)
        });
        kept.clone().unwrap_or_else(|| metadata(payload))
    }
}

impl Kept for Answers {
    fn octets(proof: &Authentic) -> usize {
        let (payload, kid) = (proof.payload().len(), proof.kid().as_str().len());
        // Each octet of a kid may be an escape of six in JSON.
        let active = payload + 6 * kid + 64;
        active + MOST_METADATA * payload
    }
}

fn metadata(payload: &str) -> Bytes {
    // An object of JSON was proven, so there is always one.
    let claims = serde_json::from_str(payload).unwrap_or_default();
    as_struct(&claims).encode_to_vec().into()
}
