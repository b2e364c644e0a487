//! Formats durations and errors for operators.

use std::time::Duration;

use signet_api::ProviderError;

/// The maximum number of characters of an error that is quoted in another.
const LONGEST: usize = 400;

/// A duration in the unit that a person would choose.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_millis();
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..10_000 if !millis.is_multiple_of(1000) => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        1000..120_000 => format!("{} s", millis / 1000),
        _ => format!("{} min", millis / 60_000),
    }
}

/// An error with its causes, shortened, for the text of another error.
pub(crate) fn bounded(error: &ProviderError) -> String {
    let text = signet_base::chain(error);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_a_person_says_them() {
        for (millis, words) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (2000, "2 s"),
            (2500, "2.5 s"),
            (59_999, "59 s"),
            (119_000, "119 s"),
            (600_000, "10 min"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
    }
}
