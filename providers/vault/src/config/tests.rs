//! Which settings are accepted, and the error for those that are not.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<VaultConfig, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: Variables = pairs.iter().map(owned).collect();
    VaultConfig::new(&variables, "signet").map_err(|error| {
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        error.source.to_string()
    })
}

const ADDRESS: (&str, &str) = ("VAULT_ADDR", "https://vault.example:8200");
const TOKEN: (&str, &str) = ("VAULT_TOKEN", "hvs.secret");

#[test]
fn the_defaults_are_those_of_vault() {
    let config = read(&[ADDRESS, TOKEN]).expect("good");
    assert_eq!(
        (config.transit_mount.as_str(), config.kv_mount.as_str()),
        ("transit", "secret")
    );
    assert_eq!(config.connection.timeout, Duration::from_secs(5));
    let k8s = read(&[ADDRESS, ("VAULT_K8S_ROLE", "signet")]).expect("good");
    assert!(
        matches!(&k8s.connection.login, Login::Kubernetes { mount, token_file, .. }
        if mount == "kubernetes" && token_file.starts_with("/var/run/secrets"))
    );
    let minute = read(&[ADDRESS, TOKEN, ("VAULT_CLIENT_TIMEOUT", "30")]).expect("good");
    assert_eq!(minute.connection.timeout, Duration::from_secs(30));
}

