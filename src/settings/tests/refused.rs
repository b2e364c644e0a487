//! Values that are refused because they would be ignored or misunderstood, and the group of the socket.

use super::*;

#[cfg(all(feature = "vault", feature = "aws-kms"))]
#[test]
fn what_would_be_ignored_is_refused() {
    let vault = || Start::default().env("SIGNET_PROVIDER", "vault");
    let also = || Start::default().env("SIGNET_ALSO_PUBLISH", "vault");
    for (start, place, text) in [
        (
            Start::default().env("SIGNET_STORE", "s3://b/ring.json"),
            "SIGNET_STORE (environment)",
            "does not work with the provider local",
        ),
        (
            Start::default().env("SIGNET_STORE", "vault:secret/ring"),
            "SIGNET_STORE (environment)",
            "each replica would have",
        ),
        (
            Start::default().file("store = 's3://b/ring.json'"),
            "store (file /etc/signet.toml)",
            "such as aws-kms",
        ),
        (
            vault().env("SIGNET_STORE", "vault:secret/a"),
            "SIGNET_STORE (environment)",
            "with remote custody the provider keeps",
        ),
        (vault().flag("--store=file:/r"), "--store (flag)", "is not used"),
        (
            vault().env("SIGNET_LOCAL_KEY_FILE", "/k"),
            "SIGNET_LOCAL_KEY_FILE (environment)",
            "this ring is of vault",
        ),
        (
            Start::default().env("SIGNET_RSA_BITS", "3072"),
            "SIGNET_RSA_BITS (environment)",
            "keys for ES256 are not RSA keys",
        ),
        (
            Start::default().env("SIGNET_CLAIM_HEADERS_JOIN", ";"),
            "SIGNET_CLAIM_HEADERS_JOIN (environment)",
            "SIGNET_CLAIM_HEADERS is empty",
        ),
        (
            also().env("SIGNET_ALSO_VAULT_STORE", "vault:secret/a"),
            "SIGNET_ALSO_VAULT_STORE (environment)",
            "is not used",
        ),
        (
            also().env("SIGNET_ALSO_VAULT_LOCAL_KEY_FILE", "/k"),
            "SIGNET_ALSO_VAULT_LOCAL_KEY_FILE (environment)",
            "is not used",
        ),
        (
            vault()
                .env("SIGNET_ALSO_PUBLISH", "local")
                .env("SIGNET_ALSO_LOCAL_STORE", "s3://b/r"),
            "SIGNET_ALSO_LOCAL_STORE (environment)",
            "does not work with the provider local",
        ),
    ] {
        let error = start.refused();
        let told = problems(&error);
        assert!(
            told.iter()
                .any(|problem| problem.starts_with(place) && problem.contains(text)),
            "{place}: {text}: {told:?}"
        );
        assert_eq!(error.exit_code(), 64);
    }
    for start in [
        vault().env("SIGNET_CUSTODY", "sealed").env("SIGNET_STORE", "s3://b/r"),
        vault().env("SIGNET_CUSTODY", "sealed").env("SIGNET_STORE", "file:/r"),
        Start::default()
            .env("SIGNET_STORE", "file:/r")
            .env("SIGNET_KEY", "ring")
            .env("AWS_REGION", "eu"),
        Start::default()
            .env("SIGNET_RSA_BITS", "3072")
            .env("SIGNET_ALGORITHM", "PS256"),
    ] {
        start.loaded();
    }
    let warned = Start::default().env("SIGNET_SIGN_RATE", "5").loaded().warnings;
    assert!(warned[0].contains("is not used: in sealed custody"), "{warned:?}");
    assert_eq!(
        vault().env("SIGNET_SIGN_RATE", "5").loaded().warnings,
        Vec::<String>::new()
    );
}

#[test]
fn a_path_that_is_a_url_is_refused_wherever_a_path_is_taken() {
    for setting in SETTINGS.iter().filter(|setting| setting.kind == Kind::Path) {
        let error = Start::default().env(&TABLE.variable(setting), "file:///a/b").refused();
        assert!(
            problems(&error)
                .iter()
                .any(|text| text.contains("is a URL, but this setting is a path; write for example /a/b")),
            "{}: {error}",
            setting.name
        );
    }
}

/// An empty item would disappear, and an empty list would become the default without notice.
#[test]
fn an_empty_item_is_refused_in_every_list() {
    for setting in SETTINGS.iter().filter(|setting| setting.kind == Kind::List) {
        let name = setting.name;
        for list in ["['']", "['1', ' ']", "',1'"] {
            let error = Start::default().file(&format!("{name} = {list}")).refused();
            assert!(
                problems(&error)
                    .iter()
                    .any(|text| text.starts_with(name) && text.contains("has an empty item")),
                "{name} = {list}: {error}"
            );
        }
        let error = Start::default().env(&TABLE.variable(setting), "1,,2").refused();
        assert!(error.to_string().contains("has an empty item"), "{name}: {error}");
    }
    let also = "also_publish = ['vault']\nprovider = 'aws-kms'\n[also.vault]\nkey = ''";
    let error = Start::default().file(also).refused();
    assert!(
        error
            .to_string()
            .contains("also.vault.key (file /etc/signet.toml): is empty"),
        "{error}"
    );
}

