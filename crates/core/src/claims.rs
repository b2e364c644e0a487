//! Reading the claims that decide about a token.
//!
//! RFC 7519 §4.1 and RFC 8693 §4.2 define the forms. Signet also reads the other forms that many issuers write, if the
//! meaning is clear. Any other form makes the token malformed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::Dialect;
use crate::json::{Fault, Object};
use crate::refusal::Refusal;
use crate::time::{Timestamp, YEAR_10000};

pub(crate) fn claims(payload: &str) -> Result<Object<'_>, Refusal> {
    Object::parse(payload).map_err(|error| Refusal::Malformed(in_claims(error.fault())))
}

const fn in_claims(fault: Fault) -> &'static str {
    match fault {
        Fault::NotJson => "the claims are not JSON (RFC 8259)",
        Fault::NotAnObject => "the claims are not a JSON object (RFC 7519 §7.2)",
        Fault::Duplicate => "the claims have a duplicate member (RFC 7519 §4)",
        Fault::TooDeep => "the claims are nested more than 16 levels deep",
        Fault::HugeNumber => "the claims have a number that is larger than a 64-bit floating point number can be",
        Fault::BrokenString => "the claims have a string with half of a surrogate pair (RFC 8259 §8.2)",
    }
}

pub(crate) fn issuer(claims: &Object<'_>) -> Result<Option<String>, Refusal> {
    member(claims, "iss", "iss is not a string (RFC 7519 §4.1.1)")
}

pub(crate) fn audience(claims: &Object<'_>, dialect: &Dialect) -> Result<Texts, Refusal> {
    let audience = match &dialect.audience {
        None => member::<OneOrMany>(
            claims,
            "aud",
            "aud is neither a string nor an array of strings (RFC 7519 §4.1.3)",
        )?,
        Some(path) => value(
            present(path.find(claims)),
            "the claim that audience_claim names is neither a string nor an array of strings",
        )?,
    };
    Ok(audience.map_or_else(Texts::default, OneOrMany::into_texts))
}

/// Reads the scopes and joins them with spaces. RFC 8693 §4.2 defines one string in `scope`. Duende, Spring and
/// ForgeRock write an array there; other issuers write an array in `scp`.
pub(crate) fn scope(claims: &Object<'_>, dialect: &Dialect) -> Result<Option<Box<str>>, Refusal> {
    let read = |found, why| value::<OneOrMany>(present(found), why).map(|found| found.map(OneOrMany::into_scope));
    if dialect.scope.is_empty() {
        let scope = read(
            claims.member("scope"),
            "scope is neither a string nor an array of strings (RFC 8693 §4.2)",
        )?;
        let scope = match scope {
            Some(scope) => Some(scope),
            None => read(claims.member("scp"), "scp is neither a string nor an array of strings")?,
        };
        return Ok(scope.map(String::into_boxed_str));
    }
    let mut scopes: Option<String> = None;
    for path in &dialect.scope {
        let found = read(
            path.find(claims),
            "a claim that scope_claims names is neither a string nor an array of strings",
        )?;
        let Some(found) = found.filter(|scope| !scope.is_empty()) else {
            continue;
        };
        scopes = Some(match scopes {
            None => found,
            Some(scopes) => scopes + " " + &found,
        });
    }
    Ok(scopes.map(String::into_boxed_str))
}

/// Treats `null` as absent, because many serializers write it for a missing value.
fn present(found: Option<&RawValue>) -> Option<&RawValue> {
    found.filter(|value| value.get() != "null")
}

/// A list of strings in one allocation. A token can hold thousands of short audiences, and as separate `String`s they
/// would take ten times the memory.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    joined: Box<str>,
    ends: Box<[u32]>,
}

impl Texts {
    fn new(texts: &[String]) -> Self {
        let mut end = 0;
        let ends = texts.iter().map(|text| {
            end += text.len();
            // The texts come from a token, which is shorter than 4 GiB.
            u32::try_from(end).unwrap_or(u32::MAX)
        });
        Self {
            ends: ends.collect(),
            joined: texts.concat().into_boxed_str(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            self.joined
                .get(std::mem::replace(&mut begin, end)..end)
                .unwrap_or_default()
        })
    }

    pub(crate) fn octets_held(&self) -> usize {
        self.joined.len() + size_of_val(&*self.ends) + 32
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_texts(self) -> Texts {
        match self {
            Self::One(one) => Texts::new(&[one]),
            Self::Many(many) => Texts::new(&many),
        }
    }

    /// Joins the values with spaces. A value that contains a space is dropped, because it is not a valid scope (RFC
    /// 6749 §3.3) and would turn into several: the role `not admin` must not become the scope `admin`.
    fn into_scope(self) -> String {
        match self {
            Self::One(one) => one,
            Self::Many(many) => {
                let fit: Vec<String> = many
                    .into_iter()
                    .filter(|scope| !scope.is_empty() && !scope.contains(' '))
                    .collect();
                fit.join(" ")
            }
        }
    }
}

pub(crate) fn member<'a, T: Deserialize<'a>>(
    claims: &Object<'a>,
    name: &str,
    why: &'static str,
) -> Result<Option<T>, Refusal> {
    value(claims.member(name), why)
}

/// Reads a claim that may be absent.
pub(crate) fn optional<'a, T: Deserialize<'a>>(
    claims: &Object<'a>,
    name: &str,
    why: &'static str,
) -> Result<Option<T>, Refusal> {
    value(present(claims.member(name)), why)
}

fn value<'a, T: Deserialize<'a>>(found: Option<&'a RawValue>, why: &'static str) -> Result<Option<T>, Refusal> {
    found
        .map(|value| serde_json::from_str(value.get()).map_err(|_| Refusal::Malformed(why)))
        .transpose()
}

/// Reads a `NumericDate`, which may have a fraction (RFC 7519 §2). A date after the year 9999 is an error of the
/// issuer, most often milliseconds instead of seconds.
pub(crate) fn date(claims: &Object<'_>, name: &str, why: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let Some(seconds) = optional::<f64>(claims, name, why)? else {
        return Ok(None);
    };
    if !(0.0..YEAR_10000 as f64).contains(&seconds) {
        return Err(Refusal::Malformed(why));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above and below")]
    Ok(Some(Timestamp::from_millis((seconds * 1000.0) as i64)))
}
