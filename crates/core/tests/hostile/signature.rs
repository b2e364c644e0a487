//! Attacks through the signature: values out of range, other encodings, wrong lengths, and malleability.

use crate::forge::{ACCEPTED, Case, b64, case, claims, good, good_parts, header, ours};

/// The order of P-256 (FIPS 186-4 D.1.2.3), big-endian.
const N256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The order of P-384 (FIPS 186-4 D.1.2.4).
const N384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
/// The order of P-521 (FIPS 186-4 D.1.2.5).
const N521: &str = "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409";
/// The order of edwards25519's subgroup (RFC 8032 §5.1), big-endian.
const L: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

fn hex(text: &str) -> Vec<u8> {
    let octet = |from| u8::from_str_radix(&text[from..from + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(octet).collect()
}

/// The sum of two numbers of the same length, and whether it overflowed.
fn plus(a: &[u8], b: &[u8]) -> (Vec<u8>, bool) {
    let mut carry = 0;
    let mut sum: Vec<u8> = std::iter::zip(a, b)
        .rev()
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect();
    sum.reverse();
    (sum, carry != 0)
}

/// The difference `a - b` of two numbers of the same length, where `a` is not less than `b`.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let complement: Vec<u8> = b.iter().map(|octet| !octet).collect();
    let mut one = vec![0; b.len()];
    one[b.len() - 1] = 1;
    plus(&plus(a, &complement).0, &one).0
}

fn with(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", b64(signature))
}

/// Encodes a signature as a DER `SEQUENCE` of two `INTEGER`s (SEC 1 §C.5).
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let start = half.iter().position(|octet| *octet != 0).unwrap_or(half.len() - 1);
        let mut value = half[start..].to_vec();
        if value[0] & 0x80 != 0 {
            value.insert(0, 0);
        }
        [&[2, u8::try_from(value.len()).expect("short")], value.as_slice()].concat()
    };
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).expect("short")], body.as_slice()].concat()
}

pub(crate) fn ecdsa() -> Vec<Case> {
    let (input, signature) = good_parts("ES256");
    let (r, s) = signature.split_at(32);
    let n = hex(N256);
    let zero = [0; 32];
    let es256 = |r: &[u8], s: &[u8]| with(&input, &[r, s].concat());
    let mut one = zero;
    one[31] = 1;
    let high = |algorithm: &str, n: &str| {
        let (input, signature) = good_parts(algorithm);
        let (r, s) = signature.split_at(signature.len() / 2);
        with(&input, &[r, &minus(&hex(n), s)].concat())
    };
    // A P-521 coordinate has seven unused bits, which leaves room for values above the order.
    let (input521, signature521) = good_parts("ES512");
    let (r521, s521) = signature521.split_at(66);
    let above = |half: &[u8]| plus(half, &hex(N521)).0;
    let other = good_parts("ES256").1;
    let changed = format!("{}.{}", b64(header("ES256")), b64(claims(&[("sub", "\"root\"")])));
    let bad = "bad_signature";
    vec![
        case("ES256 in DER", with(&input, &der(&signature)), bad),
        case("r = 0", es256(&zero, s), bad),
        case("s = 0", es256(r, &zero), bad),
        case("r = s = 0, the psychic signature", es256(&zero, &zero), bad),
        case("r = n", es256(&n, s), bad),
        case("s = n", es256(r, &n), bad),
        case("r = s = n", es256(&n, &n), bad),
        case("r = s = 1", es256(&one, &one), bad),
        case("r = s = 2^256 - 1", es256(&[0xff; 32], &[0xff; 32]), bad),
        case("r + n", with(&input521, &[&above(r521), s521].concat()), bad),
        case("s + n", with(&input521, &[r521, &above(s521)].concat()), bad),
        case(
            "r + n and s + n",
            with(&input521, &[above(r521), above(s521)].concat()),
            bad,
        ),
        case("-r", es256(&minus(&n, r), s), bad),
        case("r and s exchanged", es256(s, r), bad),
        case("an ECDSA signature truncated", with(&input, &signature[..63]), bad),
        case(
            "an ECDSA signature extended",
            with(&input, &[&signature[..], &[0]].concat()),
            bad,
        ),
        case(
            "an ECDSA signature with zeros before both halves",
            es256(&[&[0], r].concat(), &[&[0], s].concat()),
            bad,
        ),
        case("half an ECDSA signature", with(&input, r), bad),
        case("an empty signature", with(&input, &[]), bad),
        case("a signature of zeros", with(&input, &[0; 64]), bad),
        case("the signature of another token", with(&changed, &other), bad),
        case(
            "an ES256 signature on ES384",
            with(&good_parts("ES384").0, &signature),
            bad,
        ),
        case("a high s in ES256", high("ES256", N256), ACCEPTED),
        case("a high s in ES384", high("ES384", N384), ACCEPTED),
        case("a high s in ES512", high("ES512", N521), ACCEPTED),
        case("a low s and a high one alike in ES256", good("ES256"), ACCEPTED),
    ]
}

