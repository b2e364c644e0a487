//! Any strict object that is minted passes `verify` with the same members and values, besides Signet's own.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use signet_core::json::Object;
use signet_core::verify::{Requirements, authenticate};
use signet_core::{Issuer, Timestamp};

use crate::mint::{ISSUER, JTI, KEY, NOW, Outcome, mint, template};

/// The random cases come from a fixed seed. Set `PROPTEST_RNG_SEED` to try other cases, and
/// `PROPTEST_CASES` to try more than 256.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: cases.saturating_mul(default.cases).div_ceil(256),
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(7519),
            fixed => fixed,
        },
        ..default
    }
}

/// A JSON string, possibly with unnecessary escapes.
fn any_string() -> impl Strategy<Value = String> {
    let plain = any::<String>().prop_map(|text| serde_json::Value::from(text).to_string());
    let odd = prop::sample::select(vec![
        r#""""#,
        r#""\u0041\/\b""#,
        r#""}""#,
        r#""{\"iss\":1}""#,
        r#""\ud83d\ude00""#,
        r#""]},""#,
        r#""\\""#,
        "\"\u{2028}\u{feff}\"",
    ]);
    prop_oneof![plain, odd.prop_map(str::to_owned), "\"[a-z]{0,12}\""]
}

fn any_leaf() -> impl Strategy<Value = String> {
    let literal = prop::sample::select(vec!["null", "true", "false", "0", "-0", "-0.0", "1E+2", "0e0"]);
    prop_oneof![
        any_string(),
        literal.prop_map(str::to_owned),
        "-?[1-9][0-9]{0,40}",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,30}([eE][-+]?[0-9]{1,2})?",
    ]
}

fn any_space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\t\r\n "])
}

/// Members with distinct names, even after unescaping.
fn any_members(value: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((any_string(), value), 0..6).prop_map(|members| {
        let name = |text: &str| serde_json::from_str::<String>(text).expect("a JSON string");
        let distinct: BTreeMap<String, (String, String)> =
            members.into_iter().map(|member| (name(&member.0), member)).collect();
        distinct.into_values().collect()
    })
}

fn object(members: &[(String, String)], space: &str) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{space}{name}{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}{space}}}", members.join(","))
}

fn any_value() -> impl Strategy<Value = String> {
    any_leaf().prop_recursive(6, 40, 6, |inner| {
        let list = (prop::collection::vec(inner.clone(), 0..6), any_space())
            .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(",")));
        let members = (any_members(inner), any_space()).prop_map(|(members, space)| object(&members, space));
        prop_oneof![list, members]
    })
}

/// Claims that Signet checks. The table tests cover them.
const MEANT: [&str; 9] = ["iss", "iat", "exp", "jti", "nbf", "sub", "aud", "scope", "scp"];

fn any_claims() -> impl Strategy<Value = Vec<(String, String)>> {
    let own = [
        ("\"sub\"", "\"alice\""),
        ("\"aud\"", "[\"api\"]"),
        ("\"iss\"", "\"https://issuer.example\""),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let some = prop::sample::subsequence(own.to_vec(), 0..=3);
    (any_members(any_value()), some).prop_flat_map(|(mut members, own)| {
        members.retain(|(name, _)| !MEANT.contains(&serde_json::from_str::<String>(name).expect("a string").as_str()));
        members.extend(own);
        Just(members).prop_shuffle()
    })
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn what_is_minted_comes_out_of_verify_with_the_same_members_and_values(claims in any_claims(), space in any_space()) {
        let template = template(&["api"], Some("service"));
        let text = object(&claims, space);
        let outcome = mint(&template, &format!(r#"{{"claims":{text}}}"#));
        let Outcome::Minted(minted) = outcome else { panic!("{text}: {outcome:?}") };

        let authentic = authenticate(&minted.token, |_| Some(KEY.verifying_key())).expect("authentic");
        let require = Requirements {
            issuer: &Issuer::new(ISSUER),
            audience: &["api"],
            scope: None,
            typ: None,
            clock_skew: Duration::ZERO,
        };
        let verified = authentic.verify(&require, Timestamp::from_secs(NOW)).expect("good");

        let payload = Object::parse(verified.payload()).expect("strict");
        let mut expected: BTreeMap<String, String> = claims
            .iter()
            .map(|(name, value)| (serde_json::from_str(name).expect("a string"), value.clone()))
            .collect();
        expected.entry("aud".to_owned()).or_insert_with(|| "\"api\"".to_owned());
        expected.entry("sub".to_owned()).or_insert_with(|| "\"service\"".to_owned());
        for (name, value) in [
            ("iss", format!("\"{ISSUER}\"")),
            ("iat", NOW.to_string()),
            ("exp", minted.expires_at.to_string()),
            ("jti", format!("\"{JTI}\"")),
        ] {
            expected.insert(name.to_owned(), value);
        }
        let found: BTreeMap<String, String> = payload
            .members()
            .iter()
            .map(|(name, value)| (name.clone().into_owned(), value.get().to_owned()))
            .collect();
        prop_assert_eq!(payload.members().len(), found.len());
        prop_assert_eq!(found, expected);
    }

    /// Any text in place of the claims gives an answer: no panic, and no unreadable payload.
    #[test]
    fn no_text_makes_minting_panic_or_produce_what_is_not_json(text in "[\\[\\]{}:,\"\\\\a0-9eiu .-]{0,40}") {
        let template = template(&["api"], Some("service"));
        if let Outcome::Minted(minted) = mint(&template, &format!(r#"{{"claims":{text}}}"#)) {
            prop_assert!(Object::parse(&minted.payload).is_ok(), "{}", minted.payload);
        }
    }
}
