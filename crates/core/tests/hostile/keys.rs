//! Public keys that no verifier should accept from anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity as _;
use num_bigint::BigUint;
use signet_core::algorithm::RsaBits;
use signet_core::jwk::Jwk;
use signet_core::verify::authenticate;
use signet_core::{Algorithm, PublicKey, SigningKey};

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
    // RFC 7518 §2 forbids leading zeros. With them the number is the same, and they do not count
    // towards the minimum length.
    let leading = [&[0, 0], n.as_slice()].concat();
    assert!(rsa(&leading, &[0, 1, 0, 1]).is_ok());
    let short_with_zeros = [&[0; 16], &n[..240]].concat();
    let thrice = times(n, 3);
    let cases: [(&str, &[u8], &[u8]); 12] = [
        ("a modulus of 1024 bits", &n[..128], &[1, 0, 1]),
        ("a modulus of 2040 bits", &n[..255], &[1, 0, 1]),
        ("a modulus of 16384 bits", &n.repeat(8), &[1, 0, 1]),
        ("an even modulus", &even, &[1, 0, 1]),
        ("a short modulus with zeros before it", &short_with_zeros, &[1, 0, 1]),
        ("a modulus that three divides", &thrice, &[1, 0, 1]),
        ("a modulus of zeros", &[0; 256], &[1, 0, 1]),
        ("an exponent of zeros", n, &[0, 0]),
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
        ("a coordinate cut short", "P-256", "ES256", &x[..31], y),
        ("a long coordinate", "P-256", "ES256", &[&[1], x.as_slice()].concat(), y),
        ("another curve's name", "P-384", "ES384", x, y),
        ("another curve's algorithm", "P-256", "ES384", x, y),
        ("a curve that Signet does not know", "secp256k1", "ES256K", x, y),
    ];
    for (name, crv, alg, x, y) in cases {
        assert!(ec(crv, alg, x, y).is_err(), "{name}");
    }
}

/// Multiplies a big-endian number by a small one.
fn times(number: &[u8], factor: u32) -> Vec<u8> {
    let mut carry = 0;
    let mut product: Vec<u8> = Vec::new();
    for octet in number.iter().rev() {
        carry += u32::from(*octet) * factor;
        product.push(carry.to_le_bytes()[0]);
        carry >>= 8;
    }
    while carry > 0 {
        product.push(carry.to_le_bytes()[0]);
        carry >>= 8;
    }
    product.reverse();
    product
}

/// CVE-2017-15361: Infineon's primes, and so their products, are powers of 65537 modulo each of the first primes. 1 is
/// the power with the exponent 0.
#[test]
fn a_modulus_with_the_fingerprint_of_roca_is_refused() {
    let is_prime = |number: &u32| (2..*number).all(|factor| !number.is_multiple_of(factor));
    let product = (3..=167)
        .filter(is_prime)
        .fold(vec![1], |product, prime| times(&product, prime));
    // Products of those primes, up to 2048 bits, and one more of that form.
    let fingerprinted = (0..).map(|number: u32| {
        let mut n = times(&product, 2 * number + 1);
        n.resize(256, 0);
        n[255] = 1;
        n
    });
    let errors: Vec<String> = fingerprinted
        .filter(|n| n[0] >= 0x80)
        .take(20)
        .map(|n| rsa(&n, &[1, 0, 1]).err().unwrap_or_default())
        .collect();
    assert!(errors.iter().all(|error| error.contains("weak")), "{errors:?}");
    // Most of them have no other small factor and are refused because of ROCA.
    assert!(errors.iter().any(|error| error.contains("ROCA")), "{errors:?}");
}

/// CVE-2022-26320: printers of two manufacturers chose the second prime right after the first. A distance of
/// 400 bits is as easy to find.
#[test]
fn a_modulus_of_two_close_factors_is_refused() {
    let number = |bits: u32, low: u32| (BigUint::from(3_u32) << bits) + low;
    let mut found = 0;
    for low in (1..400).step_by(2) {
        let mean = number(1022, low);
        for apart in [BigUint::ZERO, BigUint::from(2_u32), number(398, 2)] {
            let n = &mean * &mean - &apart * &apart;
            let error = rsa(&n.to_bytes_be(), &[1, 0, 1]).expect_err("a weak modulus");
            // The others have a small factor and are refused for that.
            found += u32::from(error.contains("so close that"));
        }
    }
    assert!(found > 10, "{found}");
}

fn ed25519(x: &[u8]) -> Result<signet_core::VerifyingKey, String> {
    jwk(&format!(
        r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{}"}}"#,
        b64(x)
    ))
}

/// With a key of small order, S = 0 and a matching R form a valid signature without any private key.
#[test]
fn an_ed25519_key_of_small_order_or_off_the_curve_is_refused() {
    assert!(ed25519(&ED25519_BASEPOINT_POINT.compress().0).is_ok());
    for torsion in EIGHT_TORSION {
        let error = ed25519(&torsion.compress().0).expect_err("small-order");
        assert!(error.contains("small-order"), "{error}");
        // The sum of a point of full order and one of small order. Others can turn its signatures into new ones.
        let mixed = ED25519_BASEPOINT_POINT + torsion;
        assert_eq!(ed25519(&mixed.compress().0).is_ok(), torsion.is_identity());
    }
    let point = |hex: &str| -> Vec<u8> {
        let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(octet).collect()
    };
    let (zeros, effs) = ("00".repeat(30), "ff".repeat(30));
    for other in [
        // Points of order 1, 2 and 4, with a sign bit on zero.
        format!("0100{zeros}")[..62].to_owned() + "80",
        format!("ecff{effs}")[..62].to_owned() + "ff",
        format!("0000{zeros}")[..62].to_owned() + "80",
        // The same coordinates plus the prime.
        format!("edff{effs}")[..62].to_owned() + "7f",
        format!("eeff{effs}")[..62].to_owned() + "7f",
        format!("edff{effs}")[..62].to_owned() + "ff",
        format!("eeff{effs}")[..62].to_owned() + "ff",
    ] {
        assert!(ed25519(&point(&other)).is_err(), "{other}");
    }
    // About half of all 32-byte strings are not points.
    let mut off = 0;
    for first in 0..=255 {
        let mut x = [7; 32];
        x[0] = first;
        if CompressedEdwardsY(x).decompress().is_none() {
            off += 1;
            assert!(ed25519(&x).expect_err("no point").contains("encoding"), "{first}");
        }
    }
    assert!(off > 50, "{off}");
}

#[test]
fn no_honest_key_is_taken_for_a_weak_one() {
    for algorithm in Algorithm::ALL {
        let many = if algorithm == Algorithm::EdDSA { 200 } else { 3 };
        for _ in 0..many {
            let key = SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
            let public = key.verifying_key().public();
            assert!(public.for_algorithm(algorithm).is_ok(), "{public:?}");
        }
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
