//! Hostile tokens, grouped by the part that they attack. Each has a name, a text and the code with which it must be
//! refused. A few look hostile but are valid JOSE, and must be accepted.

mod claims;
mod encoding;
mod forge;
mod header;
mod keys;
mod signature;

use std::collections::HashSet;

use forge::{ACCEPTED, Case};

fn table() -> Vec<Case> {
    [
        header::algorithms(),
        header::keys(),
        header::extensions(),
        header::members(),
        signature::ecdsa(),
        signature::eddsa_and_rsa(),
        encoding::parts(),
        encoding::texts(),
        claims::forms(),
        claims::instants(),
        claims::names(),
        claims::types_and_scopes(),
    ]
    .concat()
}

#[test]
fn every_hostile_token_is_refused_with_the_right_code() {
    let wrong: Vec<String> = table()
        .iter()
        .filter(|case| case.judge() != case.expect)
        .map(|case| format!("{}: expected {}, got {}", case.name, case.expect, case.judge()))
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_is_as_long_as_promised_and_every_name_stands_once() {
    let table = table();
    let hostile = table.iter().filter(|case| case.expect != ACCEPTED).count();
    assert!(hostile >= 60, "{hostile} hostile tokens");
    let names: HashSet<&str> = table.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), table.len());
}

#[test]
fn the_table_meets_every_refusal_that_there_is() {
    let met: HashSet<&str> = table().iter().map(|case| case.expect).collect();
    for refusal in signet_core::verify::Refusal::ALL {
        assert!(met.contains(refusal.code()), "{}", refusal.code());
    }
}

/// The signature covers the whole token: if any byte is changed, the token is refused.
#[test]
fn no_octet_of_a_token_can_be_changed() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let good = forge::good(algorithm);
        assert_eq!(forge::judge(&good), ACCEPTED);
        for index in 0..good.len() {
            for octet in [b'A', b'B', b'-', b'.', b'='] {
                let mut forged = good.clone().into_bytes();
                if std::mem::replace(&mut forged[index], octet) == octet {
                    continue;
                }
                let forged = String::from_utf8(forged).expect("ASCII");
                assert_ne!(forge::judge(&forged), ACCEPTED, "octet {index} of {algorithm}");
            }
        }
    }
}
