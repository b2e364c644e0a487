//! Public keys that no verifier should take, whoever offers them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_core::jwk::Jwk;
use signet_core::verify::authenticate;
use signet_core::{Algorithm, PublicKey};

use crate::forge::{b64, good, ours};

fn jwk(text: &str) -> Result<signet_core::VerifyingKey, String> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|error| error.to_string())?;
    jwk.verifying_key().map_err(|error| error.to_string())
}

fn rsa(n: &[u8], e: &[u8]) -> Result<signet_core::VerifyingKey, String> {
    jwk(&format!(
        r#"{{"kty":"RSA","alg":"RS256","n":"{}","e":"{}"}}"#,
        b64(n),
        b64(e)
    ))
}

#[test]
fn weak_and_broken_rsa_keys_are_refused() {
    let PublicKey::Rsa { n, .. } = ours("RS256").verifying_key().public() else {
        unreachable!("an RSA key")
    };
    assert!(rsa(n, &[1, 0, 1]).is_ok());
    let mut even = n.clone();
    even[255] &= 0xfe;
    let leading = [&[0], n.as_slice()].concat();
    let cases: [(&str, &[u8], &[u8]); 9] = [
        ("a modulus of 1024 bits", &n[..128], &[1, 0, 1]),
        ("a modulus of 2040 bits", &n[..255], &[1, 0, 1]),
        ("a modulus of 16384 bits", &n.repeat(8), &[1, 0, 1]),
        ("an even modulus", &even, &[1, 0, 1]),
        ("a leading zero", &leading, &[1, 0, 1]),
        ("no modulus", &[], &[1, 0, 1]),
        ("an exponent of 1, with which everybody signs", n, &[1]),
        ("an even exponent", n, &[2]),
        ("no exponent", n, &[]),
    ];
    for (name, n, e) in cases {
        assert!(rsa(n, e).is_err(), "{name}");
    }
}

#[test]
fn points_that_are_not_on_their_curve_are_refused() {
    let PublicKey::Ec { x, y, .. } = ours("ES256").verifying_key().public() else {
        unreachable!("an EC key")
    };
    let ec = |crv: &str, alg: &str, x: &[u8], y: &[u8]| {
        jwk(&format!(
            r#"{{"kty":"EC","crv":"{crv}","alg":"{alg}","x":"{}","y":"{}"}}"#,
            b64(x),
            b64(y)
        ))
    };
    assert!(ec("P-256", "ES256", x, y).is_ok());
    let p = URL_SAFE_NO_PAD
        .decode("_____wAAAAEAAAAAAAAAAAAAAAD_______________8")
        .expect("the prime of P-256");
    type Point<'a> = (&'a str, &'a str, &'a str, &'a [u8], &'a [u8]);
    let cases: [Point<'_>; 8] = [
        ("exchanged coordinates", "P-256", "ES256", y, x),
        ("the point at infinity", "P-256", "ES256", &[0; 32], &[0; 32]),
        ("a coordinate not below the prime", "P-256", "ES256", &p, y),
        ("a short coordinate", "P-256", "ES256", &x[1..], y),
        ("a long coordinate", "P-256", "ES256", &[&[0], x.as_slice()].concat(), y),
        ("another curve's name", "P-384", "ES384", x, y),
        ("another curve's algorithm", "P-256", "ES384", x, y),
        ("a curve that Signet does not know", "secp256k1", "ES256K", x, y),
    ];
    for (name, crv, alg, x, y) in cases {
        assert!(ec(crv, alg, x, y).is_err(), "{name}");
    }
}

#[test]
fn a_jwk_without_a_fitting_algorithm_is_refused() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert!(jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{x}"}}"#)).is_ok());
    assert!(jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","x":"{x}"}}"#)).is_ok());
    let refused = [
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"none","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"HS256","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"ES256","x":"{x}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"X25519","alg":"EdDSA","x":"{x}"}}"#),
        format!(r#"{{"kty":"EC","crv":"Ed25519","alg":"EdDSA","x":"{x}"}}"#),
        format!(r#"{{"kty":"oct","alg":"HS256","k":"{x}"}}"#),
    ];
    for text in refused {
        assert!(jwk(&text).is_err(), "{text}");
    }
}

#[test]
fn a_der_with_something_behind_it_or_cut_short_is_refused() {
    for algorithm in Algorithm::ALL {
        let der = ours(algorithm.as_str()).verifying_key().to_spki_der().expect("DER");
        assert!(PublicKey::from_spki_der(&der).is_ok());
        assert!(PublicKey::from_spki_der(&[&der[..], &[0]].concat()).is_err());
        for cut in 0..der.len() {
            assert!(
                PublicKey::from_spki_der(&der[..cut]).is_err(),
                "{algorithm} cut at {cut}"
            );
        }
    }
}

#[test]
fn what_a_key_signed_is_not_what_it_would_sign_by_another_algorithm() {
    let key = ours("RS256").verifying_key();
    let proof = authenticate(&good("RS256"), |_| Some(key)).expect("a good token");
    assert!(proof.is_signed_by(key));
    let now = key.public().for_algorithm(Algorithm::PS256).expect("an RSA key");
    assert_eq!(now.kid(), key.kid());
    assert!(!proof.is_signed_by(&now));
    assert!(!proof.is_signed_by(ours("RS384").verifying_key()));
}
