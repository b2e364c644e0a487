//! The namespace `security/bot-detector`: which clients are refused for their `User-Agent`.

use http::HeaderMap;
use http::header::USER_AGENT;
use regex::RegexSet;

use crate::file::Section;

/// The rules, compiled.
#[derive(Clone, Debug)]
pub struct Bots {
    allow: Vec<String>,
    deny: Vec<String>,
    patterns: RegexSet,
    refuses_none: bool,
}

impl Bots {
    /// Reads the namespace. Reports every problem.
    pub fn read(bots: &Section<'_>) -> Self {
        let owned = |key: &str| bots.texts(key).iter().map(|text| text.value.to_owned()).collect();
        let patterns = bots.texts("patterns");
        for text in &patterns {
            if let Err(error) = regex::Regex::new(text.value) {
                bots.refuse_at(&text.place, format!("this is no pattern: {error}"));
            }
        }
        let set = RegexSet::new(patterns.iter().map(|text| text.value));
        if set.is_err() {
            bots.refuse("patterns", "the patterns are too large or wrong; write simpler ones");
        }
        Self {
            allow: owned("allow"),
            deny: owned("deny"),
            patterns: set.unwrap_or_else(|_| RegexSet::empty()),
            refuses_none: bots.flag("empty_user_agent_is_bot"),
        }
    }

    /// Whether a request with these headers is refused.
    #[must_use]
    pub fn refuse(&self, headers: &HeaderMap) -> bool {
        let agent = headers
            .get(USER_AGENT)
            .map(http::HeaderValue::as_bytes)
            .unwrap_or_default();
        if agent.is_empty() {
            return self.refuses_none;
        }
        let agent = String::from_utf8_lossy(agent);
        let is_in = |list: &[String]| list.iter().any(|listed| *listed == agent);
        !is_in(&self.allow) && (is_in(&self.deny) || self.patterns.is_match(&agent))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http::HeaderValue;

    use super::*;
    use crate::file::{Report, json};

    fn read(text: &str) -> (Bots, Report) {
        let node = json::parse(text).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let bots = Bots::read(&Section::root(&node, &report));
        (bots, report.into_inner())
    }

    fn refuses(bots: &Bots, agent: Option<&'static str>) -> bool {
        let agent = agent.map(|agent| (USER_AGENT, HeaderValue::from_static(agent)));
        bots.refuse(&agent.into_iter().collect())
    }

    #[test]
    fn an_allowed_agent_goes_on_and_a_denied_or_matching_one_does_not() {
        let (bots, report) = read(
            r#"{"allow":["Pingdom 1.1","c"],"deny":["a","c"],"patterns":["Pingdom \\d","(?i)^curl/"],"cache_size":100}"#,
        );
        assert!(report.is_good());
        for (agent, is_refused) in [
            (None, false),
            (Some(""), false),
            (Some("Firefox"), false),
            (Some("Pingdom 1.1"), false),
            (Some("c"), false),
            (Some("a"), true),
            (Some("A"), false),
            (Some("my Pingdom 1.2"), true),
            (Some("CURL/8"), true),
        ] {
            assert_eq!(refuses(&bots, agent), is_refused, "{agent:?}");
        }
        let (strict, _) = read(r#"{"empty_user_agent_is_bot":true}"#);
        assert!(refuses(&strict, None) && refuses(&strict, Some("")) && !refuses(&strict, Some("a")));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        assert!(!read(r#"{"patterns":["a("]}"#).1.is_good());
        assert!(!read(r#"{"patterns":["a","(?=b)"]}"#).1.is_good());
    }
}
