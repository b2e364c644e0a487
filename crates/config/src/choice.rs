//! Settings with a fixed list of values.

/// Finds the value for a word in a fixed list.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            format!("{text:?} is unknown; write one of: {}", words.join(", "))
        })
}
