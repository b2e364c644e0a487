//! Quotes text from others in our errors. All providers quote their vendor with it.

use std::error::Error;

/// The maximum number of quoted characters.
const LONGEST: usize = 400;
/// Prefixes of JWTs and of Google's tokens.
const TOKENS: [&str; 4] = ["eyJ", "ya29.", "ey.", "1//"];

/// Makes foreign text safe for one line of a log. The result has bounded length and no control characters. The queries
/// of URLs are removed, because a signature may be in one, and so is anything that looks like a token.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    // Words beyond the limit would not be shown, so they are not examined.
    for word in words.filter(|word| !word.is_empty()).take(LONGEST) {
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        push(&mut quoted, word);
    }
    if let Some((end, _)) = quoted.char_indices().nth(LONGEST) {
        quoted.truncate(end);
        quoted.push('…');
    }
    quoted.truncate(quoted.trim_end_matches('.').len());
    quoted
}

fn push(quoted: &mut String, word: &str) {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.+=/".contains(c);
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if let Some(query) = rest.strip_prefix('?') {
            let end = query.find(['"', '\'', ')', '<', '>']).unwrap_or(query.len());
            quoted.push_str(if end == 0 { "?" } else { "?…" });
            rest = &query[end..];
            continue;
        }
        let len = rest
            .find(|c| !is_of_token(c))
            .unwrap_or(rest.len())
            .max(first.len_utf8());
        let (run, after) = rest.split_at(len);
        match TOKENS.iter().any(|start| run.starts_with(start)) {
            true => quoted.push_str("(token)"),
            false => quoted.push_str(run),
        }
        rest = after;
    }
}

/// The quoted causes of an error, each once.
#[must_use]
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = quote(&cause.to_string());
        // Many libraries repeat the cause in their own text.
        if !text.is_empty() && !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_others_wrote_is_quoted_in_one_line_without_secrets() {
        for (text, quoted) in [
            ("a\nb ü eyJhbGciOi.eyJz.c- ya29.x_y.", "a b ü (token) (token)"),
            ("\"eyJhbGciOi.eyJz.c\"", "\"(token)\""),
            (
                "a\n\tb https://x.example/y?sig=HUSH&b=c (see https://z.example?d=HUSH) end",
                "a b https://x.example/y?… (see https://z.example?…) end",
            ),
            ("\u{1b}[31mred\u{7f} and so?", "[31mred and so?"),
            ("", ""),
        ] {
            assert_eq!(quote(text), quoted);
        }
        for long in ["ü".repeat(2000), "ü ".repeat(2000)] {
            assert_eq!(quote(&long).chars().count(), LONGEST + 1);
        }
    }

    #[test]
    fn a_cause_that_is_repeated_is_said_once() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("outer")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let refused = || io::Error::other("refused\nby https://x.example?sig=HUSH");
        let twice = Outer(io::Error::other(Outer(refused())));
        assert_eq!(causes(&twice), ["outer", "refused by https://x.example?…"]);
    }
}