/// What Signet creates there must be found at the next start, from any working directory.
#[test]
fn a_place_of_the_ring_that_depends_on_the_working_directory_is_refused() {
    let also = || {
        Start::default()
            .env("SIGNET_PROVIDER", "vault")
            .env("SIGNET_ALSO_PUBLISH", "local")
    };
    for wrong in ["data", "./data", "@data", "~/data", "$HOME/data"] {
        let store = format!("file:{wrong}");
        for (start, place) in [
            (Start::default().env("SIGNET_DATA_DIR", wrong), "SIGNET_DATA_DIR"),
            (
                Start::default().env("SIGNET_LOCAL_KEY_FILE", wrong),
                "SIGNET_LOCAL_KEY_FILE",
            ),
            (Start::default().env("SIGNET_STORE", &store), "SIGNET_STORE"),
            (also().env("SIGNET_ALSO_LOCAL_STORE", &store), "SIGNET_ALSO_LOCAL_STORE"),
            (
                also().env("SIGNET_ALSO_LOCAL_LOCAL_KEY_FILE", wrong),
                "SIGNET_ALSO_LOCAL_LOCAL_KEY_FILE",
            ),
        ] {
            let told = start.refused().to_string();
            assert!(
                told.contains(place) && told.contains("which begins with /"),
                "{place}: {told}"
            );
        }
    }
    // Files that are only read are either there or not, so a relative path is allowed.
    let read = Start::default()
        .env("SIGNET_TLS_CERT_FILE", "cert.pem")
        .env("SIGNET_TLS_KEY_FILE", "key.pem")
        .loaded();
    assert!(read.tls.is_some());
}

#[test]
fn the_group_of_the_socket_is_a_name_or_a_number_and_may_connect() {
    for (text, gid) in [("www-data", 33), ("101", 101), ("0", 0)] {
        let socket = Start::default().env("SIGNET_SOCKET_GROUP", text).loaded().socket;
        assert_eq!(socket.group.expect("a group").gid, gid);
        assert_eq!(socket.allow_gids, BTreeSet::from([gid]));
    }
    let both = Start::default().env("SIGNET_SOCKET_GROUP", "www-data");
    let both = both.env("SIGNET_SOCKET_ALLOW_GIDS", "7").loaded().socket;
    assert_eq!(both.allow_gids, BTreeSet::from([7, 33]));
    for text in ["nginx", "4294967295", "-1"] {
        let error = Start::default().env("SIGNET_SOCKET_GROUP", text).refused();
        assert!(error.to_string().contains("getent group"), "{error}");
    }
}

/// Without this check, a socket was made in a directory named `"`, and tokens were signed for an audience with quotes.
#[test]
fn a_value_whose_quotes_the_environment_kept_is_refused() {
    for (variable, value) in [
        ("SIGNET_SOCKET", "\"/tmp/x.sock\""),
        ("SIGNET_SOCKET", " '/tmp/x.sock' "),
        ("SIGNET_AUDIENCE", "\"api\""),
        ("SIGNET_SIGN_AUDIENCE", "\"\""),
        ("SIGNET_SIGN_SUBJECT", "'service'"),
        ("SIGNET_ALSO_LOCAL_KEY", "\"signet\""),
    ] {
        let error = Start::default().env(variable, value).refused().to_string();
        let told = format!("{variable} (environment): begins and ends with a quote");
        assert!(error.contains(&told), "{error}");
        assert!(error.contains("Write the value without quotes"), "{error}");
    }
    // These quotes belong to the value.
    for value in ["\"", "'a\"", "a 'b'"] {
        Start::default().env("SIGNET_SIGN_SUBJECT", value).loaded();
    }
}

#[test]
fn a_mode_that_keeps_the_sockets_group_out_is_refused() {
    let group = || Start::default().env("SIGNET_SOCKET_GROUP", "33");
    for mode in ["0600", "0640", "0620"] {
        let error = group().env("SIGNET_SOCKET_MODE", mode).refused();
        assert!(error.to_string().contains("does not let a group connect"), "{error}");
    }
    assert_eq!(group().env("SIGNET_SOCKET_MODE", "0770").loaded().socket.mode, 0o770);
}

#[test]
fn groups_are_read_as_the_system_writes_them() {
    let text = "root:x:0:\n# comment\nwww-data:x:33:ann,bob\nbroken\nnext:x:\n";
    let expected = [("root".to_owned(), 0), ("www-data".to_owned(), 33)];
    assert_eq!(groups(text), expected.into());
}

#[test]
fn a_terminal_gets_colours_unless_it_or_its_user_wants_none() {
    let colors = |terminal, likes| {
        let start = Start::default().machine(|m| (m.stderr_is_terminal, m.likes_colors) = (terminal, likes));
        start.loaded().log_colors
    };
    assert!(colors(true, true));
    assert!(!colors(true, false) && !colors(false, true));
}
