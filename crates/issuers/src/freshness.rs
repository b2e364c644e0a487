//! How long a response may be used, by its own headers (RFC 9111 §4.2.1, §5.2.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// The lifetime of a response without `max-age`.
const UNSAID: Duration = Duration::from_secs(15 * 60);

/// What remains of `max-age`. Zero for `no-store` and the like, which some providers send with keys
/// that are meant to be stored.
pub(super) fn life(headers: &HeaderMap) -> Duration {
    let mut said = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Duration::ZERO;
            }
            if name.eq_ignore_ascii_case("max-age") {
                let seconds = argument.trim().trim_matches('"').parse().unwrap_or(0);
                said = Some(said.map_or(seconds, |said: u64| said.min(seconds)));
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    said.map_or(UNSAID, |seconds| Duration::from_secs(seconds).saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_shortest_life_that_is_said_counts() {
        let cases: [(&[(&'static str, &str)], u64); 9] = [
            (&[], 900),
            (&[("cache-control", "public, max-age=300")], 300),
            (&[("cache-control", "Max-Age=\"60\"")], 60),
            (&[("cache-control", "max-age=300, max-age=20")], 20),
            (&[("cache-control", "max-age=300"), ("cache-control", "no-cache")], 0),
            (&[("cache-control", "max-age=300"), ("age", "100")], 200),
            (&[("cache-control", "max-age=300"), ("age", "400")], 0),
            (&[("cache-control", "max-age=soon")], 0),
            (&[("cache-control", "public"), ("age", "nonsense")], 900),
        ];
        for (given, seconds) in cases {
            let headers: HeaderMap = given
                .iter()
                .map(|(name, value)| {
                    let value = HeaderValue::from_str(value).expect("a value");
                    (HeaderName::from_static(name), value)
                })
                .collect();
            assert_eq!(life(&headers), Duration::from_secs(seconds), "{given:?}");
        }
    }
}
