//! Which crates may depend on which, including indirect dependencies.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{fail_with, read};

/// The crates that both programs share. The gateway links them, so none may depend on a provider, a cloud's SDK or the
/// frameworks that only the sidecar uses.
const SHARED: &[&str] = &[
    "signet-base",
    "signet-clock-watch",
    "signet-config",
    "signet-core",
    "signet-edge",
    "signet-files",
    "signet-issuers",
    "signet-verify",
];

/// The gateway. Of our crates, it links only the shared ones.
const GATEWAY: &str = "signet-gateway";

/// Whether this package is only for the sidecar.
fn is_for_the_sidecar(name: &str) -> bool {
    [
        "aws-config",
        "aws-sdk-",
        "azure_",
        "google-cloud-",
        "object_store",
        "tonic",
        "warp",
    ]
    .iter()
    .any(|start| name.starts_with(start))
        || (name.starts_with("signet-") && !SHARED.contains(&name))
}

/// All packages in `Cargo.lock` with their dependencies for any feature, including those of tests.
fn lock() -> BTreeMap<String, Vec<String>> {
    let text = read("Cargo.lock");
    let lock: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("packages");
    let texts = |value: &toml::Value| -> Vec<String> {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        // If there are several versions of a dependency, the version follows the name.
        let names = list.iter().filter_map(|item| item.as_str()?.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name").to_owned();
        let needs = package.get("dependencies").map(texts).unwrap_or_default();
        found.entry(name).or_default().extend(needs);
    }
    found
}

#[test]
fn the_gateway_and_what_both_programs_share_bring_no_provider_and_no_framework_of_the_sidecar() {
    let lock = lock();
    let mut faults = Vec::new();
    for shared in SHARED.iter().copied().chain([GATEWAY]) {
        assert!(lock.contains_key(shared), "{shared} is not in Cargo.lock");
        let mut seen = BTreeSet::new();
        let mut left = vec![shared.to_owned()];
        while let Some(name) = left.pop() {
            for needed in lock.get(&name).into_iter().flatten() {
                if is_for_the_sidecar(needed) {
                    faults.push(format!("{shared}: {name} needs {needed}"));
                }
                if seen.insert(needed.clone()) {
                    left.push(needed.clone());
                }
            }
        }
    }
    fail_with(
        &faults,
        "the gateway would link it; move what needs it to the sidecar or to a provider",
    );
}
