//! Checks against other libraries: jsonwebtoken reads our JWKS and verifies our tokens, the `rsa` crate verifies our
//! RSA signatures, and we verify theirs.

use std::time::Duration;

use jsonwebtoken::jwk::{KeyAlgorithm, ThumbprintHash};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation, decode};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;
use rsa::{pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};
use signet_core::algorithm::RsaBits;
use signet_core::jwk::{Jwk, JwkSet};
use signet_core::mint::{Headers, SignRequest, Template};
use signet_core::verify::{Requirements, authenticate};
use signet_core::{Algorithm, Issuer, PublicKey, SigningKey, Timestamp};

/// A time far in the future. The other library uses the system's clock and must find the token unexpired.
const NOW: i64 = 4_102_444_800;
const ISSUER: &str = "https://issuer.example";

fn ring() -> Vec<SigningKey> {
    let generate = |algorithm| SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
    Algorithm::ALL.into_iter().map(generate).collect()
}

fn jwks(keys: &[SigningKey]) -> String {
    let keys = keys.iter().map(|key| Jwk::from(key.verifying_key())).collect();
    serde_json::to_string(&JwkSet { keys }).expect("JSON")
}

fn token(key: &SigningKey) -> String {
    let hour = Duration::from_secs(3600);
    let template = Template::new(&Issuer::new(ISSUER), &[], None, hour, hour);
    let request: SignRequest<'_> =
        serde_json::from_str(r#"{"claims":{"sub":"alice","aud":"api","n":1.50}}"#).expect("a request");
    let headers = Headers::new(key.verifying_key());
    let unsigned = template.mint(&request, &headers, hour, Timestamp::from_secs(NOW), [7; 16]);
    let unsigned = unsigned.expect("minted");
    let signature = key.sign(unsigned.signing_input()).expect("a signature");
    unsigned.finish(signature.as_ref())
}

/// The algorithm in jsonwebtoken, which has no P-521.
fn theirs(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    algorithm.as_str().parse().ok()
}

#[test]
fn jsonwebtoken_reads_our_jwks_and_verifies_our_tokens() {
    let ring = ring();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&jwks(&ring)).expect("a JWKS for them as well");
    assert_eq!(set.keys.len(), ring.len());
    let mut verified = 0;
    for key in &ring {
        let ours = key.verifying_key();
        let jwk = set.find(ours.kid().as_str()).expect("found by its kid");
        assert_eq!(
            jwk.thumbprint(ThumbprintHash::SHA256).expect("a thumbprint"),
            ours.kid().as_str()
        );
        assert_eq!(
            jwk.common.public_key_use,
            Some(jsonwebtoken::jwk::PublicKeyUse::Signature)
        );
        let Some(algorithm) = theirs(ours.algorithm()) else {
            assert_eq!(ours.algorithm(), Algorithm::ES512);
            assert_eq!(jwk.common.key_algorithm, Some(KeyAlgorithm::UNKNOWN_ALGORITHM));
            continue;
        };
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["api"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoding = DecodingKey::from_jwk(jwk).expect("a key");
        let decoded = decode::<serde_json::Value>(token(key), &decoding, &validation).expect("verified");
        assert_eq!(decoded.header.kid.as_deref(), Some(ours.kid().as_str()));
        assert_eq!(decoded.claims["sub"], "alice");
        assert_eq!(decoded.claims["exp"], NOW + 3600);
        let mut forged = token(key);
        forged.replace_range(forged.len() - 8..forged.len() - 4, "AAAA");
        assert!(
            decode::<serde_json::Value>(forged, &decoding, &validation).is_err(),
            "they do look"
        );
        verified += 1;
    }
    assert_eq!(verified, 9);
}

#[test]
fn we_verify_the_tokens_of_jsonwebtoken() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let key = SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
        let pkcs8 = key.to_pkcs8().expect("PKCS#8");
        let encoding = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&pkcs8),
            _ => EncodingKey::from_ec_der(&pkcs8),
        };
        let mut header = jsonwebtoken::Header::new(theirs(algorithm).expect("known"));
        header.kid = Some(key.verifying_key().kid().to_string());
        let claims = serde_json::json!({"iss": ISSUER, "aud": ["api"], "exp": NOW + 60});
        let token = jsonwebtoken::encode(&header, &claims, &encoding).expect("signed");
        let known = |kid: &str| (kid == key.verifying_key().kid().as_str()).then(|| key.verifying_key());
        let authentic = authenticate(&token, known).expect("authentic");
        let require = Requirements {
            issuer: &Issuer::new(ISSUER),
            audience: &["api"],
            scope: None,
            typ: None,
            clock_skew: Duration::ZERO,
        };
        assert!(
            authentic.verify(&require, Timestamp::from_secs(NOW)).is_ok(),
            "{algorithm}"
        );
    }
}

