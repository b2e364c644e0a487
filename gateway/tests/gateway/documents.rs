//! The documents say what the program does: the reference of keys, and the transcript of a migration.

use std::process::Command;

const MIGRATION: &str = include_str!("../../../docs/gateway-migration.md");
const REFERENCE: &str = include_str!("../../../docs/gateway-reference.md");

fn ran(directory: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("it runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    text(&output.stderr) + &text(&output.stdout)
}

#[test]
fn the_reference_is_that_of_the_table_of_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(
        ran(directory.path(), &["reference"]) == REFERENCE,
        "docs/gateway-reference.md is stale. Write it again:\n\
         cargo run -p signet-gateway -- reference > docs/gateway-reference.md"
    );
}

/// The blocks of code of a document, with their language.
fn blocks(document: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = document.split("```").skip(1).step_by(2).collect();
    parts.into_iter().filter_map(|part| part.split_once('\n')).collect()
}

#[test]
fn the_migration_is_a_real_transcript() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut commands = 0;
    for (language, text) in blocks(MIGRATION) {
        match language {
            "json" => std::fs::write(directory.path().join("krakend.json"), text).expect("written"),
            "console" => {
                for part in text.split("$ signet-gateway ").skip(1) {
                    let (arguments, told) = part.split_once('\n').expect("a line");
                    let arguments: Vec<&str> = arguments.split(' ').collect();
                    assert_eq!(
                        ran(directory.path(), &arguments),
                        told,
                        "docs/gateway-migration.md: {arguments:?}"
                    );
                    commands += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(commands, 2, "the document has lost its transcript");
}
