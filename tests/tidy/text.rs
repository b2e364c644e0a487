//! The project's files and their contents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// All files of the project with this extension, by their path from the root.
pub(crate) fn files(extension: &str) -> Vec<String> {
    fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && !matches!(&*name, "target" | "node_modules") {
                    walk(&path, extension, found);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), extension, &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    paths.sort();
    assert!(
        !paths.is_empty(),
        "there is no .{extension} file under {}",
        root().display()
    );
    paths
}

pub(crate) fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "benches" | "testkit"))
}

pub(crate) fn is_production(path: &str) -> bool {
    !is_test(path) && !path.ends_with("tests.rs")
}

pub(crate) fn fail_with(faults: &[String], what_to_do: &str) {
    assert!(faults.is_empty(), "{what_to_do}\n  {}\n", faults.join("\n  "));
}

/// The lines of a Markdown text from a heading to the next one of the same or a higher level.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the heading {heading:?} is missing");
    lines
        .take_while(|line| !(1..=level(heading)).contains(&level(line)))
        .collect()
}

/// The first cells in the tables of a section, if they are code: `` | `word` | … ``.
pub(crate) fn words_of_table(text: &str, heading: &str) -> BTreeSet<String> {
    section(text, heading)
        .iter()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn same_words(document: &str, heading: &str, words: BTreeSet<String>, of: &str) {
    let told = words_of_table(&read(document), heading);
    let mut faults: Vec<String> = words
        .difference(&told)
        .map(|word| format!("missing: `{word}`"))
        .collect();
    faults.extend(told.difference(&words).map(|word| format!("not in the code: `{word}`")));
    fail_with(
        &faults,
        &format!("{document}, {heading:?}: the table must have a row for every {of}, and no other"),
    );
}

/// The string literals in a piece of source, without raw ones.
pub(crate) fn literals(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find('"') {
        let text = &rest[start + 1..];
        let mut escaped = false;
        let Some(end) = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        }) else {
            break;
        };
        found.push(&text[..end]);
        rest = &text[end + 1..];
    }
    found
}

/// The arguments of all calls of a function in a source, as text.
pub(crate) fn arguments<'a>(source: &'a str, call: &str) -> Vec<&'a str> {
    source
        .match_indices(call)
        .map(|(at, _)| {
            let text = &source[at + call.len()..];
            let (mut depth, mut in_string) = (1_u32, false);
            let end = text.find(|c| {
                match c {
                    '"' => in_string = !in_string,
                    '(' if !in_string => depth += 1,
                    ')' if !in_string => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            &text[..end.unwrap_or(text.len())]
        })
        .collect()
}

pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
