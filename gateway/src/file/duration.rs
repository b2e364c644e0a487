//! Parses durations in Go's syntax: `1500ms`, `1.5h`, `2h45m`.

use std::time::Duration;

/// The syntax of a duration, for errors.
pub(super) const SYNTAX: &str = "numbers with the units ns, us, ms, s, m or h, such as 1500ms, 2s or 1h30m";

/// The maximum, a year. A longer one is a typing error.
const LONGEST: f64 = 366.0 * 24.0 * 3600.0;

/// Parses a duration. Only `0` needs no unit.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(format!(
            "{text:?} has no unit; write for example {text}s for seconds or {text}ms for milliseconds"
        ));
    }
    let seconds = seconds(text).ok_or_else(|| format!("{text:?} is not a duration; write {SYNTAX}"))?;
    match seconds <= LONGEST {
        true => Ok(Duration::from_nanos((seconds * 1e9).round() as u64)),
        false => Err(format!("{text:?} is longer than a year")),
    }
}

fn seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        if !number.bytes().any(|octet| octet.is_ascii_digit()) {
            return None;
        }
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(after, |end| &after[..end]);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * scale;
        rest = &after[unit.len()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("1500ms", 1500),
            ("2s", 2000),
            ("1.5s", 1500),
            (".5s", 500),
            ("1h30m", 5_400_000),
            ("1m0.5s", 60_500),
            ("2000us", 2),
            ("2000µs", 2),
            ("3000000ns", 3),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_to_write() {
        for text in ["", "s", "2 s", "2d", "-1s", "1.2.3s", "1s2", "2sec", "1e3s", "."] {
            assert!(parse(text).expect_err(text).contains(SYNTAX), "{text}");
        }
        assert!(parse("300").expect_err("no unit").contains("write for example 300s"));
        assert!(parse("99999h").expect_err("too long").contains("longer than a year"));
    }
}
