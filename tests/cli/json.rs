//! With `--json`, a command that fails prints one JSON object, whose `failure` has the text of standard error and the exit code.

use serde_json::Value;

use crate::harness::{Home, Ran, Spec};

/// The text of a failure, which must be the same on both outputs.
fn failure(arguments: &[&str], ran: &Ran, code: u8) -> String {
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:?}"));
    let failure = &document["failure"];
    assert_eq!(i32::from(code), ran.code, "{arguments:?}: {ran:?}");
    assert_eq!(failure["exit_code"], code, "{arguments:?}: {document}");
    let text = failure["text"].as_str().expect("a text").to_owned();
    assert!(!text.is_empty() && ran.stderr.contains(&text), "{arguments:?}: {ran:?}");
    text
}

const VERBS: [&[&str]; 9] = [
    &["check"],
    &["keys", "list"],
    &["keys", "rotate"],
    &["keys", "revoke", "kid"],
    &["keys", "prune"],
    &["token", "sign", "{}"],
    &["token", "verify", "e30"],
    &["token", "decode", "e30"],
    &["schedule"],
];

#[test]
fn every_verb_prints_a_failure_as_json() {
    let spec = Spec::new(&Home::new());
    for verb in VERBS {
        let arguments = [verb, &["--json", "--no-such-flag"]].concat();
        let text = failure(&arguments, &spec.run(&arguments), 64);
        assert!(text.contains("--no-such-flag"), "{text}");
    }
    let wrong = spec.clone().set("SIGNET_SOCKET_MODE", "0666");
    for verb in VERBS.into_iter().filter(|verb| *verb != ["token", "decode", "e30"]) {
        let arguments = [verb, &["--json"]].concat();
        let text = failure(&arguments, &wrong.run(&arguments), 64);
        assert!(text.contains("SIGNET_SOCKET_MODE"), "{text}");
    }
    for (arguments, code) in [
        (&["token", "sign", "{}", "--json"][..], 69),
        (&["token", "verify", "e30", "--json"], 69),
        (&["token", "decode", "e30", "--json"], 1),
        (&["keys", "revoke", "kid", "--json"], 66),
        (&["keys", "list", "--listen=127.0.0.1:1", "--json"], 64),
    ] {
        failure(arguments, &spec.run(arguments), code);
    }
}

#[test]
fn a_failure_comes_with_the_answer_if_there_is_one() {
    let home = Home::new();
    let sidecar = Spec::new(&home).start();
    let spec = sidecar.spec();
    let arguments = ["token", "verify", "e30", "--audience", "a", "--json"];
    let ran = spec.run(&arguments);
    let text = failure(&arguments, &ran, 1);
    let answer = ran.json();
    assert_eq!(
        (&answer["active"], &answer["error"]),
        (&false.into(), &"malformed".into())
    );
    assert!(text.contains("malformed"), "{text}");

    // The command reads another ring than the sidecar serves: it prints the list, and the reason why it fails.
    std::fs::rename(home.data(), home.path("unmounted")).expect("unmounted");
    for arguments in [&["keys", "list", "--json"][..], &["check", "--json"]] {
        let ran = spec.run(arguments);
        failure(arguments, &ran, 78);
        let answer = ran.json();
        assert!(answer["keys"].is_array() || answer["checks"].is_array(), "{answer}");
    }
}

#[test]
fn a_success_has_no_failure() {
    let spec = Spec::new(&Home::new());
    let ran = spec.run(&["keys", "rotate", "--json"]);
    assert_eq!((ran.code, ran.json().get("failure")), (0, None));
}
