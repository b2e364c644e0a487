//! Phrases that no text here needs. They make readers stumble whose first language is not English, and new text
//! imitates the text around it.

use crate::text::{fail_with, files, read};

/// Folders whose texts must not have these phrases. The list grows until it names every folder.
const CLEAN: &[&str] = &[
    "benches/",
    "crates/",
    "deploy/",
    "docs/",
    "providers/",
    "src/",
    "tests/",
    "CHANGELOG.md",
    "README.md",
];

/// The words of each phrase, and what to write instead. The words are separate, so that this file does not contain the
/// phrase.
const NEVER: [(&[&str], &str); 6] = [
    (&["was", "had"], "say who got it or made it"),
    (&["not", "had"], "say what failed: the provider did not sign"),
    (&["is", "told", "of"], "say who sees what: the log has the error"),
    (
        &["who", "ever"],
        "name the person or the program: the caller, an attacker",
    ),
    (&["be", "it"], "write: a or b"),
    (&["stands", "in"], "write: is in"),
];

#[test]
fn no_phrase_is_used_that_is_never_good_english() {
    let mut faults = Vec::new();
    for path in files("rs").into_iter().chain(files("md")) {
        if !CLEAN.iter().any(|clean| path.starts_with(clean)) {
            continue;
        }
        let text = read(&path);
        faults.extend(phrases(&text).into_iter().map(|found| format!("{path}: {found}")));
        if path.ends_with(".rs") {
            faults.extend(
                short_docs(&text)
                    .into_iter()
                    .map(|found| format!("{path}: /// {found}")),
            );
        }
    }
    fail_with(
        &faults,
        "write subject, verb, object, in the usual words; a doc comment says in three words or more what the thing is",
    );
}

#[test]
fn a_phrase_is_found_across_lines_and_a_short_doc_by_itself() {
    let [first, last] = ["Who", "ever"];
    let text = format!(
        "    /// {first}{last} asks.\n    // what stands\n    // in a file, and what can be. It outstands innate\n"
    );
    assert_eq!(phrases(&text).len(), 2, "{:?}", phrases(&text));
    let docs =
        "/// Why.\nwhy: W,\n/// Why not.\n///\n/// # Errors\nfn a();\n/// `CheckRequest`.\n/// The reason why.\n";
    assert_eq!(short_docs(docs), ["Why."]);
}

/// The phrases of a text that are never good, each with what to write.
fn phrases(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches('\\');
        let line = line.trim_start_matches(['/', '!', '#', '*', '-', '>']);
        // A punctuation mark counts as a word, so no phrase continues after it.
        let apart = |c: char| match c.is_alphanumeric() || c.is_whitespace() || c == '_' || c == '\'' {
            true => c.to_lowercase().to_string(),
            false => format!(" {c} "),
        };
        let line: String = line.chars().map(apart).collect();
        words.extend(line.split_whitespace().map(str::to_owned));
    }
    let mut found = Vec::new();
    for (phrase, instead) in NEVER {
        // A word that is written apart above is one word in a text.
        let phrase: Vec<String> = match phrase {
            ["who", "ever"] => vec![phrase.concat()],
            _ => phrase.iter().map(|word| (*word).to_owned()).collect(),
        };
        let count = words
            .windows(phrase.len())
            .filter(|words| **words == phrase[..])
            .count();
        found.extend((0..count).map(|_| format!("{:?}: {instead}", phrase.join(" "))));
    }
    found
}

/// Doc comments of one line and fewer than three words. A name in code or a link says what a thing is, so it may stay alone.
fn short_docs(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let doc = |at: usize| lines.get(at).and_then(|line| line.strip_prefix("///")).map(str::trim);
    (0..lines.len())
        .filter_map(|at| {
            let is_alone = doc(at + 1).is_none() && (at == 0 || doc(at - 1).is_none());
            doc(at).filter(|_| is_alone)
        })
        .filter(|doc| doc.split_whitespace().count() < 3 && !doc.starts_with(['`', '<', '[']))
        .collect()
}
