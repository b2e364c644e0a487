//! `signet token` through the socket, with tokens as arguments and from pipes.

use crate::harness::{AUDIENCE, Home, ISSUER, Spec};

const CLAIMS: &str = r#"{"sub":"client","aud":"https://api.test","scope":"read"}"#;

#[test]
fn a_token_is_signed_from_an_argument_or_from_standard_input() {
    let sidecar = Spec::new(&Home::new()).start();
    let spec = sidecar.spec();
    for (arguments, input) in [
        (&["token", "sign", CLAIMS][..], ""),
        (&["token", "sign"], CLAIMS),
        (&["token", "sign", "-"], CLAIMS),
    ] {
        let ran = spec.run_with(arguments, input);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(
            (ran.stdout.lines().count(), ran.stdout.matches('.').count()),
            (1, 2),
            "{}",
            ran.stdout
        );
        assert_eq!(sidecar.verify(ran.stdout.trim())["claims"]["sub"], "client");
    }
    let ran = spec.run(&["token", "sign", CLAIMS, "--ttl", "60", "--typ", "at+jwt", "--json"]);
    let token = ran.json()["token"].as_str().expect("a token").to_owned();
    let decoded = spec.run_with(&["token", "decode", "--json"], &token).json();
    assert_eq!(
        (&decoded["header"]["typ"], &decoded["header"]["kid"]),
        (&"at+jwt".into(), &ran.json()["kid"])
    );
    let claim = |name: &str| decoded["claims"][name].as_i64().expect(name);
    assert_eq!(claim("exp") - claim("iat"), 60);
    assert_eq!(decoded["verified"], false);

    let ran = spec.run(&["token", "sign", CLAIMS, "--ttl", "5m"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let decoded = spec.run_with(&["token", "decode", "--json"], &ran.stdout).json();
    let claim = |name: &str| decoded["claims"][name].as_i64().expect(name);
    assert_eq!(claim("exp") - claim("iat"), 300);
    let ran = spec.run(&["token", "sign", CLAIMS, "--ttl", "999999"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("expires after 1h instead of 11days 13h 46m 39s")
            && ran.stderr.contains("SIGNET_TOKEN_MAX_TTL"),
        "{}",
        ran.stderr
    );

    let ran = spec.run(&["token", "sign", r#"{"sub":"s","aud":"a","exp":1}"#]);
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""));
    assert!(
        ran.stderr.contains("claims.exp: Signet sets this claim"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_verdict_is_in_the_exit_code_and_in_json_on_standard_output() {
    let sidecar = Spec::new(&Home::new()).start();
    let spec = sidecar.spec().clone().set("SIGNET_AUDIENCE", AUDIENCE);
    let token = spec.run(&["token", "sign", CLAIMS]).stdout;
    let tampered = token.trim().replace('.', ".A");
    for (arguments, input, code, error) in [
        (&["token", "verify"][..], &token, 0, ""),
        (&["token", "verify", "--scope", "read"], &token, 0, ""),
        (&["token", "verify", "--typ", "JWT"], &token, 0, ""),
        (
            &["token", "verify", "--scope", "admin"],
            &token,
            1,
            "insufficient_scope",
        ),
        (&["token", "verify", "--typ", "at+jwt"], &token, 1, "wrong_type"),
        (
            &["token", "verify", "--audience", "https://other.test"],
            &token,
            1,
            "wrong_audience",
        ),
        (&["token", "verify"], &tampered, 1, "malformed"),
    ] {
        let ran = spec.run_with(arguments, input);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        if code == 0 {
            assert_eq!(ran.json()["sub"], "client", "the claims");
        } else {
            assert_eq!(ran.stdout, "");
            assert!(
                ran.stderr.contains(&format!("the token is refused: {error}: ")),
                "{}",
                ran.stderr
            );
        }
        let ran = spec.run_with(&[arguments, &["--json"]].concat(), input);
        assert_eq!(
            (ran.code, &ran.json()["active"]),
            (code, &(code == 0).into()),
            "{arguments:?}"
        );
        assert_eq!(ran.json()["error"].as_str().unwrap_or(""), error);
    }
    let ran = sidecar.spec().run_with(&["token", "verify"], &token);
    assert_eq!(ran.code, 64, "an audience is always required: {}", ran.stderr);

    let ours = spec.run_with(&["token", "verify", "--issuer", ISSUER], &token);
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let theirs = spec.run_with(&["token", "verify", "--issuer", "https://other.test"], &token);
    assert_eq!((theirs.code, theirs.stdout.as_str()), (1, ""), "{}", theirs.stderr);
    assert!(theirs.stderr.contains("wrong_issuer"), "{}", theirs.stderr);
}

#[test]
fn decode_shows_a_token_without_a_sidecar_and_says_that_it_is_not_verified() {
    let home = Home::new();
    let sidecar = Spec::new(&home).start();
    let spec = sidecar.spec().clone();
    let token = spec.run(&["token", "sign", CLAIMS]).stdout;
    sidecar.stop();
    let ran = spec.run(&["token", "decode", token.trim()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("NOT VERIFIED"), "{}", ran.stdout);
    assert!(ran.stdout.contains(r#""sub": "client""#), "{}", ran.stdout);
    let ran = spec.run_with(&["token", "decode"], "nonsense");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);

    for verb in ["sign", "verify"] {
        let input = if verb == "sign" { CLAIMS } else { token.as_str() };
        let arguments: &[&str] = match verb {
            "sign" => &["token", "sign"],
            _ => &["token", verb, "--audience", AUDIENCE],
        };
        let ran = spec.run_with(arguments, input);
        assert_eq!(ran.code, 69, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot connect to"), "{}", ran.stderr);
    }
}
