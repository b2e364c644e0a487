//! Checks the structure of the sources.

use std::path::Path;

use crate::text::{fail_with, files, is_production, is_test, read, root};

/// The maximum length of a source file in lines.
const LONGEST_FILE: usize = 500;
/// Files that may be longer, each with its reason.
const LONGER_FILES: &[(&str, &str)] = &[];
/// Where the time may be read. Tests and benchmarks may measure time; the code under test may not.
const MAY_READ_THE_CLOCK: &[&str] = &["crates/base/src/clock.rs"];
/// Folders of `providers/` that are not providers.
const NO_PROVIDERS: &[&str] = &["api", "guards", "objects", "sealed", "testkit"];
/// Words that say nothing or are wrong here. The glossary of `docs/architecture.md` has the right ones.
const BANNED_WORDS: &[&[&str]] = &[
    &["manager"],
    &["helper"],
    &["helpers"],
    &["util"],
    &["utils"],
    &["old", "key"],
    &["current", "key"],
    &["rotate", "out"],
];
/// Names that other projects chose.
const NAMES_OF_OTHERS: &[&str] = &[
    "futures_util",
    "http_body_util",
    "hyper_util",
    "tokio_util",
    "tracing_subscriber::util",
];

#[test]
fn no_source_file_is_over_length() {
    let allowed = |path: &str| LONGER_FILES.iter().any(|(file, _)| *file == path);
    let long: Vec<String> = files("rs")
        .into_iter()
        .filter(|path| !allowed(path))
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    fail_with(
        &long,
        "a file is one room with one subject, of at most 500 lines: split it, or add it to LONGER_FILES with the reason",
    );
}

#[test]
fn every_provider_runs_the_conformance_kit() {
    let providers = std::fs::read_dir(root().join("providers")).expect("providers");
    let missing: Vec<String> = providers
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !NO_PROVIDERS.contains(&name.as_str()))
        .filter(|name| {
            let tests = format!("providers/{name}/tests/");
            !files("rs")
                .iter()
                .any(|path| path.starts_with(&tests) && read(path).contains("conformance!("))
        })
        .collect();
    fail_with(
        &missing,
        "call signet_testkit::conformance! in the tests of the provider, once for each custody that it has",
    );
}

#[test]
fn only_app_names_providers() {
    let faults: Vec<String> = files("rs")
        .into_iter()
        .filter(|path| path.starts_with("src/") && path != "src/app.rs" && is_production(path))
        .filter(|path| {
            let text = read(path);
            [
                "signet_local",
                "signet_vault",
                "signet_aws",
                "signet_azure",
                "signet_gcp",
            ]
            .iter()
            .any(|name| text.contains(name))
        })
        .collect();
    fail_with(
        &faults,
        "src/app.rs is the one place that knows which providers there are: move it there",
    );
}

#[test]
fn nothing_is_left_undone_in_the_sources() {
    // Composed here, because this file must not contain them.
    let words = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    let ignored = ["#[", "ignore"].concat();
    let faults: Vec<String> = files("rs")
        .into_iter()
        .flat_map(|path| {
            let text = read(&path);
            let found = |line: &&str| words.iter().any(|word| line.contains(word)) || line.contains(&ignored);
            let lines: Vec<String> = text
                .lines()
                .filter(found)
                .map(|line| format!("{path}: {}", line.trim()))
                .collect();
            lines
        })
        .collect();
    fail_with(
        &faults,
        "finish it, or take it out; a test that does not run proves nothing",
    );
}

#[test]
fn the_time_is_read_at_the_edge_only() {
    let faults: Vec<String> = files("rs")
        .into_iter()
        .filter(|path| !is_test(path) && !MAY_READ_THE_CLOCK.contains(&path.as_str()))
        .filter(|path| {
            let text = read(path);
            // The runtime's clock measures durations, and tests can stop it. It does not tell the time of day.
            let measures = text.contains("use tokio::time::") && !text.contains("std::time::Instant");
            let calls = match measures {
                true => &["SystemTime::now", "SystemTime::elapsed"][..],
                false => &["SystemTime::now", "SystemTime::elapsed", "Instant::now"],
            };
            calls.iter().any(|call| text.contains(call))
        })
        .collect();
    fail_with(
        &faults,
        "take `now` as an argument, or a Clock at the edge; only crates/base/src/clock.rs reads the machine's",
    );
}

#[test]
fn the_core_knows_no_runtime_no_neighbour_and_no_machine() {
    let manifest = read("crates/core/Cargo.toml");
    let dependencies: Vec<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(
        dependencies.contains(&"serde"),
        "this test no longer finds the dependencies of core"
    );
    let banned = |name: &&str| {
        name.starts_with("signet")
            || [
                "tokio",
                "hyper",
                "http",
                "warp",
                "reqwest",
                "tracing",
                "async-trait",
                "clap",
            ]
            .contains(name)
    };
    let mut faults: Vec<String> = dependencies
        .into_iter()
        .filter(banned)
        .map(|name| format!("crates/core/Cargo.toml: {name}"))
        .collect();
    for path in files("rs")
        .into_iter()
        .filter(|path| path.starts_with("crates/core/src/"))
    {
        let text = read(&path);
        let machine = [
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::io",
        ];
        faults.extend(
            machine
                .iter()
                .filter(|module| text.contains(*module))
                .map(|module| format!("{path}: {module}")),
        );
    }
    fail_with(
        &faults,
        "core is pure: do it at the edge, and hand core the outcome as an argument",
    );
}

#[test]
fn names_are_of_the_glossary() {
    let mut faults = Vec::new();
    for path in files("rs")
        .into_iter()
        .filter(|path| is_production(path) && !path.starts_with("benches/"))
    {
        let text = read(&path);
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let code: String = code.collect::<Vec<_>>().join("\n");
        let code = NAMES_OF_OTHERS.iter().fold(code, |code, name| code.replace(name, ""));
        let file = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy();
        let names = code
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .chain([&*file]);
        for name in names {
            let words = words(name);
            let banned = |banned: &&&[&str]| words.windows(banned.len()).any(|words| words == **banned);
            if BANNED_WORDS.iter().any(|word| banned(&word)) {
                faults.push(format!("{path}: {name}"));
            }
        }
    }
    fail_with(
        &faults,
        "say what it is, in the words of the glossary in docs/architecture.md",
    );
}

/// The words of an identifier in lower case: the same for `KeyStore` and `key_store`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = '_';
    for c in name.chars() {
        if c != '_' {
            if before == '_' || (c.is_ascii_uppercase() && !before.is_ascii_uppercase()) {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(c.to_ascii_lowercase());
            }
        }
        before = c;
    }
    words
}
