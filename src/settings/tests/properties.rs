//! No input makes the settings panic, and accepted settings are safe.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::Start;
use crate::settings::{SETTINGS, TABLE, parse};

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-zA-Zµ.:/,=#? \\[\\]-]{0,24}",
        "([0-9]{1,20}(ns|us|ms|s|m|h|d|w|y|month) ?){1,4}",
        "(https?|file|s3):/{0,3}[a-z:@0-9\\[\\].?#/]{0,20}",
        prop::sample::select(vec![
            "local",
            "sealed",
            "remote",
            "keep",
            "info",
            "0660",
            "0666",
            "1h",
            "24h",
            "0s",
            "true",
            "a,b",
            "0,1",
            "2048",
            "127.0.0.1:80",
            "[::1]:80",
            "/tmp/x",
            "99999999999999999999",
            "18446744073709551615s1000ms",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    prop_oneof![
        8 => prop::sample::select(names).prop_map(str::to_owned),
        1 => "[a-z_]{0,12}",
    ]
}

fn toml() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        value().prop_map(|text| serde_json::Value::String(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        prop::collection::vec(value(), 0..3).prop_map(|items| format!("{items:?}")),
        Just("true".to_owned()),
        any::<String>(),
    ];
    let lines = prop::collection::vec((name(), value), 0..6);
    lines.prop_map(|lines| {
        lines
            .iter()
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_input_panics_and_every_problem_names_a_setting(
        env in prop::collection::vec((name(), value()), 0..6),
        given in prop::collection::vec((prop::sample::select(SETTINGS.iter().collect::<Vec<_>>()), value()), 0..4),
        file in prop::option::of(toml()),
    ) {
        let mut start = Start::default();
        for (name, value) in env {
            start = start.env(&format!("SIGNET_{}", name.to_uppercase()), &value);
        }
        let given: BTreeMap<_, _> = given.into_iter().map(|(setting, value)| (setting.name, (setting, value))).collect();
        for (setting, value) in given.values() {
            start = start.flag(&format!("{}={value}", setting.flag()));
        }
        if let Some(file) = file {
            start = start.file(&file);
        }
        match start.load() {
            Ok(settings) => {
                let d = settings.policy.durations();
                prop_assert!(d.publish_lead >= d.refresh_interval + d.jwks_max_age.max(d.verifier_cache) + 2 * d.clock_skew);
                prop_assert!(settings.socket.mode & 0o007 == 0);
                prop_assert_eq!(settings.effective_table().lines().count(), SETTINGS.len());
            }
            Err(error) => {
                prop_assert!(!error.problems.is_empty());
                prop_assert!([64, 78].contains(&error.exit_code()));
                for problem in &error.problems {
                    prop_assert!(!problem.place.is_empty() && !problem.text.is_empty());
                    match problem.setting {
                        Some(name) => prop_assert!(TABLE.named(name).is_some(), "{problem}"),
                        // A setting of an issuer, or of a ring that is also published, is not in the table
                        // and is named by its place.
                        None => prop_assert!(
                            problem.text.contains("is not a setting")
                                || ["trusted_issuers.", "SIGNET_ALSO_"].iter().any(|place| problem.place.starts_with(place)),
                            "{problem}"
                        ),
                    }
                }
            }
        }
    }

    #[test]
    fn no_duration_panics(text in value()) {
        let _ = parse::duration(&text);
    }

    #[test]
    fn every_duration_that_is_shown_reads_back(millis in 0..10_u64.pow(11)) {
        let span = Duration::from_millis(millis);
        prop_assert_eq!(parse::duration(&humantime::format_duration(span).to_string()), Ok(span));
    }
}
