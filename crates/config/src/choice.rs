//! Settings whose value is one of a few words.

/// One of a few words.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            format!("{text:?} is not known; write one of: {}", words.join(", "))
        })
}
