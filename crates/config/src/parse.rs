//! Parsers for the values of common settings. An error says what is wrong and what to write. No parser panics.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The form of a duration, for error texts.
pub const DURATION: &str = "numbers with the units ms, s, m, h, d or w, such as 90s, 5m, 1h30m";

/// A duration in the syntax of humantime: `90s`, `5m`, `1h30m`, `1500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text:?} has no unit; write for example {text}s for seconds, {text}m for minutes"
        ));
    }
    // humantime 2.4 panics near u64::MAX seconds ("18446744073709551615s1000ms"). With at most 64 bytes and numbers of
    // at most ten digits, the sum stays far below that even if all units are years.
    let is_short = text.len() <= 64 && text.split(|c: char| !c.is_ascii_digit()).all(|run| run.len() <= 10);
    let span = is_short.then(|| humantime::parse_duration(text).ok()).flatten();
    match span {
        // In humantime, M means months, but people who write it mean minutes.
        Some(_) if text.contains('M') => Err(format!(
            "{text:?} is ambiguous: write m for minutes, or month for months"
        )),
        Some(span) => Ok(span),
        None => Err(format!("{text:?} is not a duration; write {DURATION}")),
    }
}

/// A duration within these bounds.
pub fn duration_in(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let span = duration(text)?;
    if bounds.contains(&span) {
        return Ok(span);
    }
    let (least, most) = bounds.into_inner();
    Err(format!(
        "{text:?} is out of range; write a duration from {} to {}",
        humantime::format_duration(least),
        humantime::format_duration(most)
    ))
}

/// A whole number within these bounds.
pub fn number(text: &str, bounds: RangeInclusive<usize>) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| bounds.contains(n))
        .ok_or_else(|| format!("{text:?} is not a number from {} to {}", bounds.start(), bounds.end()))
}

/// Either `true` or `false`.
pub fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

/// A list of words separated by commas.
pub fn names(text: &str) -> Result<Vec<String>, String> {
    Ok(items(text)?.into_iter().map(str::to_owned).collect())
}

/// Any text, unchanged.
pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A path on this machine.
///
/// A URL is refused, because it would be used as the name of a directory. So is anything that only a shell would
/// expand, because no shell reads a systemd unit or an environment file.
pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with(['~', '$']) {
        return Err(format!(
            "{text:?} begins with something that only a shell expands; write the path itself, which begins with /"
        ));
    }
    let rest = ["file:", "unix:", "unix-abstract:", "http+unix:"]
        .iter()
        .find_map(|scheme| {
            let begins = text
                .get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
            begins.then(|| &text[scheme.len()..])
        });
    let rest = rest.or_else(|| text.split_once("://").map(|(_, rest)| rest));
    match rest {
        None => Ok(PathBuf::from(text)),
        Some(rest) => {
            let path = rest.trim_start_matches('/').replace("%2F", "/").replace("%2f", "/");
            let path = path.trim_start_matches('/');
            Err(format!(
                "{text:?} is a URL, but this setting is a path; write for example /{path}"
            ))
        }
    }
}

/// An IP address with a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let kind = if text.contains("://") {
            "a URL, not an"
        } else {
            "not an"
        };
        format!(
            "{text:?} is {kind} IP address with a port; write for example 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080"
        )
    })
}

/// The items of a list separated by commas. An empty text is an empty list.
pub fn items(text: &str) -> Result<Vec<&str>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<_> = text.split(',').map(str::trim).collect();
    if items.contains(&"") {
        return Err(format!("{text:?} has an empty item; remove the extra comma"));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        for (text, millis) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1500ms", 1500),
            ("1h 30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(
            duration("300").expect_err("no unit"),
            "\"300\" has no unit; write for example 300s for seconds, 300m for minutes"
        );
        for text in [
            "5 minuts",
            "",
            "-5m",
            "5m-",
            "m",
            "1.5",
            "5S",
            "18446744073709551615s1000ms",
        ] {
            let said = duration(text).expect_err(text);
            assert!(
                said.ends_with(&format!("is not a duration; write {DURATION}")),
                "{said}"
            );
        }
        for text in ["5M", "1h5M"] {
            let said = duration(text).expect_err("months for minutes");
            assert_eq!(
                said,
                format!("{text:?} is ambiguous: write m for minutes, or month for months")
            );
        }
        assert!(duration("1month").is_ok());
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(number("10", 1..=10), Ok(10));
        for text in ["0", "11", "ten", "1.0", "-1", "99999999999999999999"] {
            assert!(number(text, 1..=10).is_err(), "{text}");
        }
    }
}
