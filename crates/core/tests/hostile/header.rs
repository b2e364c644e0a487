//! Attacks through the header: its algorithm, key, extensions and form.

use aws_lc_rs::hmac;
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, SigningKey};

use crate::forge::{ACCEPTED, Case, b64, case, claims, good, header, kid, ours, sealed, signed, theirs, with_header};

/// An HS256 token whose secret is public knowledge.
fn hs256(key_of: &str, secret: &[u8]) -> String {
    let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, kid(key_of));
    let input = format!("{}.{}", b64(header), b64(claims(&[])));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

fn spki_der(algorithm: &str) -> Vec<u8> {
    ours(algorithm).verifying_key().to_spki_der().expect("DER")
}

fn spki_pem(algorithm: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(spki_der(algorithm));
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|from| &text[from..text.len().min(from + 64)])
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

fn jwk(key: &SigningKey) -> String {
    serde_json::to_string(&Jwk::from(key.verifying_key())).expect("JSON")
}

/// The same private key, used for another algorithm.
fn recast(from: &str, to: Algorithm) -> SigningKey {
    let pkcs8 = ours(from).to_pkcs8().expect("PKCS#8");
    SigningKey::from_pkcs8(to, &pkcs8).expect("the same kind of key")
}

/// A header with this JSON as its `alg`.
fn alg(value: &str, key_of: &str) -> String {
    format!(r#"{{"alg":{value},"kid":"{}"}}"#, kid(key_of))
}

pub(crate) fn algorithms() -> Vec<Case> {
    let unsigned = |name: &str| {
        let header = alg(&format!("\"{name}\""), "ES256");
        format!("{}.{}.", b64(header), b64(claims(&[])))
    };
    let es256 = |value: &str| with_header(&alg(value, "ES256"), "ES256");
    let wrong = "wrong_algorithm";
    vec![
        case("alg none without a signature", unsigned("none"), wrong),
        case("alg None without a signature", unsigned("None"), wrong),
        case("alg nOnE without a signature", unsigned("nOnE"), wrong),
        case("alg NONE without a signature", unsigned("NONE"), wrong),
        case("alg none with a good signature", es256("\"none\""), wrong),
        case("alg empty", es256("\"\""), wrong),
        case("alg in lower case", es256("\"es256\""), wrong),
        case("alg with a space", es256("\"ES256 \""), wrong),
        case("alg with a NUL", es256("\"ES256\\u0000\""), wrong),
        case("alg a number", es256("256"), "malformed"),
        case("alg null", es256("null"), "malformed"),
        case("alg an array", es256("[\"ES256\"]"), "malformed"),
        case(
            "alg missing",
            with_header(&format!(r#"{{"kid":"{}"}}"#, kid("ES256")), "ES256"),
            "malformed",
        ),
        case(
            "HS256 keyed with the RSA key's PEM",
            hs256("RS256", spki_pem("RS256").as_bytes()),
            wrong,
        ),
        case(
            "HS256 keyed with the RSA key's PEM without its last newline",
            hs256("RS256", spki_pem("RS256").trim_end().as_bytes()),
            wrong,
        ),
        case(
            "HS256 keyed with the RSA key's DER",
            hs256("RS256", &spki_der("RS256")),
            wrong,
        ),
        case(
            "HS256 keyed with the RSA key's JWK",
            hs256("RS256", jwk(ours("RS256")).as_bytes()),
            wrong,
        ),
        case(
            "HS256 keyed with the EC key's DER",
            hs256("ES256", &spki_der("ES256")),
            wrong,
        ),
        case("HS256 keyed with nothing", hs256("EdDSA", b""), wrong),
        case(
            "RS256 on an EC key",
            with_header(&alg("\"RS256\"", "ES256"), "ES256"),
            wrong,
        ),
        case(
            "ES256 on an RSA key",
            with_header(&alg("\"ES256\"", "RS256"), "RS256"),
            wrong,
        ),
        case(
            "ES384 on a P-256 key",
            with_header(&alg("\"ES384\"", "ES256"), "ES256"),
            wrong,
        ),
        case(
            "EdDSA on a P-256 key",
            with_header(&alg("\"EdDSA\"", "ES256"), "ES256"),
            wrong,
        ),
        case(
            "PS256 by the private key of an RS256 key",
            signed(
                alg("\"PS256\"", "RS256"),
                claims(&[]),
                &recast("RS256", Algorithm::PS256),
            ),
            wrong,
        ),
        case(
            "RS256 by the private key of a PS256 key",
            signed(
                alg("\"RS256\"", "PS256"),
                claims(&[]),
                &recast("PS256", Algorithm::RS256),
            ),
            wrong,
        ),
        case(
            "RS512 by the private key of an RS256 key",
            signed(
                alg("\"RS512\"", "RS256"),
                claims(&[]),
                &recast("RS256", Algorithm::RS512),
            ),
            wrong,
        ),
        case(
            "a PSS signature under an RS256 header",
            signed(header("RS256"), claims(&[]), &recast("RS256", Algorithm::PS256)),
            "bad_signature",
        ),
        case(
            "a SHA-512 signature under an RS256 header",
            signed(header("RS256"), claims(&[]), &recast("RS256", Algorithm::RS512)),
            "bad_signature",
        ),
        case(
            "Ed25519, the RFC 9864 name of EdDSA",
            with_header(&alg("\"Ed25519\"", "EdDSA"), "EdDSA"),
            ACCEPTED,
        ),
        case(
            "Ed448 on an Ed25519 key",
            with_header(&alg("\"Ed448\"", "EdDSA"), "EdDSA"),
            wrong,
        ),
    ]
}

pub(crate) fn keys() -> Vec<Case> {
    let named = |kid: &str| {
        let kid = serde_json::Value::from(kid);
        with_header(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#), "ES256")
    };
    let raw = |kid: &str| with_header(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#), "ES256");
    let mine = kid("ES256");
    let unknown = "unknown_key";
    vec![
        case("kid missing", with_header(r#"{"alg":"ES256"}"#, "ES256"), unknown),
        case(
            "kid unknown",
            named("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            unknown,
        ),
        case("kid empty", named(""), unknown),
        case("kid a number", raw("1"), "malformed"),
        case("kid null", raw("null"), "malformed"),
        case("kid an array", raw(&format!("[\"{mine}\"]")), "malformed"),
        case("kid an SQL injection", named("' UNION SELECT 'AAAA' -- "), unknown),
        case("kid a path", named("../../../../../../dev/null"), unknown),
        case("kid a command", named("| /usr/bin/id #"), unknown),
        case("kid of ten thousand characters", named(&"k".repeat(10_000)), unknown),
        case("kid in another case", named(&mine.to_uppercase()), unknown),
        case("kid with a NUL behind it", named(&format!("{mine}\0")), unknown),
        case("kid with a space before it", named(&format!(" {mine}")), unknown),
        case("kid a prefix of a known one", named(&mine[..mine.len() - 1]), unknown),
        case(
            "kid twice",
            with_header(
                &format!(r#"{{"alg":"ES256","kid":"{mine}","kid":"{}"}}"#, kid("RS256")),
                "ES256",
            ),
            "malformed",
        ),
        case(
            "kid twice, once with an escape",
            with_header(
                &format!("{{\"alg\":\"ES256\",\"kid\":\"x\",\"k\\u0069d\":\"{mine}\"}}"),
                "ES256",
            ),
            "malformed",
        ),
        case(
            "kid of another key of the ring",
            signed(
                format!(r#"{{"alg":"ES384","kid":"{}"}}"#, kid("ES384")),
                claims(&[]),
                ours("ES256"),
            ),
            "bad_signature",
        ),
        case(
            "kid of ours, signed by a stranger",
            signed(header("ES256"), claims(&[]), theirs("ES256")),
            "bad_signature",
        ),
    ]
}

pub(crate) fn extensions() -> Vec<Case> {
    let es256 = |more: &str| {
        with_header(
            &format!(r#"{{"alg":"ES256","kid":"{}",{more}}}"#, kid("ES256")),
            "ES256",
        )
    };
    let stranger = theirs("ES256");
    let under = |kid: &str, more: &str| {
        signed(
            format!(r#"{{"alg":"ES256","kid":"{kid}",{more}}}"#),
            claims(&[]),
            stranger,
        )
    };
    let embedded = format!("\"jwk\":{}", jwk(stranger));
    let their_kid = stranger.verifying_key().kid().as_str();
    // A DEFLATE stream of one stored block (RFC 1951 §3.2.4).
    let deflated = {
        let claims = claims(&[]);
        let len = u16::try_from(claims.len()).expect("short").to_le_bytes();
        [&[1], &len[..], &len.map(|octet| !octet), claims.as_bytes()].concat()
    };
    let zip = format!(r#"{{"alg":"ES256","kid":"{}","zip":"DEF"}}"#, kid("ES256"));
    let critical = "unsupported_critical";
    vec![
        case("crit an empty list", es256(r#""crit":[]"#), critical),
        case("crit a registered name", es256(r#""crit":["exp"],"exp":1"#), critical),
        case("crit an unknown name", es256(r#""crit":["bork"],"bork":1"#), critical),
        case("crit a header of ours", es256(r#""crit":["kid"]"#), critical),
        case("crit null", es256(r#""crit":null"#), critical),
        case("crit b64", es256(r#""b64":false,"crit":["b64"]"#), critical),
        case("b64 false without crit", es256(r#""b64":false"#), critical),
        case("b64 true", es256(r#""b64":true"#), critical),
        case(
            "an embedded jwk that signed it",
            under(their_kid, &embedded),
            "unknown_key",
        ),
        case(
            "an embedded jwk that signed it, under our kid",
            under(kid("ES256"), &embedded),
            "bad_signature",
        ),
        case(
            "a jku under our kid",
            under(kid("ES256"), r#""jku":"https://attacker.example/jwks.json""#),
            "bad_signature",
        ),
        case(
            "a jku with their kid",
            under(their_kid, r#""jku":"https://attacker.example/jwks.json""#),
            "unknown_key",
        ),
        case(
            "an x5u under our kid",
            under(kid("ES256"), r#""x5u":"https://attacker.example/chain.pem""#),
            "bad_signature",
        ),
        case(
            "an x5c under our kid",
            under(kid("ES256"), r#""x5c":["MIIBIjANBgkq"]"#),
            "bad_signature",
        ),
        case(
            "an x5t with their kid",
            under(their_kid, r#""x5t":"AAAAAAAAAAAAAAAAAAAAAAAAAAA""#),
            "unknown_key",
        ),
        case(
            "a jku on a token of ours is not followed",
            es256(r#""jku":"http://127.0.0.1:1/""#),
            ACCEPTED,
        ),
        case(
            "a compressed payload (zip)",
            signed(zip, deflated, ours("ES256")),
            "malformed",
        ),
    ]
}

pub(crate) fn members() -> Vec<Case> {
    let bytes = |header: &[u8]| signed(header, claims(&[]), ours("ES256"));
    let mine = kid("ES256");
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        with_header(
            &format!(r#"{{"alg":"ES256","kid":"{mine}","x":{open}{close}}}"#),
            "ES256",
        )
    };
    let good = good("ES256");
    let (_, rest) = good.split_once('.').expect("three parts");
    vec![
        case(
            "alg twice",
            bytes(format!(r#"{{"alg":"none","kid":"{mine}","alg":"ES256"}}"#).as_bytes()),
            "malformed",
        ),
        case(
            "alg twice, once with an escape",
            bytes(format!("{{\"\\u0061lg\":\"none\",\"kid\":\"{mine}\",\"alg\":\"ES256\"}}").as_bytes()),
            "malformed",
        ),
        case(
            "a nested duplicate in the header",
            bytes(format!(r#"{{"alg":"ES256","kid":"{mine}","x":{{"a":1,"a":2}}}}"#).as_bytes()),
            "malformed",
        ),
        case("a header nested 15 deep", deep(15), ACCEPTED),
        case("a header nested 16 deep", deep(16), "malformed"),
        case("a header nested 5000 deep", deep(5000), "malformed"),
        case("a header that is an array", bytes(br#"["ES256"]"#), "malformed"),
        case("a header that is a string", bytes(br#""ES256""#), "malformed"),
        case("a header that is null", bytes(b"null"), "malformed"),
        case(
            "an empty header",
            sealed(&format!(".{}", b64(claims(&[]))), ours("ES256")),
            "malformed",
        ),
        case(
            "a header with a BOM",
            bytes(&[b"\xef\xbb\xbf", header("ES256").as_bytes()].concat()),
            "malformed",
        ),
        case("a header in UTF-16", bytes(&utf16(&header("ES256"))), "malformed"),
        case(
            "a header that is not UTF-8",
            bytes(&[&header("ES256").as_bytes()[..20], b"\xff\xfe", b"\"}"].concat()),
            "malformed",
        ),
        case(
            "two headers one after the other",
            bytes(header("ES256").repeat(2).as_bytes()),
            "malformed",
        ),
        case(
            "a header with a comment",
            bytes(format!("{}//", header("ES256")).as_bytes()),
            "malformed",
        ),
        case(
            "a header with a trailing comma",
            bytes(format!(r#"{{"alg":"ES256","kid":"{mine}",}}"#).as_bytes()),
            "malformed",
        ),
        case(
            "typ null",
            bytes(format!(r#"{{"alg":"ES256","kid":"{mine}","typ":null}}"#).as_bytes()),
            ACCEPTED,
        ),
        case(
            "typ a number",
            bytes(format!(r#"{{"alg":"ES256","kid":"{mine}","typ":1}}"#).as_bytes()),
            "malformed",
        ),
        case(
            "a header changed after signing",
            format!("{}.{rest}", b64(header("ES256") + " ")),
            "bad_signature",
        ),
        case(
            "white space in the header",
            bytes(format!(" {} ", header("ES256")).as_bytes()),
            ACCEPTED,
        ),
    ]
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
