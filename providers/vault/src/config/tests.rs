//! What is taken, and how what is not is told.

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
        (vec![ADDRESS, ("VAULT_TOKEN", "a b")], "no token has"),
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