/// Whether the `rsa` crate accepts a PKCS#1 signature, or a PSS signature with a salt as long as the hash.
fn rsa_verdict(algorithm: Algorithm, key: rsa::PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let pkcs1 = pkcs1v15::Signature::try_from(signature).expect("octets");
    let pss = pss::Signature::try_from(signature).expect("octets");
    match algorithm {
        Algorithm::RS256 => pkcs1v15::VerifyingKey::<Sha256>::new(key)
            .verify(message, &pkcs1)
            .is_ok(),
        Algorithm::RS384 => pkcs1v15::VerifyingKey::<Sha384>::new(key)
            .verify(message, &pkcs1)
            .is_ok(),
        Algorithm::RS512 => pkcs1v15::VerifyingKey::<Sha512>::new(key)
            .verify(message, &pkcs1)
            .is_ok(),
        Algorithm::PS256 => pss_verdict::<Sha256>(key, 32, message, &pss),
        Algorithm::PS384 => pss_verdict::<Sha384>(key, 48, message, &pss),
        Algorithm::PS512 => pss_verdict::<Sha512>(key, 64, message, &pss),
        _ => unreachable!("not an RSA algorithm"),
    }
}

fn pss_verdict<D: sha2::Digest + sha2::digest::FixedOutputReset>(
    key: rsa::PublicKey,
    salt: usize,
    message: &[u8],
    signature: &pss::Signature,
) -> bool {
    for other in [0, salt - 1, salt + 1] {
        let key = pss::VerifyingKey::<D>::new_with_salt_len(key.clone(), other);
        assert!(key.verify(message, signature).is_err(), "a salt of {other} octets");
    }
    let key = pss::VerifyingKey::<D>::new_with_salt_len(key, salt);
    key.verify(message, signature).is_ok()
}

#[test]
fn the_rsa_crate_verifies_every_rsa_signature() {
    let rsa: Vec<SigningKey> = ring()
        .into_iter()
        .filter(|key| matches!(key.verifying_key().public(), PublicKey::Rsa { .. }))
        .collect();
    assert_eq!(rsa.len(), 6);
    for key in rsa {
        let algorithm = key.verifying_key().algorithm();
        // The other library must also be able to read our `SubjectPublicKeyInfo`.
        let der = key.verifying_key().to_spki_der().expect("DER");
        let theirs = rsa::PublicKey::from_public_key_der(&der).expect("an SPKI for them as well");
        for message in [&b""[..], b"message", &[0xa5; 10_000]] {
            let signature = key.sign(message).expect("a signature");
            assert_eq!(signature.as_ref().len(), 256);
            assert!(
                rsa_verdict(algorithm, theirs.clone(), message, signature.as_ref()),
                "{algorithm}"
            );
            let mut changed = signature.as_ref().to_vec();
            changed[200] ^= 4;
            assert!(
                !rsa_verdict(algorithm, theirs.clone(), message, &changed),
                "{algorithm}"
            );
        }
    }
}

/// Coordinates have the full 66 bytes, including leading zeros, which encoders often drop (RFC 7518 §6.2.1).
#[test]
fn jwks_of_es512_have_the_right_form() {
    for _ in 0..64 {
        let key = SigningKey::generate(Algorithm::ES512, RsaBits::B2048).expect("a key");
        let json = serde_json::to_value(Jwk::from(key.verifying_key())).expect("JSON");
        let members: Vec<&str> = json
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        let mut sorted = members.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!(json["kty"], "EC");
        assert_eq!(json["crv"], "P-521");
        assert_eq!(json["alg"], "ES512");
        assert_eq!(json["use"], "sig");
        assert_eq!(json["kid"].as_str().map(str::len), Some(43));
        for coordinate in ["x", "y"] {
            let text = json[coordinate].as_str().expect("a string");
            assert_eq!(text.len(), 88, "66 octets");
            // The first byte of a 521-bit number is 0 or 1.
            assert!(text.starts_with('A'), "{text}");
        }
        let signature = key.sign(b"message").expect("a signature");
        assert_eq!(signature.as_ref().len(), 132);
        assert!(key.verifying_key().verifies(b"message", signature.as_ref()));
    }
}

/// Our JWKs have no private member, for any algorithm.
#[test]
fn a_jwks_holds_public_members_only() {
    let text = jwks(&ring());
    let set: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for key in set["keys"].as_array().expect("an array") {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
}
