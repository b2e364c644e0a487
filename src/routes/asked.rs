//! What a caller requires of a token. All routes follow one rule: a requirement that is present must have a value.
//!
//! An empty template variable, or a list that lost its members, must not accept every token. [`Asked::new`] is the only
//! constructor, so no route can forget the rule.
//!
//! A misspelled requirement must not accept every token either. Routes refuse names that they do not know. The one
//! route that must ignore unknown names (RFC 7662) passes each of them to [`refuse_lookalike`].

use std::ops::Deref;

use signet_verify::Expectations;

use signet_edge::Problem;

/// The requirements of a caller, none of which is empty.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a>(Expectations<'a>);

impl<'a> Deref for Asked<'a> {
    type Target = Expectations<'a>;

    fn deref(&self) -> &Expectations<'a> {
        &self.0
    }
}

/// The requirements as they arrived. `None` means that one was left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The accepted audiences.
    pub audience: Option<&'a [&'a str]>,
    /// The accepted issuers.
    pub issuer: Option<&'a [&'a str]>,
    /// The required scopes, separated by spaces.
    pub scope: Option<&'a str>,
    /// The required `typ`.
    pub typ: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Checks the requirements.
    ///
    /// # Errors
    /// [`Problem`] (400) if one is present and empty: blank, a list without members, or a list with a blank member.
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
        Ok(Self(Expectations {
            audience: list("audience", given.audience)?,
            issuer: list("issuer", given.issuer)?,
            scope: text("scope", given.scope)?,
            typ: text("typ", given.typ)?,
        }))
    }
}

/// Parameters that clients of RFC 7662 send with the token. They require nothing of it.
const HARMLESS: [&str; 5] = [
    "token_type_hint",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];
/// Parts of a name that show which requirement was meant.
const PARTS: [(&str, &str); 3] = [("scope", "scope"), ("audien", "audience"), ("issuer", "issuer")];
/// Other names for the requirements, in the singular.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("scp", "scope"),
    ("aud", "audience"),
    ("resource", "audience"),
    ("iss", "issuer"),
    ("tokentyp", "typ"),
    ("tokentype", "typ"),
];
/// Requirements of other services that Signet does not support, in the singular.
const NOT_OURS: [&str; 14] = [
    "sub",
    "subject",
    "azp",
    "acr",
    "acrvalue",
    "amr",
    "role",
    "group",
    "permission",
    "entitlement",
    "claim",
    "tenant",
    "expect",
    "require",
];
/// Longer names are not typing errors.
const LONGEST_NAME: usize = 32;

/// Checks an unknown parameter, on a route that ignores such parameters. A misspelled `scope`
/// must not accept every token.
///
/// # Errors
/// [`Problem`] (400) if the name looks like a requirement. It names the parameter that was probably meant.
pub fn refuse_lookalike(name: &str) -> Result<(), Problem> {
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let letters = letters.to_ascii_lowercase();
    let wrong = |what: &str| {
        // A longer name may contain anything, so it is not quoted.
        let name = match name.len() > LONGEST_NAME {
            true => "a parameter".to_owned(),
            false => format!("{name:?}"),
        };
        let detail = format!("{name} is not a requirement that Signet knows: {what}");
        Err(Problem::request("invalid_request", detail))
    };
    if let Some(meant) = meant(&letters) {
        return wrong(&format!("write {meant} if you mean that, or leave the parameter out"));
    }
    let is_named = |name: &str| letters == *name || letters.strip_suffix('s') == Some(name);
    if NOT_OURS.iter().any(|name| is_named(name)) || letters.starts_with("require") || letters.starts_with("expect") {
        return wrong(
            "only audience, issuer, scope and typ can be required of a token; check other claims in the answer",
        );
    }
    Ok(())
}

/// The requirement that this name resembles.
fn meant(letters: &str) -> Option<&'static str> {
    let singular = letters.strip_suffix('s').unwrap_or(letters);
    let named = OTHER_NAMES.iter().find(|(name, _)| [letters, singular].contains(name));
    let part = || PARTS.iter().find(|(part, _)| letters.contains(part));
    if let Some((_, meant)) = named.or_else(part) {
        return Some(meant);
    }
    if letters.len() > LONGEST_NAME {
        return None;
    }
    ["audience", "issuer", "scope", "typ"]
        .into_iter()
        .map(|ours| (strsim::osa_distance(letters, ours), ours))
        .filter(|(distance, ours)| *distance <= (ours.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, ours)| ours)
}

/// A parameter that may be repeated. Without any value, it was left out.
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
        format!("{name} is empty; give it a value, or leave it out"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_resembles_a_requirement_is_refused_with_the_right_one() {
        for (name, right) in [
            ("Scope", "scope"),
            ("SCOPE", "scope"),
            ("scopes", "scope"),
            ("scope[]", "scope"),
            (" scope", "scope"),
            ("scope\u{200b}", "scope"),
            ("scp", "scope"),
            ("sope", "scope"),
            ("scoep", "scope"),
            ("required_scopes", "scope"),
            ("aud", "audience"),
            ("Audience", "audience"),
            ("audiences", "audience"),
            ("audience[0]", "audience"),
            ("audiance", "audience"),
            ("resource", "audience"),
            ("iss", "issuer"),
            ("issuers", "issuer"),
            ("isuer", "issuer"),
            ("type", "typ"),
            ("Typ", "typ"),
            ("token_type", "typ"),
            ("tpy", "typ"),
        ] {
            let problem = refuse_lookalike(name).expect_err(name);
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "invalid_request"));
            assert!(
                problem.detail().contains(&format!("write {right} if")),
                "{name}: {}",
                problem.detail()
            );
        }
        for name in ["sub", "roles", "acr_values", "required_claims", "expect", "Groups"] {
            let problem = refuse_lookalike(name).expect_err(name);
            assert!(
                problem.detail().contains("only audience, issuer, scope and typ"),
                "{}",
                problem.detail()
            );
        }
    }

    #[test]
    fn a_name_that_requires_nothing_is_let_through() {
        for name in HARMLESS.into_iter().chain([
            "",
            "more",
            "x",
            "format",
            "state",
            "nonce",
            "realm",
            "locale",
            "request_id",
            "access_token",
            "id",
            "v",
            "grant_type",
            "\u{e9}",
        ]) {
            assert!(refuse_lookalike(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_not_repeated() {
        let name = format!("eyJ{}scope", "x".repeat(500));
        let problem = refuse_lookalike(&name).expect_err("the text has the word");
        assert!(!problem.detail().contains("eyJ"), "{}", problem.detail());
    }

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
        assert_eq!((asked.audience, asked.issuer), (good, good));
        assert_eq!((asked.scope, asked.typ), (Some("read write"), Some("at+jwt")));
        let nothing = Asked::new(Given::default()).expect("nothing is required");
        assert!(nothing.audience.is_empty() && nothing.scope.is_none());

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
