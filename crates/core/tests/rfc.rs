//! The examples of the RFCs, byte by byte. Published signatures must verify, and deterministic algorithms must
//! produce the same signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::EncodePrivateKey as _;
use signet_core::jwk::Jwk;
use signet_core::verify::{Refusal, authenticate};
use signet_core::{Algorithm, SigningKey, VerifyingKey};

/// RFC 7515 appendix A.2.1.
const RSA_7515_N: &str = "\
    ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
    T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
    dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
    GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515 appendix A.1.1: the claims of joe, with their line breaks.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// RFC 7515 appendix A.2.1: the signature.
const RS256_7515: &str = "\
    cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9\
    uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB\
    _eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq\
    Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7520 section 3.3.
const RSA_7520_N: &str = "\
    n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRB\
    SFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD\
    1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_\
    qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// RFC 7520 section 3.4.
const RSA_7520_D: &str = "\
    bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgd\
    rhCku9gRldY7sNA_AKZGh-Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1\
    hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMnT3046AOYJoRioz75tSUQfGCshWTBnP5uDjd18kKhyv07lhfSJdrPdM5P\
    lyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ";
/// RFC 7520 section 3.4.
const RSA_7520_P: &str = "\
    3Slxg_DwTXJcb6095RoXygQCAZ5RnAvZlno1yhHtnUex_fp7AZ_9nRaO7HX_-SFfGQeutao2TDjDAWU4Vupk8rw9JR0AzZ0N2fvu\
    IAmr_WCsmGpeNqQnev1T7IyEsnh8UMt-n5CafhkikzhEsrmndH6LxOrvRJlsPp6Zv8bUq0k";
/// RFC 7520 section 3.4.
const RSA_7520_Q: &str = "\
    uKE2dh-cTf6ERF4k4e_jy78GfPYUIaUyoSSJuBzp3Cubk3OCqs6grT8bR_cu0Dm1MZwWmtdqDyI95HrUeq3MP15vMMON8lHTeZu2\
    lmKvwqW7anV5UzhM1iZ7z4yMkuUwFWoBvyY898EXvRD-hdqRxHlSqAZ192zB3pVFJ0s7pFc";
/// RFC 7520 section 4, figure 8: the payload.
const FRODO: &str = "\
    SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUg\
    cm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0\
    IGJlIHN3ZXB0IG9mZiB0by4";
/// RFC 7520 section 4.1, figure 13.
const RS256_7520: &str = "\
    MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi8\
    4wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocS\
    adnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJu\
    shZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
/// RFC 7520 section 4.2, figure 20.
const PS384_7520: &str = "\
    cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItl\
    lVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0\
    TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0\
    uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
/// RFC 7520 section 4.3, figure 27.
const ES512_7520: &str = "\
    AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_\
    sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
/// RFC 7520 section 3.1, without its kid.
const EC_7520: &str = r#"{"kty":"EC","crv":"P-521",
    "x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#;
/// RFC 8037 appendix A.2.
const ED_8037: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn octets(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("the RFC's base64url")
}

fn jwk(text: &str) -> Jwk {
    serde_json::from_str(text).expect("the RFC's JSON")
}

fn key(text: &str, algorithm: Algorithm) -> VerifyingKey {
    let public = jwk(text).public_key().expect("the RFC's key");
    public.for_algorithm(algorithm).expect("it fits")
}

fn rsa_jwk(n: &str) -> String {
    format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#)
}

/// Checks that the signature verifies, and that it does not after any change.
fn check(key: &VerifyingKey, input: &str, signature: &str) {
    let signature = octets(signature);
    assert!(key.verifies(input.as_bytes(), &signature), "{key:?}");
    assert!(!key.verifies(format!("{input}A").as_bytes(), &signature), "{key:?}");
    let last = signature.len() - 1;
    for index in [0, last / 2, last] {
        let mut changed = signature.clone();
        changed[index] ^= 1;
        assert!(!key.verifies(input.as_bytes(), &changed), "{key:?}");
    }
}

#[test]
fn rfc_7515_a_1_an_hs256_token_is_refused() {
    let token = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let key = key(&rsa_jwk(RSA_7515_N), Algorithm::RS256);
    assert_eq!(
        authenticate(&token, |_| Some(&key)).err(),
        Some(Refusal::UnknownKey),
        "it has no kid"
    );
}

#[test]
fn rfc_7515_a_2_rs256() {
    let key = key(&rsa_jwk(RSA_7515_N), Algorithm::RS256);
    check(&key, &format!("eyJhbGciOiJSUzI1NiJ9.{JOE}"), RS256_7515);
}

/// The `s` of this signature is above half the order. A verifier that insists on a low `s`
/// refuses this example of the RFC.
#[test]
fn rfc_7515_a_3_es256() {
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(octets(signature)[32] >= 0x80);
    check(
        &key(jwk, Algorithm::ES256),
        &format!("eyJhbGciOiJFUzI1NiJ9.{JOE}"),
        signature,
    );
}

