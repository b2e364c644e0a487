//! Checks the documents: their links resolve, and all tests that they name exist.

use std::path::Path;

use crate::text::{fail_with, files, read, root, section};

const ARCHITECTURE: &str = "docs/architecture.md";
/// The number of promises of the product. Each has its own heading among the invariants.
const PROMISES: usize = 10;
/// The text for a promise that does not hold yet, with the issue that will change it.
const NOT_YET: &str = "does not hold yet (issue ";

/// A Markdown text without its code blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The tests that a text names in the form `` `path/to/file.rs::name_of_the_test` ``.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(path, _)| path.ends_with(".rs") || path.ends_with(".py"))
        .collect()
}

fn exists(path: &str, name: &str) -> bool {
    if !root().join(path).is_file() {
        return false;
    }
    let text = read(path);
    if path.ends_with(".py") {
        return text.contains(&format!("def {name}("));
    }
    let Some(at) = ["(", "<"]
        .iter()
        .find_map(|next| text.find(&format!("fn {name}{next}")))
    else {
        return false;
    };
    // A clause of the contract is a test of every provider if it is in the list of `conformance!`.
    let is_clause = path.starts_with("providers/testkit/src/clauses/")
        && read("providers/testkit/src/lib.rs").contains(&format!("            {name},"));
    let above = text[..at]
        .rsplit('\n')
        .skip(1)
        .take_while(|line| !line.trim().is_empty());
    let attribute = above
        .take(6)
        .any(|line| line.contains("#[test]") || line.contains("#[tokio::test"));
    is_clause || attribute
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut faults = Vec::new();
    for document in files("md") {
        let text = prose(&read(&document));
        let missing = tests_named(&text)
            .into_iter()
            .filter(|(path, name)| !exists(path, name));
        faults.extend(missing.map(|(path, name)| format!("{document}: {path}::{name}")));
    }
    fail_with(
        &faults,
        "a document names a test that is not there: name the test that proves the sentence now, or say that it does \
         not hold yet",
    );
}

#[test]
fn every_promise_has_an_invariant_that_names_a_test_or_says_that_it_does_not_hold_yet() {
    let text = read(ARCHITECTURE);
    let lines = section(&text, "## Invariants");
    let promises: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut faults = Vec::new();
    if promises.len() != PROMISES {
        faults.push(format!("{} headings instead of {PROMISES}", promises.len()));
    }
    for promise in promises {
        let body = section(&text, &format!("### {promise}")).join(" ");
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let invariants: Vec<&str> = body.split("- Invariant: ").skip(1).collect();
        if invariants.is_empty() {
            faults.push(format!("{promise}: no line that begins with \"- Invariant: \""));
        }
        for invariant in invariants {
            let named = invariant.contains(" — test: `") && !tests_named(invariant).is_empty();
            if !named && !invariant.contains(NOT_YET) {
                faults.push(format!("{promise}: {invariant}"));
            }
        }
    }
    fail_with(
        &faults,
        "in docs/architecture.md each invariant ends with \" — test: `path::name`\", or says plainly \
         \"does not hold yet (issue N)\"",
    );
}

#[test]
fn every_decision_is_linked_from_the_architecture_document() {
    let text = read(ARCHITECTURE);
    let decisions: Vec<String> = files("md")
        .into_iter()
        .filter_map(|path| path.strip_prefix("docs/").map(str::to_owned))
        .filter(|path| path.starts_with("decisions/"))
        .collect();
    assert!(!decisions.is_empty(), "docs/decisions is empty");
    let missing: Vec<String> = decisions
        .into_iter()
        .filter(|path| !text.contains(&format!("]({path})")))
        .collect();
    fail_with(
        &missing,
        "link the decision from docs/architecture.md, where its consequence is told",
    );
}

#[test]
fn every_link_between_documents_resolves() {
    let mut faults = Vec::new();
    for document in files("md") {
        let text = prose(&read(&document));
        let directory = Path::new(&document).parent().unwrap_or(Path::new(""));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root().join(&document),
                path => root().join(directory).join(path),
            };
            let resolves = match anchor {
                "" => target.exists(),
                anchor => std::fs::read_to_string(&target).is_ok_and(|text| has_anchor(&text, anchor)),
            };
            if !resolves {
                faults.push(format!("{document}: {link}"));
            }
        }
    }
    fail_with(
        &faults,
        "the link leads nowhere: correct the path, or the heading's anchor",
    );
}

/// Whether a heading has this anchor, as common renderers make it.
fn has_anchor(text: &str, anchor: &str) -> bool {
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .any(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>() == anchor
        })
}

#[test]
fn every_document_that_a_source_names_exists() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let mut faults = Vec::new();
    for path in files("rs") {
        let text = read(&path);
        let documents = text
            .split(|c| !is_part(c))
            .map(|word| word.trim_end_matches('.'))
            .filter(|word| word.starts_with("docs/") && word.ends_with(".md"));
        faults.extend(
            documents
                .filter(|document| !root().join(document).is_file())
                .map(|document| format!("{path}: {document}")),
        );
    }
    fail_with(&faults, "a comment sends its reader to a document that is not there");
}

/// The lines of a Markdown text in which a table was wrapped like a paragraph: the row of dashes has other text beside it.
fn wrapped_tables(text: &str) -> Vec<String> {
    let is_rule = |line: &str| line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
    prose(text)
        .lines()
        .filter(|line| (line.contains("|---") || line.contains("| ---")) && !is_rule(line))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_table_is_wrapped_like_a_paragraph() {
    let mut faults = Vec::new();
    for path in files("md") {
        faults.extend(
            wrapped_tables(&read(&path))
                .into_iter()
                .map(|line| format!("{path}: {line}")),
        );
    }
    fail_with(&faults, "write each row of the table on its own line");
    assert_eq!(
        wrapped_tables("| a | b |\n| --- | :-: |\n| 1 | 2 |\n"),
        Vec::<String>::new()
    );
    assert_eq!(wrapped_tables("| a | b | |---|---|\n| 1 |").len(), 1);
}
