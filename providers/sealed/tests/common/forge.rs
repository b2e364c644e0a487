//! Forged documents, written from the description of the format alone.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signet_sealed::{Context, Purpose, Sealer as _};

use super::TestSealer;

/// A forgery without the sealer: anything may change, but the MAC is still the old one.
pub(crate) fn without_sealer(bytes: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(bytes).expect("a document");
    edit(&mut document);
    serde_json::to_vec_pretty(&document).expect("writes")
}

/// A forgery with the ring key: a changed document with a valid MAC.
pub(crate) async fn with_ring_key(bytes: &[u8], sealer: &TestSealer, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(bytes).expect("a document");
    edit(&mut document);
    let ring = document["ring"].as_str().expect("a ring").to_owned();
    let wrapped = decode(&document["ring_key"]);
    let key = sealer
        .unwrap(&wrapped, &Context::new(&ring, Purpose::RingKey))
        .await
        .expect("the ring key");
    // Parsing has lost the white space of the body, so the MAC is computed over the body as it will be written.
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
