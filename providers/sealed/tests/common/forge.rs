//! Documents made by other hands, from the description of the format alone.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signet_sealed::{Context, Purpose, Sealer as _};

use super::TestSealer;

/// What somebody can do who has the store and not the sealer: change anything, and keep the code that was there.
pub(crate) fn without_sealer(bytes: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(bytes).expect("a document");
    edit(&mut document);
    serde_json::to_vec_pretty(&document).expect("writes")
}

/// What somebody can do who has the ring key: a valid code over a changed document.
pub(crate) async fn with_ring_key(bytes: &[u8], sealer: &TestSealer, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(bytes).expect("a document");
    edit(&mut document);
    let ring = document["ring"].as_str().expect("a ring").to_owned();
    let wrapped = decode(&document["ring_key"]);
    let key = sealer
        .unwrap(&wrapped, &Context::new(&ring, Purpose::RingKey))
        .await
        .expect("the ring key");
    // A `Value` has lost the body's white space: what is authenticated is the body as it will be written.
    let body = serde_json::to_string(&document["body"]).expect("writes");
    let generation = document["generation"].as_u64().expect("a number");
    let mut message = Vec::new();
    for part in [
        b"signet-ring/1".as_slice(),
        ring.as_bytes(),
        &generation.to_be_bytes(),
        &wrapped,
        body.as_bytes(),
    ] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
    document["mac"] = STANDARD.encode(mac.as_ref()).into();
    serde_json::to_vec(&document).expect("writes")
}

pub(crate) fn decode(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().expect("a string")).expect("base64")
}

pub(crate) fn encode(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}
