//! Microsoft's own Python SDK uses our server (`tests/clouds/azure_contract.py`).
//!
//! Needs `SIGNET_TEST_PYTHON`, a Python with azure-identity and azure-keyvault-keys.

mod support;

use std::path::Path;
use std::process::Command;

use signet_fakes::Fault;
use signet_fakes::azure::{CLIENT, throttled};
use support::Fake;

fn steps(fake: &Fake, steps: &[&str], version: &str) {
    let python = std::env::vars().find(|(name, _)| name == "SIGNET_TEST_PYTHON");
    let (_, python) = python.expect(
        "SIGNET_TEST_PYTHON is not set: point it to a Python with azure-identity and azure-keyvault-keys, or leave out the \
         feature python-sdk",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clouds/azure_contract.py");
    let output = Command::new(python)
        .arg(script)
        .args(steps)
        .env("SIGNET_FAKE_URL", fake.server.url())
        .env("SIGNET_FAKE_CA", &fake.ca)
        .env("SIGNET_FAKE_VERSION", version)
        .env("NO_PROXY", "localhost")
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let passed = String::from_utf8_lossy(&output.stdout).matches(": passed").count();
    assert_eq!(passed, steps.len(), "every step ran");
}

#[test]
fn the_vendors_sdk_creates_lists_changes_and_deletes_keys() {
    steps(&Fake::start(), &["versions", "update", "deletion"], "");
}

#[test]
fn the_vendors_sdk_takes_every_signature_and_wrapped_key() {
    let fake = Fake::start();
    steps(&fake, &["sign", "wrap", "states"], "");
    let action = |name: &str| format!("Microsoft.KeyVault/vaults/keys/{name}/action");
    let all = ["sign", "verify", "wrap", "unwrap", "encrypt", "decrypt"].map(action);
    fake.azure.allow_only(CLIENT, all.iter().map(String::as_str));
    steps(
        &fake,
        &["without_reading"],
        &fake.azure.first_version("py-wrap").expect("made above"),
    );
    for operation in ["Verify", "WrapKey", "UnwrapKey", "Encrypt", "Decrypt"] {
        assert!(fake.called(operation) > 0, "{operation} was left to the server");
    }
}

#[test]
fn the_vendors_sdk_gets_tokens_and_understands_refusals() {
    steps(&Fake::start(), &["identities"], "");
}

#[test]
fn the_vendors_sdk_retries_what_is_throttled() {
    let fake = Fake::start();
    for _ in 0..2 {
        fake.server.script("Sign", Fault::Answer(throttled(1)));
    }
    steps(&fake, &["throttled"], "");
    assert_eq!(fake.called("Sign"), 3);
}
