//! `signet check` before a provider that grants less than is needed: which permission, why, and what grants it.

use crate::harness::{Home, Spec};
use crate::servers::{Aws, Openbao, Place};

/// Everything is granted; then one thing is not.
fn says_what_is_missing(good: &Place, bad: &Place, grant: &str) {
    let spec = good.configure(&Spec::new(&Home::new()), None);
    // A permission to sign can only be tried with a key.
    assert_eq!(spec.run(&["keys", "rotate"]).code, 0);
    let fine = spec.run(&["check", "--json"]);
    assert_eq!(fine.code, 0, "{}{}", fine.stdout, fine.stderr);
    let checks = fine.json()["checks"].as_array().expect("rows").len();
    assert!(checks > 2, "each permission on its own: {}", fine.stdout);

    let spec = bad.configure(&Spec::new(&Home::new()), None);
    let refused = spec.run(&["check"]);
    assert_eq!(refused.code, 77, "{}{}", refused.stdout, refused.stderr);
    let table = &refused.stdout;
    assert!(table.contains("GRANTED") && table.contains("NO"), "{table}");
    let (_, granted) = table
        .split_once("What grants it:")
        .unwrap_or_else(|| panic!("no policy text in {table}"));
    assert!(granted.contains(grant), "{grant}: {granted}");
}

#[test]
fn what_vault_does_not_grant_is_named_with_the_policy_line() {
    let bao = Openbao::start();
    says_what_is_missing(
        &bao.remote("check"),
        &bao.without_permission_to_sign("check"),
        "transit/sign/",
    );
}

#[test]
fn what_aws_does_not_grant_is_named_with_the_statement() {
    let aws = Aws::start();
    says_what_is_missing(
        &aws.remote("check"),
        &aws.without_permission_to_sign("check"),
        "kms:Sign",
    );
}