/// A token of the RS256 key whose signature is so small that the modulus can be added without overflow.
fn rsa_above_its_modulus() -> String {
    let key = ours("RS256");
    let signet_core::PublicKey::Rsa { n, .. } = key.verifying_key().public() else {
        unreachable!("an RSA key")
    };
    let tokens = (0..1000).map(|number| {
        let input = format!(
            "{}.{}",
            b64(header("RS256")),
            b64(claims(&[("n", &number.to_string())]))
        );
        let signature = key.sign(input.as_bytes()).expect("a signature");
        (input, plus(signature.as_ref(), n))
    });
    let found = tokens
        .into_iter()
        .find(|(_, (_, overflowed))| !overflowed)
        .expect("one in a thousand");
    with(&found.0, &found.1.0)
}

pub(crate) fn eddsa_and_rsa() -> Vec<Case> {
    let (input, signature) = good_parts("EdDSA");
    let (r, s) = signature.split_at(32);
    let little = |mut octets: Vec<u8>| {
        octets.reverse();
        octets
    };
    let s_plus_l = little(plus(&little(s.to_vec()), &hex(L)).0);
    let mut identity = [0; 64];
    identity[0] = 1;
    let (rsa, rsa_signature) = good_parts("RS256");
    let (pss, pss_signature) = good_parts("PS256");
    let bad = "bad_signature";
    vec![
        case("EdDSA with S + L", with(&input, &[r, &s_plus_l].concat()), bad),
        case("EdDSA with S = L", with(&input, &[r, &little(hex(L))].concat()), bad),
        case("EdDSA with S = 0", with(&input, &[r, &[0; 32]].concat()), bad),
        case("EdDSA of the identity point", with(&input, &identity), bad),
        case("EdDSA with R and S exchanged", with(&input, &[s, r].concat()), bad),
        case("EdDSA truncated", with(&input, &signature[..63]), bad),
        case("EdDSA extended", with(&input, &[&signature[..], &[0]].concat()), bad),
        case("RSA above its modulus", rsa_above_its_modulus(), bad),
        case("RSA truncated", with(&rsa, &rsa_signature[..255]), bad),
        case(
            "RSA with a zero before it",
            with(&rsa, &[&[0], &rsa_signature[..]].concat()),
            bad,
        ),
        case(
            "RSA with a zero after it",
            with(&rsa, &[&rsa_signature[..], &[0]].concat()),
            bad,
        ),
        case("RSA of 0", with(&rsa, &[0; 256]), bad),
        case("RSA of 1", with(&rsa, &[&[0; 255][..], &[1]].concat()), bad),
        case("PKCS#1 under a PS256 header", with(&pss, &rsa_signature), bad),
        case("PSS truncated", with(&pss, &pss_signature[1..]), bad),
    ]
}
