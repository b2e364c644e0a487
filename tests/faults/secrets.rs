//! No log contains private keys or tokens, whatever happens, even at level `trace`.
//!
//! The harness scans every test's log for the beginnings of tokens and keys. These tests search for the keys
//! themselves, in every form in which bytes are printed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use signet_base::SystemClock;
use signet_core::Kid;
use signet_local::LocalConfig;

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, Spec, kids, log};

#[test]
fn the_scan_of_logs_finds_what_it_looks_for() {
    let token = r#"{"message":"got eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}"#;
    assert_eq!(log::leaks(token, &[]).len(), 1);
    // A claim may be in any script, and a line may end anywhere.
    assert_eq!(log::leaks("eyJzdWIiOiLDvMO8w7zDvCJ9", &[]).len(), 1);
    assert_eq!(log::leaks("eyJhbGci", &[]).len(), 1);
    // A kid may end like the beginning of a token.
    assert_eq!(log::leaks(r#"{"kid":"Xk3eyJhbGci"}"#, &[]), Vec::<String>::new());
    // Parts of DER signatures, as a cloud's client prints them.
    for part in [
        "eyJE9WXUeVeReG32cg4mLjpG9izjm8X6b73Y0bmAIgJcLpqiUdUE6/45AdQM",
        "eyJUXe4ePEQAClyhniVYx1xvNkpnaxAIhAKjh2tWQCZqXvaXzB4SLyGamkCD",
        "eyJhbG/ci",
    ] {
        assert_eq!(log::leaks(part, &[]), Vec::<String>::new());
    }
    assert_eq!(log::leaks("a key: -----BEGIN PRIVATE KEY-----", &[]).len(), 1);
    assert_eq!(
        log::leaks("pkcs8=MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg", &[]).len(),
        1
    );
    assert_eq!(log::leaks("the signature abcdef", &["abcdef".to_owned()]).len(), 1);
    assert_eq!(
        log::leaks(r#"{"message":"signet is serving"}"#, &["abcdef".to_owned()]),
        Vec::<String>::new()
    );
}

/// The bytes as people and programs print them. A part is enough: the longest one that is in no public value.
fn spellings(octets: &[u8]) -> Vec<String> {
    let decimal = |separator: &str| octets.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    vec![
        STANDARD.encode(octets),
        URL_SAFE_NO_PAD.encode(octets),
        hex.to_uppercase(),
        hex,
        decimal(", "),
        decimal(","),
    ]
}

/// The secret bytes of a PKCS#8 document: the scalar of an EC key, the seed of Ed25519, or the first prime of RSA.
fn secret_part(algorithm: &str, pkcs8: &[u8]) -> Vec<u8> {
    match algorithm {
        "ES256" => pkcs8[36..68].to_vec(),
        "EdDSA" => pkcs8[16..48].to_vec(),
        // After the modulus and the exponents of 2048 bits.
        _ => pkcs8[600..664].to_vec(),
    }
}

async fn pkcs8_of_every_key(home: &Home, kids: &[String]) -> Vec<Vec<u8>> {
    let config = LocalConfig {
        data_dir: home.data(),
        key_file: None,
        ring_file: None,
        ring: "signet".to_owned(),
    };
    let provider = signet_local::open(config, Arc::new(SystemClock))
        .await
        .expect("the ring opens");
    let mut all = Vec::new();
    for kid in kids {
        let key = provider
            .unseal(&Kid::new(kid.as_str()))
            .await
            .expect("unsealed")
            .expect("sealed custody");
        all.push(key.to_pkcs8().expect("PKCS#8").to_vec());
    }
    all
}

#[tokio::test]
async fn no_log_holds_a_private_key_whatever_happens() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let home = Home::new();
        let spec = Spec::new(&home).set("SIGNET_ALGORITHM", algorithm);
        let sidecar = spec.start();
        let signed = sidecar.sign_for("client");
        sidecar.verify(&signed.token);
        sidecar.verify(&format!("{}x", signed.token));
        sidecar.post("/v1/sign", &json!({ "claims": { "token": signed.token } }));
        let bearer = format!("Bearer {}", signed.token);
        let headers = [("authorization", bearer.as_str())];
        let path = format!("/v1/authorize?audience={AUDIENCE}&scope=admin");
        sidecar
            .socket()
            .request("GET", &path, &headers, None)
            .expect("an answer");
        let rotated = spec.run(&["keys", "rotate"]);
        assert_eq!(rotated.code, 0, "{}", rotated.stderr);
        sidecar.hang_up();
        wait_for("the next key", PATIENCE, || {
            (kids(&sidecar.ring()).len() == 2).then_some(())
        });
        let keys = pkcs8_of_every_key(&home, &kids(&sidecar.ring())).await;

        let revoked = spec.run(&["keys", "revoke", &signed.kid]);
        std::fs::rename(home.ring_file(), home.path("ring")).expect("away");
        sidecar.hang_up();
        wait_for("a failure", PATIENCE, || {
            (!sidecar.logged("the last good ring").is_empty()).then_some(())
        });
        let refused = spec.run(&["keys", "list"]);
        let logs = [sidecar.log_text(), rotated.stderr, revoked.stderr, refused.stderr].concat();
        assert!(
            logs.contains("\"TRACE\"") || logs.contains("\"DEBUG\""),
            "the log is at its most talkative"
        );
        for pkcs8 in keys {
            for secret in spellings(&secret_part(algorithm, &pkcs8))
                .into_iter()
                .chain(spellings(&pkcs8))
            {
                assert!(!logs.contains(&secret), "{algorithm}: a private key is in a log");
            }
        }
    }
}