#[test]
fn all_problems_are_told_at_once_each_with_its_variable() {
    let text = read(&[
        ("VAULT_KV_MOUNT", "/x"),
        ("VAULT_CLIENT_TIMEOUT", "soon"),
        ("VAULT_SKIP_VERIFY", "true"),
    ])
    .expect_err("bad");
    for name in [
        "VAULT_ADDR",
        "VAULT_TOKEN",
        "VAULT_KV_MOUNT",
        "VAULT_CLIENT_TIMEOUT",
        "VAULT_SKIP_VERIFY",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn a_token_goes_in_clear_to_this_machine_alone() {
    for address in ["http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200"] {
        assert!(read(&[("VAULT_ADDR", address), TOKEN]).is_ok(), "{address}");
    }
    for address in [
        "http://vault.example:8200",
        "http://127.0.0.1.example:8200",
        "ftp://vault.example",
        "vault.example:8200",
        "https://user:pass@vault.example",
        "https://vault.example/v1",
    ] {
        let text = read(&[("VAULT_ADDR", address), TOKEN]).expect_err(address);
        assert!(text.contains("VAULT_ADDR") && !text.contains("pass"), "{text}");
    }
}

#[test]
fn exactly_one_login_is_configured() {
    let role = ("VAULT_ROLE_ID", "r");
    for (pairs, words) in [
        (vec![ADDRESS], "none of them is set"),
        (vec![ADDRESS, TOKEN, role], "VAULT_TOKEN and VAULT_ROLE_ID"),
        (
            vec![ADDRESS, TOKEN, ("VAULT_SECRET_ID", "s")],
            "VAULT_TOKEN does not use it",
        ),
        (
            vec![ADDRESS, TOKEN, ("VAULT_AUTH_MOUNT", "a")],
            "VAULT_TOKEN does not use it",
        ),
        (
            vec![ADDRESS, role, ("VAULT_SECRET_ID", "s"), ("VAULT_SECRET_ID_FILE", "/f")],
            "both set",
        ),
        (
            vec![ADDRESS, role, ("VAULT_K8S_TOKEN_FILE", "/f")],
            "VAULT_ROLE_ID does not use it",
        ),
        (vec![ADDRESS, ("VAULT_TOKEN", "a b")], "not valid in a token"),
    ] {
        let text = read(&pairs).expect_err(words);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn no_secret_stands_in_debug_or_in_a_problem() {
    let config = read(&[ADDRESS, ("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "hush")]).expect("good");
    assert!(!format!("{config:?}").contains("hush"));
    let text = read(&[ADDRESS, ("VAULT_TOKEN", "hu sh"), ("VAULT_SECRET_ID", "hush")]).expect_err("bad");
    assert!(!text.contains("hu sh") && !text.contains("hush"), "{text}");
}

/// If they were ignored, their operator would believe that they work.
#[test]
fn what_vault_s_own_tools_would_do_and_signet_does_not_is_refused_with_what_to_do() {
    for (name, value, says) in [
        ("VAULT_SKIP_VERIFY", "true", "VAULT_CACERT"),
        ("VAULT_CAPATH", "/etc/ssl/vault", "VAULT_CACERT"),
        ("VAULT_AGENT_ADDR", "http://127.0.0.1:8100", "VAULT_ADDR"),
        ("VAULT_PROXY_ADDR", "http://127.0.0.1:8100", "HTTPS_PROXY"),
        ("VAULT_HTTP_PROXY", "http://proxy:3128", "HTTPS_PROXY"),
        ("VAULT_SRV_LOOKUP", "1", "VAULT_ADDR"),
        ("VAULT_DISABLE_REDIRECTS", "true", "VAULT_ADDR"),
        ("VAULT_MFA", "totp:123", "VAULT_ROLE_ID"),
        ("VAULT_HEADERS", "{}", "proxy"),
    ] {
        let text = read(&[ADDRESS, TOKEN, (name, value)]).expect_err(name);
        assert!(
            text.contains(&format!("{name} is refused: ")) && text.contains(says),
            "{text}"
        );
        assert!(
            VARIABLES.iter().any(|variable| variable.name == name),
            "{name} may be overridden"
        );
    }
    for name in ["VAULT_SKIP_VERIFY", "VAULT_SRV_LOOKUP", "VAULT_DISABLE_REDIRECTS"] {
        read(&[ADDRESS, TOKEN, (name, "false")]).expect("it is off");
    }
}

fn written(directory: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, content).expect("written");
    path.display().to_string()
}

#[test]
fn a_file_of_authorities_that_holds_none_is_named_with_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, says) in [
        ("", "is empty"),
        ("junk", "has no certificate in PEM"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "a private key and no certificate",
        ),
        (damaged, "it may be damaged"),
        (&damaged.replace("AAAA", "!"), "it may be damaged"),
    ] {
        let path = written(&directory, "ca.pem", content);
        let text = read(&[ADDRESS, TOKEN, ("VAULT_CACERT", &path)]).expect_err(says);
        assert!(
            text.contains(&format!("VAULT_CACERT is {path}, which ")) && text.contains(says),
            "{text}"
        );
        assert!(!text.contains("builder error"), "{text}");
        if !content.is_empty() {
            let text = read(&[ADDRESS, TOKEN, ("VAULT_CACERT_BYTES", content)]).expect_err(says);
            assert!(text.contains("VAULT_CACERT_BYTES") && text.contains(says), "{text}");
        }
    }
    let good = signet_fakes::Authority::new();
    let path = written(&directory, "ca.pem", good.pem());
    let one = read(&[ADDRESS, TOKEN, ("VAULT_CACERT_BYTES", good.pem())]).expect("good");
    assert_eq!(one.connection.authorities.len(), 1);
    let both = [
        ADDRESS,
        TOKEN,
        ("VAULT_CACERT", &path),
        ("VAULT_CACERT_BYTES", good.pem()),
    ];
    assert!(read(&both).expect_err("both").contains("both set"));
}

#[test]
fn a_certificate_of_the_client_needs_its_key_and_both_must_be_what_they_say() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = signet_fakes::Authority::new().vouch_for(&["client.test"]);
    let (_, other) = signet_fakes::Authority::new().vouch_for(&["client.test"]);
    let certificate = written(&directory, "client.pem", &certificate.pem());
    let key = written(&directory, "client.key", &key.serialize_pem());
    let other = written(&directory, "other.key", &other.serialize_pem());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = written(&directory, "encrypted.key", encrypted);
    let none = directory.path().join("none").display().to_string();
    let read_with = |address, certificate: Option<&str>, key: Option<&str>| {
        let mut pairs = vec![("VAULT_ADDR", address), TOKEN];
        pairs.extend(certificate.map(|path| ("VAULT_CLIENT_CERT", path)));
        pairs.extend(key.map(|path| ("VAULT_CLIENT_KEY", path)));
        read(&pairs)
    };
    let address = ADDRESS.1;
    let config = read_with(address, Some(&certificate), Some(&key)).expect("good");
    assert!(config.connection.identity.is_some());
    for (address, certificate, key, says) in [
        (address, Some(&certificate), None, "without VAULT_CLIENT_KEY"),
        (address, None, Some(&key), "without VAULT_CLIENT_CERT"),
        (address, Some(&key), Some(&key), "does not have a certificate"),
        (
            address,
            Some(&certificate),
            Some(&certificate),
            "does not have a private key",
        ),
        (address, Some(&certificate), Some(&other), "cannot be used together"),
        (address, Some(&certificate), Some(&encrypted), "openssl pkey"),
        (address, Some(&none), Some(&key), "VAULT_CLIENT_CERT cannot be used"),
        ("http://127.0.0.1:8200", Some(&certificate), Some(&key), "is not used"),
    ] {
        let text = read_with(address, certificate.map(String::as_str), key.map(String::as_str)).expect_err(says);
        assert!(text.contains(says), "{text}");
    }
}
