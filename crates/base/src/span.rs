//! Formats durations for people.

use std::time::Duration;

/// A duration in its two largest units, such as `22h 58m`. Less than a second is `0s`.
#[must_use]
pub fn brief(span: Duration) -> String {
    let mut rest = span.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            // Show only units next to each other: `1d`, not `1d 5s`.
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        return "0s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        let told = |seconds| brief(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 3600, 3605, 86_399, 90_000, 86_400 + 5].map(told),
            ["0s", "59s", "1h", "1h", "23h 59m", "1d 1h", "1d"]
        );
    }
}
