//! No claims can add a header, or make a service read a value other than the signed one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ROOMY: usize = 64 * 1024;

fn identity(chosen: &[(&str, &'static str)], separator: char, most: usize) -> Identity {
    let chosen = chosen
        .iter()
        .map(|(path, name)| (ClaimPath::parse(path).expect("a path"), HeaderName::from_static(name)));
    Identity::new(chosen.collect(), separator, most)
}

/// The value of the header for this single claim.
fn one(claim: &str) -> Result<String, &'static str> {
    let payload = format!(r#"{{"c":{claim}}}"#);
    let of = TokenParts {
        subject: None,
        scope: None,
        payload: &payload,
    };
    match identity(&[("c", "x-c")], ',', ROOMY).values(&of) {
        Ok(values) => Ok(String::from_utf8(values[3].as_bytes().to_vec()).expect("UTF-8")),
        Err(Unfit::Claim { header, why }) => {
            assert_eq!(header, "x-c");
            Err(why)
        }
        Err(unfit) => panic!("{unfit}"),
    }
}

#[test]
fn each_kind_of_claim_becomes_text() {
    for (claim, text) in [
        (r#""ann@example.com""#, "ann@example.com"),
        (r#""a, b; c=\"d\"""#, r#"a, b; c="d""#),
        (r#""\u00c6r\u00f8""#, "Ærø"),
        (r#""""#, ""),
        ("null", ""),
        ("true", "true"),
        ("1.10", "1.10"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("-1E3", "-1E3"),
        ("[]", ""),
        (r#"[ "a" , 2.50, false, "b c" ]"#, "a,2.50,false,b c"),
        (r#"["\u0061"]"#, "a"),
    ] {
        assert_eq!(one(claim), Ok(text.to_owned()), "{claim}");
    }
}

#[test]
fn a_claim_that_would_be_read_as_something_else_is_unfit() {
    for (claim, why) in [
        (r#""a\r\nx-auth-subject: root""#, "control"),
        (r#""a\nb""#, "control"),
        (r#""a\u0000b""#, "control"),
        (r#""a\tb""#, "control"),
        (r#""\u007f""#, "control"),
        (r#"["a\r\nb"]"#, "control"),
        (r#"" a""#, "starts or ends with"),
        (r#""a ""#, "starts or ends with"),
        (r#"["a"," b"]"#, "starts or ends with"),
        (r#"["a\t"]"#, "starts or ends with"),
        (r#"["a,admin"]"#, "separator"),
        (r#"["a",","]"#, "separator"),
        (r#"["a",""]"#, "empty"),
        ("[null]", "empty"),
        (r#"{"a":1}"#, "object"),
        ("[[1]]", "as an element"),
        (r#"[{"a":1}]"#, "as an element"),
    ] {
        let given = one(claim).expect_err(claim);
        assert!(given.contains(why), "{claim}: {given}");
    }
}

#[test]
fn a_claim_is_found_by_its_name_or_by_a_pointer_and_another_separator_frees_the_comma() {
    let payload = r#"{"https://example.com/roles":["a,b","c"],"realm":{"roles":["d"],"x/y":1},"sub":"s"}"#;
    let of = TokenParts {
        subject: Some("s"),
        scope: Some("read write"),
        payload,
    };
    let chosen = [
        ("https://example.com/roles", "x-roles"),
        ("/realm/roles", "x-realm"),
        ("/realm/x~1y", "x-y"),
        ("/realm/none", "x-none"),
        ("/sub/deeper", "x-deeper"),
    ];
    let values = identity(&chosen, '|', ROOMY).values(&of).expect("fit");
    let texts: Vec<&str> = values.iter().map(|value| value.to_str().expect("ASCII")).collect();
    let claims = URL_SAFE_NO_PAD.encode(payload);
    assert_eq!(texts, ["s", "read write", &claims, "a,b|c", "d", "1", "", ""]);
}

#[test]
fn the_bound_counts_all_headers_and_nothing_is_cut() {
    let payload = format!(r#"{{"c":"{}"}}"#, "x".repeat(300));
    let of = TokenParts {
        subject: Some("s"),
        scope: None,
        payload: &payload,
    };
    let claims = payload.len().div_ceil(3) * 4;
    let least = 14 + 12 + 13 + 3 + 4 * 4 + 1 + claims + 300;
    let octets = match identity(&[("c", "x-c")], ',', 1024.min(least - 10)).values(&of) {
        Err(Unfit::TooLarge { octets, .. }) => octets,
        other => panic!("{other:?}"),
    };
    assert!(
        octets.abs_diff(least) <= 2,
        "{octets}, but about {least}: base64url has no padding"
    );
    assert!(identity(&[("c", "x-c")], ',', octets).values(&of).is_ok());
    assert!(identity(&[("c", "x-c")], ',', octets - 1).values(&of).is_err());
}

fn claim() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~\\x00-\\x1f\\x7f,;|é]{0,12}",
        "[a-z]{1,6}",
        Just("a\r\nx-auth-subject: root".to_owned()),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn no_claims_whatever_break_out_of_their_headers(
        subject in prop::option::of(any::<String>()),
        scope in prop::option::of(any::<String>()),
        a in claim(),
        b in claim(),
        separator in prop::sample::select(vec![',', ';', '|', ' ']),
        most in 0..2000_usize,
    ) {
        let payload = json!({ "a": a, "b": { "c": b } }).to_string();
        let of = TokenParts { subject: subject.as_deref(), scope: scope.as_deref(), payload: &payload };
        let identity = identity(&[("a", "x-a"), ("/b/c", "x-b")], separator, most);
        let Ok(values) = identity.values(&of) else { return Ok(()) };
        prop_assert_eq!(values.len(), identity.names().len());
        let mut octets = 0;
        for (name, value) in identity.names().iter().zip(&values) {
            let value = value.as_bytes();
            prop_assert!(!value.iter().any(|octet| *octet < b' ' || *octet == 0x7f), "{:?}", value);
            prop_assert!(!value.starts_with(b" ") && !value.ends_with(b" "));
            octets += name.as_str().len() + 4 + value.len();
        }
        prop_assert!(octets <= most);
        // The service reads exactly the members that were signed.
        for (claim, value) in [(&a, &values[3]), (&b, &values[4])] {
            let text = std::str::from_utf8(value.as_bytes()).expect("UTF-8");
            match claim {
                Value::Null => prop_assert_eq!(text, ""),
                Value::String(signed) => prop_assert_eq!(text, signed),
                Value::Array(members) => {
                    let signed: Vec<String> = members
                        .iter()
                        .map(|member| member.as_str().map_or_else(|| member.to_string(), str::to_owned))
                        .collect();
                    let read: Vec<&str> = text.split(separator).filter(|member| !member.is_empty()).collect();
                    prop_assert_eq!(read, signed);
                }
                Value::Object(_) => prop_assert!(false, "an object is in a header: {}", text),
                other => prop_assert_eq!(text, other.to_string()),
            }
        }
    }
}

#[test]
fn a_name_that_a_service_may_take_for_one_of_ours_is_told_from_ours_and_from_others() {
    let identity = identity(&[("email", "x-auth-email")], ',', ROOMY);
    for name in [
        "x_auth_subject",
        "X_Auth_Subject",
        "x-auth_scope",
        "x_auth-claims",
        "x.auth.email",
        "x!auth-email",
    ] {
        assert!(identity.is_mistakable(name), "{name}");
    }
    for name in [
        "x-auth-subject",
        "X-Auth-Email",
        "x_auth_subjects",
        "x_auth",
        "xauthemail",
        "x_auth_e-ail",
        "x1auth1email",
        "authorization",
        "",
    ] {
        assert!(!identity.is_mistakable(name), "{name}");
    }
}
