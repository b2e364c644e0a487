//! What a caller requires of a token, and the one rule for it at every door: a requirement that is there has a value.
//!
//! A template that was filled with nothing, or a list that lost its members, must not let everybody in. [`Asked::new`] is
//! the only way to requirements, so no door can forget the rule.

use crate::http::problem::Problem;

/// What a caller asks of a token, before the configuration fills what it left out.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    audience: &'a [&'a str],
    issuer: &'a [&'a str],
    scope: Option<&'a str>,
    typ: Option<&'a str>,
}

/// The requirements as they came; `None` is one that was left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The audiences of which one is required.
    pub audience: Option<&'a [&'a str]>,
    /// The issuers of which one is required.
    pub issuer: Option<&'a [&'a str]>,
    /// The scopes required, separated by spaces.
    pub scope: Option<&'a str>,
    /// The type required.
    pub typ: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Takes the requirements.
    ///
    /// # Errors
    /// [`Problem`] (400) if one is there and empty: blank, a list without members, or one with a blank member.
    pub fn new(given: Given<'a>) -> Result<Self, Problem> {
        let list = |name, given: Option<&'a [&'a str]>| match given {
            None => Ok(&[][..]),
            Some(list) if list.is_empty() || list.iter().any(|text| is_blank(text)) => Err(empty(name)),
            Some(list) => Ok(list),
        };
        let text = |name, given: Option<&'a str>| match given {
            Some(text) if is_blank(text) => Err(empty(name)),
            given => Ok(given),
        };
        Ok(Self {
            audience: list("audience", given.audience)?,
            issuer: list("issuer", given.issuer)?,
            scope: text("scope", given.scope)?,
            typ: text("typ", given.typ)?,
        })
    }

    /// The audiences of which one is required; empty for the configured ones.
    #[must_use]
    pub const fn audience(&self) -> &'a [&'a str] {
        self.audience
    }

    /// The issuers of which one is required; empty for our own and every trusted one.
    #[must_use]
    pub const fn issuer(&self) -> &'a [&'a str] {
        self.issuer
    }

    /// The scopes required.
    #[must_use]
    pub const fn scope(&self) -> Option<&'a str> {
        self.scope
    }

    /// The type required.
    #[must_use]
    pub const fn typ(&self) -> Option<&'a str> {
        self.typ
    }
}

/// A parameter that may be repeated: without any it was left out.
#[must_use]
pub fn listed<'a>(texts: &'a [&'a str]) -> Option<&'a [&'a str]> {
    (!texts.is_empty()).then_some(texts)
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn empty(name: &str) -> Problem {
    Problem::request(
        "invalid_request",
        format!("{name} is empty, and would require nothing; give it a value, or leave it out"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_that_is_there_has_a_value() {
        let good: &[&str] = &["a", "b"];
        let all = Given {
            audience: Some(good),
            issuer: Some(good),
            scope: Some("read write"),
            typ: Some("at+jwt"),
        };
        let asked = Asked::new(all).expect("requirements");
        assert_eq!((asked.audience(), asked.issuer()), (good, good));
        assert_eq!((asked.scope(), asked.typ()), (Some("read write"), Some("at+jwt")));
        let nothing = Asked::new(Given::default()).expect("nothing is required");
        assert!(nothing.audience().is_empty() && nothing.scope().is_none());

        for list in [&[][..], &[""], &[" "], &["a", ""], &["\t", "a"], &["\u{a0}"]] {
            for given in [
                Given {
                    audience: Some(list),
                    ..all
                },
                Given {
                    issuer: Some(list),
                    ..all
                },
            ] {
                let problem = Asked::new(given).expect_err("an empty requirement");
                assert_eq!(
                    (problem.status().as_u16(), problem.code()),
                    (400, "invalid_request"),
                    "{list:?}"
                );
            }
        }
        for text in ["", " ", "  \t\r\n", "\u{a0}", "\u{2003}"] {
            for given in [
                Given {
                    scope: Some(text),
                    ..all
                },
                Given { typ: Some(text), ..all },
            ] {
                let problem = Asked::new(given).expect_err("an empty requirement");
                assert_eq!(
                    (problem.status().as_u16(), problem.code()),
                    (400, "invalid_request"),
                    "{text:?}"
                );
            }
        }
    }
}
