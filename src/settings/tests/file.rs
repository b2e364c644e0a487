//! Tests of the settings file.

use std::collections::BTreeSet;

use signet_core::Audience;
use signet_core::algorithm::RsaBits;

use super::Start;

#[test]
fn the_file_may_use_the_types_of_toml() {
    let text = "audience = ['a', 'b']\nsocket_allow_uids = [1, 2]\nsocket_allow_gids = 3\nrsa_bits = 3072\nalgorithm = 'PS256'\n\
                require_locked_memory = true\nsign_audience = []";
    let settings = Start::default().file(text).loaded();
    assert_eq!(settings.audience, [Audience::new("a"), Audience::new("b")]);
    assert_eq!(settings.sign_audience, []);
    assert_eq!(settings.socket.allow_uids, BTreeSet::from([1, 2]));
    assert_eq!(settings.socket.allow_gids, BTreeSet::from([3]));
    assert_eq!(settings.rsa_bits, RsaBits::B3072);
    assert!(settings.limits.require_locked_memory);
}

#[test]
fn a_file_that_means_something_else_is_refused() {
    for (text, wrong) in [
        ("socket_mode = 0o660", "must be in quotes"),
        ("publish_lead = 3600", "has no unit"),
        ("issuer = 3", "write it in quotes"),
        ("threads = 1.5", "must be a whole number"),
        ("require_locked_memory = 1", "must be true or false"),
        ("audience = ['a,b']", "contains a comma"),
        ("audience = [['a']]", "texts or numbers"),
        ("audience = {}", "must be a list"),
        ("key = \"a\\u0000b\"", "control character"),
        ("config = '/other.toml'", "cannot be set in the settings file itself"),
        ("publish-lead = '1h'", "did you mean publish_lead?"),
        (
            "[server]\nport = 1",
            "\"server\" (file /etc/signet.toml): is not a setting; remove it",
        ),
        ("key = 'a'\nkey = 'b'", "is not TOML at line 2: duplicate key"),
        ("key = secret", "SIGNET_CONFIG (environment): is not TOML at line 1"),
    ] {
        let error = Start::default().file(text).refused();
        let [problem] = error.problems.as_slice() else {
            panic!("{text}: {error}");
        };
        assert!(problem.to_string().contains(wrong), "{text}: {problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert_eq!(error.exit_code(), 64, "{text}");
    }
}
