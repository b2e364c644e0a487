//! `signet keys revoke` when the provider refuses a step after the revocation itself.

use serde_json::Value;

use crate::harness::{Home, Ran, Spec};
use crate::servers::Aws;

/// Revokes the only key of a ring as somebody who lacks a permission. Returns the key, the output of
/// the command, and the ring.
fn revoked_without(action: &str) -> (String, Ran, Value) {
    let aws = Aws::start();
    let operator = aws.remote("half").configure(&Spec::new(&Home::new()), None);
    let made = operator.run(&["keys", "rotate", "--json"]);
    let kid = made.json()["kid"].as_str().expect("a kid").to_owned();
    let restricted = aws.as_operator_without("half", action);
    let restricted = restricted.configure(&Spec::new(&Home::new()), None);
    let ran = restricted.run(&["keys", "revoke", &kid, "--reason", "stolen", "--json"]);
    let ring = operator.run(&["keys", "list", "--json"]).json();
    (kid, ran, ring)
}

fn phase<'a>(ring: &'a Value, kid: &str) -> &'a Value {
    let keys = ring["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["kid"] == kid);
    &key.unwrap_or_else(|| panic!("no {kid} in {ring}"))["phase"]
}

/// The only step that failed, with its error.
fn failed(ran: &Ran) -> (String, String) {
    let answer = ran.json();
    let failed = answer["failed"].as_array().expect("steps").clone();
    assert_eq!(failed.len(), 1, "{answer}");
    let word = |name: &str| failed[0][name].as_str().expect("a text").to_owned();
    (word("step"), word("error"))
}

#[test]
fn a_key_that_was_marked_and_not_disabled_is_revoked_and_has_a_successor() {
    let (kid, ran, ring) = revoked_without("kms:DisableKey");
    assert_eq!(ran.code, 77, "{}{}", ran.stdout, ran.stderr);
    let said = format!("{kid} is revoked, and all sidecars that reach the provider refuse it within");
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    let (step, error) = failed(&ran);
    assert_eq!(step, "disabling it at the provider");
    assert!(error.contains("kms:DisableKey"), "{error}");
    let successor = ran.json()["successor"].as_str().expect("a successor").to_owned();
    assert_eq!(ran.json()["signs_now"], successor.as_str());
    assert_eq!(phase(&ring, &kid), "revoked");
    assert_eq!(phase(&ring, &successor), "active");
    let audit = ran.stderr.lines().filter(|line| line.contains("audit"));
    let outcome = audit.filter(|line| line.contains(r#""action":"revoke""#) && line.contains("outcome"));
    let outcome: Vec<&str> = outcome.collect();
    assert!(
        matches!(outcome[..], [line] if line.contains("done") && line.contains("kms:DisableKey")),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_key_whose_successor_could_not_be_made_is_revoked_and_the_command_says_so() {
    let (kid, ran, ring) = revoked_without("kms:CreateKey");
    assert_eq!(ran.code, 77, "{}{}", ran.stdout, ran.stderr);
    let (step, error) = failed(&ran);
    assert_eq!(step, "creating its successor");
    assert!(error.contains("kms:CreateKey"), "{error}");
    let answer = ran.json();
    assert_eq!(
        (&answer["revoked"], &answer["successor"]),
        (&kid.as_str().into(), &Value::Null)
    );
    assert_eq!(phase(&ring, &kid), "revoked");
}

#[test]
fn a_key_that_could_not_be_marked_is_not_said_to_be_revoked() {
    let (kid, ran, ring) = revoked_without("kms:UpdateKeyDescription");
    assert_eq!(ran.code, 77, "{}", ran.stderr);
    let answer = ran.json();
    assert_eq!(answer["failure"]["exit_code"], 77, "{answer}");
    assert_eq!(answer["revoked"], Value::Null);
    assert!(ran.stderr.contains("kms:UpdateKeyDescription"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("is revoked"), "{}", ran.stderr);
    assert_eq!(phase(&ring, &kid), "active");
}
