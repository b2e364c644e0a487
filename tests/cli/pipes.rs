//! A named pipe without a writer at the path of a setting: every command ends and names the setting.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::time::{instant, wait_for};
use crate::harness::{Home, PATIENCE, Ran, Spec};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn pipe(home: &Home) -> PathBuf {
    let path = home.path("pipe");
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("made");
    path
}

/// The result of the command. It is killed if it does not end by itself.
fn ended(spec: &Spec, name: &str, arguments: &[&str]) -> Ran {
    let (out, err) = (spec.home().path("out"), spec.home().path("err"));
    let mut child = spec
        .command(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&out).expect("a file"))
        .stderr(File::create(&err).expect("a file"))
        .spawn()
        .expect("started");
    let start = instant();
    let status = wait_for("the command to end", PATIENCE * 2, || {
        let ended = child.try_wait().expect("a child");
        if ended.is_none() && start.elapsed() > PATIENCE {
            child.kill().expect("killed");
            panic!("{name}: {arguments:?} waits for the pipe");
        }
        ended
    });
    let text = |path: &Path| std::fs::read_to_string(path).expect("a text");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: text(&out),
        stderr: text(&err),
    }
}

fn assert_refused(spec: &Spec, name: &str, arguments: &[&str]) {
    let ran = ended(spec, name, arguments);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        told.contains("is a pipe, not a regular file"),
        "{name}: {arguments:?}: {told}"
    );
    assert!(told.contains(name), "{name}: {arguments:?}: {told}");
    assert_ne!(ran.code, 0, "{name}: {arguments:?}: {told}");
}

#[test]
fn files_of_signet_itself_are_not_waited_for() {
    let home = Home::new();
    let pipe = pipe(&home);
    let spec = || Spec::new(&home);
    assert_refused(
        &spec().set("SIGNET_CONFIG", pipe.display()),
        "SIGNET_CONFIG",
        &["check"],
    );
    assert_refused(
        &spec().set("SSL_CERT_FILE", pipe.display()),
        "SSL_CERT_FILE",
        &["serve"],
    );
    let key = spec().set("SIGNET_LOCAL_KEY_FILE", pipe.display());
    for arguments in [&["check"][..], &["serve"], &["keys", "list"]] {
        assert_refused(&key, &pipe.display().to_string(), arguments);
    }
    let good = home.path("good.pem");
    signet_fakes::Authority::new().write(&good);
    let certificate = spec()
        .set("SIGNET_TLS_CERT_FILE", pipe.display())
        .set("SIGNET_TLS_KEY_FILE", good.display());
    assert_refused(&certificate, "SIGNET_TLS_CERT_FILE", &["serve"]);
    let key = spec()
        .set("SIGNET_TLS_CERT_FILE", good.display())
        .set("SIGNET_TLS_KEY_FILE", pipe.display());
    assert_refused(&key, "SIGNET_TLS_KEY_FILE", &["serve"]);
    let file = home.path("signet.toml");
    let table = format!(
        "audience = ['a']\n[trusted_issuers.\"https://login.example.com/\"]\nca_file = '{}'\n",
        pipe.display()
    );
    std::fs::write(&file, table).expect("written");
    let issuer = spec().set("SIGNET_CONFIG", file.display());
    assert_refused(&issuer, "ca_file", &["check"]);
    assert_refused(&issuer, "ca_file", &["serve"]);
}

#[cfg(all(
    feature = "vault",
    feature = "aws-kms",
    feature = "azure-key-vault",
    feature = "gcp-kms"
))]
#[test]
fn files_of_the_providers_are_not_waited_for() {
    let home = Home::new();
    let pipe = pipe(&home).display().to_string();
    let external = home.path("external.json");
    let json = format!(r#"{{"type":"external_account","credential_source":{{"file":"{pipe}"}}}}"#);
    std::fs::write(&external, json).expect("written");
    let external = external.display().to_string();
    let vault = [("VAULT_ADDR", "https://127.0.0.1:1")];
    let aws = [("AWS_REGION", "eu-central-1"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let azure = [
        ("SIGNET_KEY", "https://v.vault.azure.net/keys/signet"),
        ("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000000"),
        ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001"),
    ];
    let google = [("SIGNET_KEY", "projects/p/locations/global/keyRings/r/cryptoKeys/signet")];
    let cases: [(&str, Variables<'_>, &str, &str, &str); 12] = [
        ("vault", &vault, "", "VAULT_TOKEN_FILE", &pipe),
        ("vault", &vault, "VAULT_TOKEN", "VAULT_CACERT", &pipe),
        ("vault", &vault, "VAULT_ROLE_ID", "VAULT_SECRET_ID_FILE", &pipe),
        ("vault", &vault, "VAULT_K8S_ROLE", "VAULT_K8S_TOKEN_FILE", &pipe),
        ("aws-kms", &aws, "", "AWS_CA_BUNDLE", &pipe),
        ("aws-kms", &aws, "", "AWS_CONFIG_FILE", &pipe),
        ("aws-kms", &aws, "", "AWS_SHARED_CREDENTIALS_FILE", &pipe),
        ("aws-kms", &aws, "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", &pipe),
        (
            "aws-kms",
            &aws,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            &pipe,
        ),
        ("azure-key-vault", &azure, "", "AZURE_FEDERATED_TOKEN_FILE", &pipe),
        ("gcp-kms", &google, "", "GOOGLE_APPLICATION_CREDENTIALS", &pipe),
        ("gcp-kms", &google, "", "GOOGLE_APPLICATION_CREDENTIALS", &external),
    ];
    for (provider, others, beside, name, path) in cases {
        let mut spec = Spec::new(&home).set("SIGNET_PROVIDER", provider).set_all(others);
        if !beside.is_empty() {
            spec = spec.set(beside, "http://127.0.0.1/of-tests");
        }
        let spec = spec.set(name, path);
        for arguments in [&["check"][..], &["keys", "list"]] {
            assert_refused(&spec, name, arguments);
        }
    }
    // The SDK's default file in the home directory.
    std::fs::create_dir(home.path(".aws")).expect("made");
    std::os::unix::fs::symlink(&pipe, home.path(".aws/config")).expect("linked");
    let spec = Spec::new(&home).set("SIGNET_PROVIDER", "aws-kms").set_all(&aws);
    let spec = spec.set("HOME", home.path("").display());
    assert_refused(&spec, "AWS_CONFIG_FILE", &["check"]);
}