#[test]
fn rfc_7515_a_4_es512() {
    let jwk = r#"{"kty":"EC","crv":"P-521",
        "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCA\
        PZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    check(
        &key(jwk, Algorithm::ES512),
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
        signature,
    );
}

#[test]
fn rfc_7515_a_5_an_unsecured_token_is_refused() {
    let key = key(&rsa_jwk(RSA_7515_N), Algorithm::RS256);
    let refusal = authenticate(&format!("eyJhbGciOiJub25lIn0.{JOE}."), |_| Some(&key)).err();
    assert_eq!(refusal, Some(Refusal::UnknownKey), "it has no kid");
}

/// The tokens of RFC 7520, each with a header that names bilbo's key.
fn of_7520() -> [(VerifyingKey, String, &'static str); 3] {
    let rsa = rsa_jwk(RSA_7520_N);
    let input = |alg: &str| {
        let header = format!(r#"{{"alg":"{alg}","kid":"bilbo.baggins@hobbiton.example"}}"#);
        format!("{}.{FRODO}", URL_SAFE_NO_PAD.encode(header))
    };
    [
        (key(&rsa, Algorithm::RS256), input("RS256"), RS256_7520),
        (key(&rsa, Algorithm::PS384), input("PS384"), PS384_7520),
        (key(EC_7520, Algorithm::ES512), input("ES512"), ES512_7520),
    ]
}

#[test]
fn rfc_7520_4_1_rs256_4_2_ps384_and_4_3_es512() {
    for (key, input, signature) in of_7520() {
        check(&key, &input, signature);
    }
}

/// The payload is a sentence, not claims. If the refusal is about the payload, the signature was accepted.
#[test]
fn rfc_7520_tokens_are_authenticated_up_to_their_payload() {
    let mut refusals = of_7520().into_iter().flat_map(|(key, input, signature)| {
        let (other, _) = input.rsplit_once('.').expect("a payload");
        let judge = |token: &str| {
            let known = |kid: &str| (kid == "bilbo.baggins@hobbiton.example").then_some(&key);
            authenticate(token, known).expect_err("no claims").code()
        };
        [
            judge(&format!("{input}.{signature}")),
            judge(&format!("{other}.e30.{signature}")),
        ]
    });
    assert!(refusals.by_ref().eq(["malformed", "bad_signature"].repeat(3)));
}

/// RSASSA-PKCS1-v1_5 is deterministic: with the RFC's private key the signature is the RFC's.
#[test]
fn rfc_7520_4_1_signing_gives_the_same_octets() {
    let number = |text: &str| rsa::BoxedUint::from_be_slice_vartime(&octets(text));
    let primes = vec![number(RSA_7520_P), number(RSA_7520_Q)];
    let private = rsa::PrivateKey::from_components(number(RSA_7520_N), number("AQAB"), number(RSA_7520_D), primes);
    let pkcs8 = private.expect("the RFC's key").to_pkcs8_der().expect("DER");
    let signer = SigningKey::from_pkcs8(Algorithm::RS256, pkcs8.as_bytes()).expect("PKCS#8");
    let [(key, input, signature), ..] = of_7520();
    assert_eq!(signer.verifying_key().kid(), key.kid());
    assert_eq!(
        signer.sign(input.as_bytes()).expect("a signature").as_ref(),
        octets(signature)
    );
}

const ED_8037_INPUT: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
const ED_8037_SIGNATURE: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

#[test]
fn rfc_8037_a_4_signing_gives_the_same_octets() {
    // RFC 8410 §7: version 0, Ed25519, the seed.
    let pkcs8 = [
        &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20],
        octets("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").as_slice(),
    ]
    .concat();
    let signer = SigningKey::from_pkcs8(Algorithm::EdDSA, &pkcs8).expect("PKCS#8");
    assert_eq!(Jwk::from(signer.verifying_key()).x, jwk(ED_8037).x);
    let signature = signer.sign(ED_8037_INPUT.as_bytes()).expect("a signature");
    assert_eq!(signature.as_ref(), octets(ED_8037_SIGNATURE));
}

#[test]
fn rfc_8037_a_5_the_signature_verifies() {
    check(&key(ED_8037, Algorithm::EdDSA), ED_8037_INPUT, ED_8037_SIGNATURE);
}

#[test]
fn the_thumbprints_of_rfc_7638_3_1_and_rfc_8037_a_3() {
    let rsa = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
        oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu\
        6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa\
        pJzKnqDKgw";
    for (jwk, thumbprint) in [
        (rsa_jwk(rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (ED_8037.to_owned(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ] {
        assert_eq!(self::jwk(&jwk).public_key().expect("a key").kid().as_str(), thumbprint);
    }
}
