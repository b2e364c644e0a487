//! Attacks through the claims. The ring's key signed all of these tokens properly; only their content is wrong.

use crate::forge::{ACCEPTED, Case, ISSUER, NOW, SKEW, case, claims, kid, with_claims, with_header, with_payload};

pub(crate) fn forms() -> Vec<Case> {
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        with_claims(&[("x", &format!("{open}{close}"))])
    };
    let inside = |more: &str| with_payload(claims(&[]).replacen('{', &format!("{{{more},"), 1));
    let bad = "malformed";
    vec![
        case("claims an array", with_payload(format!("[{}]", claims(&[]))), bad),
        case("claims a string", with_payload("\"claims\""), bad),
        case("claims null", with_payload("null"), bad),
        case("claims a number", with_payload("1"), bad),
        case("claims nothing but white space", with_payload("  "), bad),
        case("claims that are not JSON", with_payload("sub=alice"), bad),
        case(
            "claims with something behind them",
            with_payload(claims(&[]) + "{}"),
            bad,
        ),
        case("claims cut off", with_payload(claims(&[]).trim_end_matches('}')), bad),
        case("sub twice", inside(r#""sub":"root""#), bad),
        case("sub twice, once with an escape", inside(r#""s\u0075b":"root""#), bad),
        case("exp twice", inside(r#""exp":9999999999"#), bad),
        case("an unknown claim twice", inside(r#""x":1,"x":1"#), bad),
        case(
            "a duplicate in a nested object",
            with_claims(&[("x", r#"{"a":1,"a":2}"#)]),
            bad,
        ),
        case(
            "a duplicate in an object in an array",
            with_claims(&[("x", r#"[[{"a":1,"\u0061":2}]]"#)]),
            bad,
        ),
        case("claims nested 15 deep", deep(15), ACCEPTED),
        case("claims nested 16 deep", deep(16), bad),
        case("claims nested 5000 deep", deep(5000), bad),
        case(
            "claims with a number that no machine has",
            with_claims(&[("x", "1e400")]),
            bad,
        ),
        case(
            "a nested number that no machine has",
            with_claims(&[("x", "[-1e400]")]),
            bad,
        ),
        case(
            "claims in single quotes",
            with_payload(claims(&[]).replace('"', "'")),
            bad,
        ),
        case("a thousand claims", with_payload(many_claims()), ACCEPTED),
    ]
}

fn many_claims() -> String {
    let members: Vec<String> = (0..1000).map(|number| format!("\"c{number}\":1")).collect();
    claims(&[]).replacen('{', &format!("{{{},", members.join(",")), 1)
}

pub(crate) fn instants() -> Vec<Case> {
    let exp = |value: &str| with_claims(&[("exp", value)]);
    let at = |name: &str, seconds: i64| with_claims(&[(name, &seconds.to_string())]);
    let bad = "malformed";
    vec![
        case("exp missing", exp(""), bad),
        case("exp a string", exp("\"1750000300\""), bad),
        case("exp null", exp("null"), bad),
        case(
            "nbf, iat and sub null",
            with_claims(&[("nbf", "null"), ("iat", "null"), ("sub", "null")]),
            ACCEPTED,
        ),
        case("exp true", exp("true"), bad),
        case("exp an array", exp("[1750000300]"), bad),
        case("exp negative", exp("-1"), bad),
        case("exp 1e400", exp("1e400"), bad),
        case("exp NaN", exp("NaN"), bad),
        case("exp Infinity", exp("Infinity"), bad),
        case("exp in hexadecimal", exp("0x7fffffff"), bad),
        case("exp of 2^64", exp("18446744073709551616"), bad),
        case("exp in milliseconds", exp("1750000300000"), bad),
        case("exp zero", exp("0"), "expired"),
        case("exp a tiny fraction", exp("1e-300"), "expired"),
        case("exp with a fraction", exp("1750000300.5"), ACCEPTED),
        case("exp with an exponent", exp("1.7500003e9"), ACCEPTED),
        case("exp passed long ago", at("exp", NOW - 3600), "expired"),
        case("exp just within the skew", at("exp", NOW - SKEW + 1), ACCEPTED),
        case("exp at the end of the skew", at("exp", NOW - SKEW), "expired"),
        case("exp just beyond the skew", at("exp", NOW - SKEW - 1), "expired"),
        case(
            "exp within the skew by a fraction",
            exp(&format!("{}.001", NOW - SKEW)),
            ACCEPTED,
        ),
        case("iat in the future", at("iat", NOW + 3600), "not_yet_valid"),
        case("iat at the end of twice the skew", at("iat", NOW + 2 * SKEW), ACCEPTED),
        case(
            "iat just beyond twice the skew",
            at("iat", NOW + 2 * SKEW + 1),
            "not_yet_valid",
        ),
        case("iat a string", with_claims(&[("iat", "\"now\"")]), bad),
        case("iat missing", with_claims(&[("iat", "")]), ACCEPTED),
        case("nbf in the future", at("nbf", NOW + 3600), "not_yet_valid"),
        case("nbf at the end of twice the skew", at("nbf", NOW + 2 * SKEW), ACCEPTED),
        case(
            "nbf just beyond twice the skew",
            at("nbf", NOW + 2 * SKEW + 1),
            "not_yet_valid",
        ),
        case(
            "nbf beyond twice the skew by a fraction",
            with_claims(&[("nbf", &format!("{}.001", NOW + 2 * SKEW))]),
            "not_yet_valid",
        ),
        case("nbf negative", at("nbf", -1), bad),
        case("nbf a string", with_claims(&[("nbf", "\"0\"")]), bad),
    ]
}

pub(crate) fn names() -> Vec<Case> {
    let iss = |value: &str| with_claims(&[("iss", value)]);
    let aud = |value: &str| with_claims(&[("aud", value)]);
    let quoted = |text: &str| format!("\"{text}\"");
    let (other, audience) = ("wrong_issuer", "wrong_audience");
    vec![
        case("iss missing", iss(""), other),
        case("iss another", iss("\"https://attacker.example\""), other),
        case("iss empty", iss("\"\""), other),
        case("iss a prefix of ours", iss(&quoted(&ISSUER[..ISSUER.len() - 1])), other),
        case(
            "iss with ours as a prefix",
            iss(&quoted(&format!("{ISSUER}.attacker.example"))),
            other,
        ),
        case(
            "iss with ours as the user",
            iss(&quoted(&format!("{ISSUER}@attacker.example"))),
            other,
        ),
        case("iss in another case", iss(&quoted(&ISSUER.to_uppercase())), other),
        case("iss with a trailing slash", iss(&quoted(&format!("{ISSUER}/"))), other),
        case("iss with a default port", iss(&quoted(&format!("{ISSUER}:443"))), other),
        case(
            "iss with a NUL behind it",
            iss(&quoted(&format!("{ISSUER}\\u0000"))),
            other,
        ),
        case(
            "iss with a Cyrillic letter",
            iss("\"https://\u{456}ssuer.example\""),
            other,
        ),
        case("iss of http", iss("\"http://issuer.example\""), other),
        case("iss an array with ours", iss(&format!("[\"{ISSUER}\"]")), "malformed"),
        case("iss a number", iss("1"), "malformed"),
        case("iss null", iss("null"), "malformed"),
        case(
            "iss with an escaped letter",
            iss(r#""https://\u0069ssuer.example""#),
            ACCEPTED,
        ),
        case("aud missing", aud(""), audience),
        case("aud another", aud("\"other\""), audience),
        case("aud empty", aud("\"\""), audience),
        case("aud an empty array", aud("[]"), audience),
        case("aud a prefix of ours", aud("\"ap\""), audience),
        case("aud with ours as a prefix", aud("\"api2\""), audience),
        case(
            "aud with ours among others in one string",
            aud("\"other api\""),
            audience,
        ),
        case("aud in another case", aud("\"API\""), audience),
        case("aud a star", aud("\"*\""), audience),
        case("aud an array of others", aud("[\"a\",\"b\"]"), audience),
        case("aud an array with ours", aud("[\"a\",\"api\",\"b\"]"), ACCEPTED),
        case("aud an array with ours and a number", aud("[\"api\",1]"), "malformed"),
        case("aud an array in an array", aud("[[\"api\"]]"), "malformed"),
        case("aud a number", aud("1"), "malformed"),
        case("aud null", aud("null"), "malformed"),
        case("aud an object", aud("{\"api\":true}"), "malformed"),
        case("sub a number", with_claims(&[("sub", "1")]), "malformed"),
        case("sub an array", with_claims(&[("sub", "[\"alice\"]")]), "malformed"),
    ]
}

pub(crate) fn types_and_scopes() -> Vec<Case> {
    let typ = |typ: &str| {
        let header = format!(r#"{{"alg":"ES256","kid":"{}","typ":"{typ}"}}"#, kid("ES256"));
        with_header(&header, "ES256")
    };
    let untyped = with_header(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, kid("ES256")), "ES256");
    let scope = |value: &str| with_claims(&[("scope", value)]);
    let (wrong, lacks) = ("wrong_type", "insufficient_scope");
    vec![
        case("typ logout+jwt", typ("logout+jwt"), wrong),
        case("typ dpop+jwt", typ("dpop+jwt"), wrong),
        case("typ secevent+jwt", typ("secevent+jwt"), wrong),
        case("typ application/secevent+jwt", typ("application/secevent+jwt"), wrong),
        case("typ empty", typ(""), wrong),
        case("typ JOSE", typ("JOSE"), wrong),
        case("typ with a parameter", typ("at+jwt;charset=utf-8"), wrong),
        case("typ with a space", typ(" JWT"), wrong),
        case("typ of two slashes", typ("application/x/jwt"), wrong),
        case("typ JWT where at+jwt is required", typ("JWT"), wrong).typ("at+jwt"),
        case("no typ where at+jwt is required", untyped.clone(), wrong).typ("at+jwt"),
        case("typ at+jwt where logout+jwt is required", typ("at+jwt"), wrong).typ("logout+jwt"),
        case(
            "typ application/at+jwt where at+jwt is required",
            typ("application/at+jwt"),
            ACCEPTED,
        )
        .typ("at+jwt"),
        case(
            "typ at+jwt where application/at+jwt is required",
            typ("at+jwt"),
            ACCEPTED,
        )
        .typ("application/at+jwt"),
        case("typ AT+JWT where at+jwt is required", typ("AT+JWT"), ACCEPTED).typ("at+jwt"),
        case("typ logout+jwt where it is required", typ("logout+jwt"), ACCEPTED).typ("logout+jwt"),
        case("no typ where none is required", untyped, ACCEPTED),
        case("typ at+jwt where none is required", typ("at+jwt"), ACCEPTED),
        case("typ jwt in lower case", typ("jwt"), ACCEPTED),
        case("scope missing", scope(""), lacks).scope("read"),
        case("scope empty", scope("\"\""), lacks).scope("read"),
        case("scope with the required one as a prefix", scope("\"reader\""), lacks).scope("read"),
        case("scope a prefix of the required one", scope("\"rea\""), lacks).scope("read"),
        case("scope in another case", scope("\"READ\""), lacks).scope("read"),
        case("scope with a part of the required ones", scope("\"read\""), lacks).scope("read write"),
        case("scope separated by a comma", scope("\"read,write\""), lacks).scope("read"),
        case("scope separated by a tab", scope(r#""read\twrite""#), lacks).scope("read"),
        case("scope a star", scope("\"*\""), lacks).scope("read"),
        case("scope an array", scope("[\"write\",\"read\"]"), ACCEPTED).scope("read"),
        case("scope an array without the required one", scope("[\"reader\"]"), lacks).scope("read"),
        case("scope an array of one with a space", scope("[\"not read\"]"), lacks).scope("read"),
        case("scope an empty array", scope("[]"), lacks).scope("read"),
        case("scope an array in an array", scope("[[\"read\"]]"), "malformed").scope("read"),
        case("scope an array with a number", scope("[\"read\",1]"), "malformed").scope("read"),
        case("scope an object", scope("{\"read\":true}"), "malformed").scope("read"),
        case("scope a number", scope("1"), "malformed").scope("read"),
        case("scope a number where none is required", scope("1"), ACCEPTED),
        case("scope true", scope("true"), "malformed").scope("true"),
        case("scope null", scope("null"), lacks).scope("read"),
        case("scope null where null is required", scope("null"), lacks).scope("null"),
        case("scope null where none is required", scope("null"), ACCEPTED),
        case(
            "every scope required, in another order",
            scope("\"write  read\""),
            ACCEPTED,
        )
        .scope("read  write"),
        case(
            "scp as an array",
            with_claims(&[("scope", ""), ("scp", "[\"read\",\"write\"]")]),
            ACCEPTED,
        )
        .scope("write"),
        case(
            "scp with another one",
            with_claims(&[("scope", ""), ("scp", "[\"admin\"]")]),
            lacks,
        )
        .scope("write"),
        case(
            "scp beside a scope that lacks it",
            with_claims(&[("scope", "\"x\""), ("scp", "\"read\"")]),
            lacks,
        )
        .scope("read"),
        case("scp a number", with_claims(&[("scope", ""), ("scp", "1")]), "malformed").scope("1"),
        case(
            "scp a number where no scope is required",
            with_claims(&[("scope", ""), ("scp", "1")]),
            ACCEPTED,
        ),
        case(
            "scp beside a scope of null",
            with_claims(&[("scope", "null"), ("scp", "[\"read\"]")]),
            ACCEPTED,
        )
        .scope("read"),
    ]
}
