//! Writes `docs/gateway-reference.md` from the table of all keys, so that both always agree.

use std::fmt::Write as _;

use super::keys::about::{self, About};
use super::keys::{Holds, Key, NAMESPACES, ROOT, Scope, Support};

const HEAD: &str = "\
# Reference of the keys of a signet-gateway file

This page is written by `signet-gateway reference`, from the table that the program checks files with. Do not edit it;
`docs/gateway.md` explains how to begin.

Every key that is not listed here is refused, and so is every namespace. A duration is a text such as `500ms`, `2s` or `1h30m`. A key that is
*ignored* causes a warning. The gateway does not start with a key that is *refused*, and names its line, unless the key
has the value that is listed.
";

/// The whole page, as Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "## The root", ROOT, about::ROOT);
    section(
        &mut page,
        "## An endpoint: `endpoints[]`",
        keys_of(ROOT, "endpoints"),
        about::ENDPOINT,
    );
    let backend = keys_of(keys_of(ROOT, "endpoints"), "backend");
    section(
        &mut page,
        "## A backend: `endpoints[].backend[]`",
        backend,
        about::BACKEND,
    );
    page.push_str("\n## Namespaces of `extra_config`\n");
    for namespace in NAMESPACES {
        let known = about::NAMESPACES.iter().find(|(name, _)| *name == namespace.name);
        let known = known.map_or(&[][..], |(_, known)| known);
        for (scope, support, keys) in namespace.scopes {
            if matches!(support, Support::Supported) {
                let heading = format!("### `{}` of {}", namespace.name, scope.as_str());
                section(&mut page, &heading, keys, known);
            }
        }
    }
    page.push_str("\n## Namespaces that are not supported\n\n| namespace | of | what happens |\n|---|---|---|\n");
    for namespace in NAMESPACES {
        let shown = match namespace.name.ends_with('/') {
            true => format!("all others that begin with `{}`", namespace.name),
            false => format!("`{}`", namespace.name),
        };
        let mut before: Option<String> = None;
        let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
        for (scope, support, _) in namespace.scopes {
            let Some(text) = fate(*support) else {
                continue;
            };
            match rows.last_mut().filter(|_| before.as_ref() == Some(&text)) {
                Some((scopes, _)) => scopes.push(scope_name(*scope)),
                None => rows.push((vec![scope_name(*scope)], text.clone())),
            }
            before = Some(text);
        }
        for (scopes, text) in rows {
            let _ = writeln!(page, "| {shown} | {} | {} |", scopes.join(", "), cell(&text));
        }
    }
    page
}

const fn scope_name(scope: Scope) -> &'static str {
    scope.as_str()
}

/// The keys of the objects that this key holds.
fn keys_of(keys: &'static [Key], name: &str) -> &'static [Key] {
    match keys.iter().find(|key| key.name == name).map(|key| key.holds) {
        Some(Holds::Object(keys) | Holds::Objects(keys)) => keys,
        _ => &[],
    }
}

fn section(page: &mut String, heading: &str, keys: &'static [Key], known: &[About]) {
    let _ = writeln!(
        page,
        "\n{heading}\n\n| key | value | default | what it does |\n|---|---|---|---|"
    );
    rows(page, "", keys, known);
}

fn rows(page: &mut String, above: &str, keys: &'static [Key], known: &[About]) {
    for key in keys {
        let name = format!("{above}{}", key.name);
        let row = match (fate(key.support), known.iter().find(|about| about.key == name)) {
            (Some(fate), _) => format!("| | {}", cell(&fate)),
            (None, Some(about)) => format!("{} | {} | {}", about.kind, cell(about.default), cell(about.text)),
            (None, None) => "| | see [gateway.md](gateway.md)".to_owned(),
        };
        let _ = writeln!(page, "| `{name}` | {row} |");
        let inner = match key.holds {
            // These have sections of their own.
            _ if matches!(key.name, "endpoints" | "backend") => &[],
            Holds::Object(inner) | Holds::Objects(inner) => inner,
            _ => &[],
        };
        rows(page, &format!("{name}."), inner, known);
    }
}

/// What happens to a key that is not simply supported.
fn fate(support: Support) -> Option<String> {
    match support {
        Support::Supported => None,
        Support::Refused(why) => Some(format!("*refused*: {why}")),
        Support::Only(value, why) => Some(format!("*refused*, unless it is `{value}`: {why}")),
        Support::Ignored(why) => Some(format!("*ignored*: {why}")),
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(above: &str, keys: &'static [Key], into: &mut Vec<String>) {
        for key in keys {
            into.push(format!("{above}{}", key.name));
            if let (Holds::Object(inner) | Holds::Objects(inner), false) =
                (key.holds, matches!(key.name, "endpoints" | "backend"))
            {
                names(&format!("{above}{}.", key.name), inner, into);
            }
        }
    }

    #[test]
    fn every_description_is_that_of_a_key() {
        let endpoint = keys_of(ROOT, "endpoints");
        type Described = (&'static str, Vec<&'static [Key]>, &'static [About]);
        let mut tables: Vec<Described> = vec![
            ("the root", vec![ROOT], about::ROOT),
            ("an endpoint", vec![endpoint], about::ENDPOINT),
            ("a backend", vec![keys_of(endpoint, "backend")], about::BACKEND),
        ];
        for (name, known) in about::NAMESPACES {
            let namespace = NAMESPACES.iter().find(|namespace| namespace.name == *name);
            let scopes = namespace.map(|namespace| namespace.scopes).unwrap_or_default();
            tables.push((name, scopes.iter().map(|(_, _, keys)| *keys).collect(), known));
        }
        for (place, tables, known) in tables {
            let mut all = Vec::new();
            for keys in tables {
                names("", keys, &mut all);
            }
            for about in known {
                assert!(
                    all.iter().any(|name| name == about.key),
                    "{place} has no key {}",
                    about.key
                );
            }
        }
    }
}
