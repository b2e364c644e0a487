//! `signet check` with a provider that grants too little: which permission is missing, why it is
//! needed, and what grants it.

use serde_json::Value;

use crate::harness::wall_clock::WallClock;
use crate::harness::{Home, Ran, Spec};
use crate::servers::{Aws, Openbao, Place};

/// First everything is granted, then one permission is missing.
fn says_what_is_missing(good: &Place, bad: &Place, grant: &str) {
    let spec = good.configure(&Spec::new(&Home::new()), None);
    // A permission to sign can be tested only with a key.
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
        .split_once("To grant it:")
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

/// The clock here is this machine's. The provider's answers contradict it.
#[test]
fn a_clock_that_vault_contradicts_is_a_row_of_check_and_dates_no_key() {
    let (bao, home) = (Openbao::start(), Home::new());
    let Some(clock) = WallClock::new(&home) else { return };
    let spec = clock.of(bao.sealed("clock").configure(&Spec::new(&home), None));
    assert_eq!(spec.run(&["keys", "rotate"]).code, 0);
    let row = |ran: &Ran| {
        let rows = ran.json()["checks"].as_array().expect("rows").clone();
        let is_it = |row: &Value| row["permission"] == "a clock that agrees with the provider's";
        rows.into_iter().find(is_it).expect("the row")
    };
    let fine = spec.run(&["check", "--json"]);
    assert_eq!(
        (fine.code, &row(&fine)["answer"]),
        (0, &"yes".into()),
        "{}",
        fine.stdout
    );

    clock.set_off_by(2 * 3600);
    let ran = spec.run(&["check", "--json"]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let problem = row(&ran)["problem"].as_str().expect("a problem").to_owned();
    for word in ["2h ahead of the clock of vault", "date -u", "a restart does not help"] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
    let ran = spec.run(&["keys", "rotate"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (78, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("no key was created"), "{}", ran.stderr);
    clock.set_off_by(0);
    assert_eq!(spec.run(&["keys", "rotate"]).code, 0, "and none was");
}
