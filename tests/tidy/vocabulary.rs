//! Checks that the documents list exactly the names of the interface: settings, errors, codes, metrics.

use std::collections::BTreeSet;

use signet::error_kinds::{exit_code, http_status};
use signet::settings::{SETTINGS, TABLE};
use signet_api::ErrorKind;
use signet_core::verify::Refusal;
use signet_verify::bearer::Code;

use crate::text::{arguments, fail_with, files, is_production, is_word, literals, read, same_words, section};

#[test]
fn every_setting_stands_in_the_configuration_document() {
    let text = read("docs/configuration.md");
    let missing: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| {
            let row = format!("| `{}` | `{}` |", TABLE.variable(setting), setting.flag());
            !text.contains(&row)
        })
        .map(|setting| TABLE.variable(setting))
        .collect();
    fail_with(
        &missing,
        "add a row to the tables of docs/configuration.md: variable, flag, default, meaning",
    );
}

#[test]
fn every_error_kind_stands_in_the_errors_document_with_its_exit_code_and_status() {
    const HEADING: &str = "## Error kinds of a provider";
    let kinds = ErrorKind::ALL.map(|kind| kind.as_str().to_owned()).into();
    same_words("docs/errors.md", HEADING, kinds, "ErrorKind");
    let text = read("docs/errors.md");
    let rows = section(&text, HEADING);
    let wrong: Vec<String> = ErrorKind::ALL
        .into_iter()
        .filter(|kind| {
            let begin = format!("| `{}` |", kind.as_str());
            let row = rows.iter().find(|row| row.starts_with(&begin));
            let cells: Vec<&str> = row
                .map(|row| row.split('|').map(str::trim).collect())
                .unwrap_or_default();
            let (code, status) = (exit_code(*kind).to_string(), http_status(*kind).as_str().to_owned());
            cells.get(4..6) != Some(&[code.as_str(), status.as_str()])
        })
        .map(|kind| {
            format!(
                "`{}`: exit code {}, status {}",
                kind.as_str(),
                exit_code(kind),
                http_status(kind)
            )
        })
        .collect();
    fail_with(
        &wrong,
        "the columns of exit codes and statuses in docs/errors.md must be what signet::error_kinds says",
    );
}

#[test]
fn every_problem_stands_in_the_errors_document() {
    let mut words = BTreeSet::new();
    for path in files("rs") {
        let answers = ["crates/edge/", "src/filters.rs", "src/problems.rs", "src/routes/"];
        if !is_production(&path) || !answers.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        let text = read(&path);
        let mut calls = arguments(&text, "Problem::new(");
        calls.extend(arguments(&text, "Problem::request("));
        if path == "crates/edge/src/problem.rs" {
            calls.extend(arguments(&text, "Self::new("));
        }
        let first = calls.into_iter().filter_map(|call| literals(call).into_iter().next());
        words.extend(first.filter(|word| is_word(word)).map(str::to_owned));
    }
    assert!(
        words.contains("signing_unavailable"),
        "this test no longer finds problems in the sources"
    );
    words.extend(Code::ALL.map(|code| code.as_str().to_owned()));
    let mint = read("crates/core/src/mint.rs");
    let (_, codes) = mint.split_once("pub const fn code(").expect("MintRefusal::code");
    let codes = codes.split("\n    }\n").next().unwrap_or_default();
    words.extend(literals(codes).into_iter().map(str::to_owned));
    same_words(
        "docs/errors.md",
        "## Problems of the HTTP interface",
        words,
        "word of a problem document",
    );
}

#[test]
fn every_reason_to_refuse_a_token_stands_in_the_errors_document() {
    let codes = Refusal::ALL.map(|refusal| refusal.code().to_owned()).into();
    same_words("docs/errors.md", "## Why a token is refused", codes, "Refusal::code");
}

#[test]
fn every_metric_stands_in_the_operations_document() {
    let source = read("src/telemetry/metrics.rs");
    let mut registered = BTreeSet::new();
    for call in arguments(&source, ".register(")
        .into_iter()
        .chain(arguments(&source, ".register_with_unit("))
    {
        let name = literals(call).first().copied().unwrap_or_default().to_owned();
        let unit = if call.contains("Unit::Seconds") { "_seconds" } else { "" };
        let field = call.rsplit("metrics.").next().unwrap_or_default();
        let field = field.split('.').next().unwrap_or_default();
        let declared = source.split(&format!(" {field}: ")).nth(1).unwrap_or_default();
        let declared = declared.lines().next().unwrap_or_default();
        let total = if declared.contains("Counter") { "_total" } else { "" };
        registered.insert(format!("signet_{name}{unit}{total}"));
    }
    assert!(
        registered.contains("signet_tokens_signed_total"),
        "this test no longer finds metrics in the sources: {registered:?}"
    );
    same_words("docs/operations.md", "## What to watch", registered, "metric");
}
