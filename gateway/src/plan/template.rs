//! The path and query of a backend, with placeholders for values.
//!
//! The pattern is parsed once. A value is percent-encoded for its place and never parsed again, so no value can
//! change another part of the URL.

use std::fmt;

use http::uri::PathAndQuery;

use crate::routes::encode;

/// A compiled `url_pattern`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(Value),
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The parameter with this number in the path of the endpoint.
    Parameter(usize),
    /// A claim of the client's token.
    Claim(String),
    /// A member of the answer of an earlier backend in a chain.
    Answer {
        /// The number of the backend, from 0.
        backend: usize,
        /// The names on the path to the member.
        path: Vec<String>,
    },
}

/// Supplies the texts of values.
pub trait Values {
    /// The text of a value, if there is one.
    fn text(&self, value: &Value) -> Option<std::borrow::Cow<'_, str>>;
}

/// Why the values do not result in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoUrl {
    /// A value is missing, or empty where a segment must not be.
    Absent(Value),
    /// A segment would be `.` or `..`, which servers remove from the path.
    DotSegment,
    /// The URL would be too long.
    TooLong,
}

/// The names that may be in braces.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The parameters of the endpoint, in order.
    pub parameters: &'a [String],
    /// How many backends of a chain answer before this one.
    pub answers: usize,
    /// Whether the endpoint requires a token.
    pub has_token: bool,
}

impl Template {
    /// Compiles a pattern. The slash at the beginning is optional.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn parse(pattern: &str, names: Names<'_>) -> Result<Self, String> {
        let pattern = match pattern.starts_with('/') {
            true => pattern.to_owned(),
            false => format!("/{pattern}"),
        };
        if pattern.contains('#') {
            return Err("this has a fragment (#), which a URL of a request cannot have".to_owned());
        }
        let (path, query) = match pattern.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (pattern.as_str(), None),
        };
        let template = Self {
            path: pieces(path, names)?,
            query: query.map(|query| pieces(query, names)).transpose()?,
        };
        // With harmless values, the result must be a URL. After this check, only a bad value can make the URL invalid.
        struct Plain;
        impl Values for Plain {
            fn text(&self, _: &Value) -> Option<std::borrow::Cow<'_, str>> {
                Some("x".into())
            }
        }
        match template.expand(&Plain, "", "") {
            Ok(_) => Ok(template),
            Err(NoUrl::DotSegment) => {
                Err("a segment of the path is . or .., which servers resolve to another path".to_owned())
            }
            Err(_) => Err(
                "this is not the path and query of a URL; write spaces and other special characters as \
                     %XX"
                .to_owned(),
            ),
        }
    }

    /// The values that the pattern needs.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let pieces = self.path.iter().chain(self.query.iter().flatten());
        pieces.filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Value(value) => Some(value),
        })
    }

    /// The path and query with these values. `below` is the path of the host, and `more` are encoded
    /// pairs to add to the query.
    ///
    /// # Errors
    /// [`NoUrl`], if a value does not fit.
    pub fn expand(&self, values: &impl Values, below: &str, more: &str) -> Result<PathAndQuery, NoUrl> {
        let mut text = String::with_capacity(below.len() + more.len() + 64);
        text.push_str(below);
        let start = text.len();
        write(&self.path, values, true, &mut text)?;
        if text[start..].split('/').any(is_dots) {
            return Err(NoUrl::DotSegment);
        }
        let mut mark = '?';
        if let Some(query) = &self.query {
            text.push('?');
            write(query, values, false, &mut text)?;
            mark = '&';
        }
        if !more.is_empty() {
            text.push(mark);
            text.push_str(more);
        }
        PathAndQuery::try_from(text).map_err(|_| NoUrl::TooLong)
    }
}

/// Whether a segment is one of those that RFC 3986 §5.2.4 removes, encoded or not.
fn is_dots(segment: &str) -> bool {
    let mut dots = 0;
    let mut rest = segment;
    while !rest.is_empty() {
        rest = match rest.strip_prefix('.') {
            Some(rest) => rest,
            None => match rest.get(..3) {
                Some(dot) if dot.eq_ignore_ascii_case("%2e") => &rest[3..],
                _ => return false,
            },
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

fn write(pieces: &[Piece], values: &impl Values, in_path: bool, text: &mut String) -> Result<(), NoUrl> {
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Value(value) => {
                let found = values.text(value).filter(|text| !in_path || !text.is_empty());
                encode(&found.ok_or_else(|| NoUrl::Absent(value.clone()))?, text);
            }
        }
    }
    Ok(())
}

fn pieces(text: &str, names: Names<'_>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (literal, after) = rest.split_at(open);
        let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((name, after)) = inner else {
            return Err(format!("{text:?} has an unmatched brace"));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(Piece::Value(value(name, names)?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

fn value(name: &str, names: Names<'_>) -> Result<Value, String> {
    if let Some(claim) = name.strip_prefix("JWT.") {
        return match names.has_token && !claim.is_empty() {
            true => Ok(Value::Claim(claim.to_owned())),
            false => Err(format!("{{{name}}} needs a namespace auth/validator at the endpoint")),
        };
    }
    if let Some(index) = names.parameters.iter().position(|known| is_same(known, name)) {
        return Ok(Value::Parameter(index));
    }
    let answer = name.strip_prefix("resp").or_else(|| name.strip_prefix("Resp"));
    if let Some((number, path)) = answer.and_then(|rest| rest.split_once('_'))
        && let Ok(backend) = number.parse::<usize>()
    {
        return match backend < names.answers {
            true => Ok(Value::Answer {
                backend,
                path: path.split('.').map(str::to_owned).collect(),
            }),
            false => Err(format!(
                "{{{name}}} refers to the answer of backend {backend}, which has not answered yet: only a backend of a \
                 sequential endpoint can use answers, and only those of backends before it"
            )),
        };
    }
    let known = match names.parameters {
        [] => "it has none".to_owned(),
        known => format!("it has {{{}}}", known.join("}, {")),
    };
    Err(format!("{{{name}}} is not a parameter of the endpoint's path; {known}"))
}

/// Compares names like KrakenD, which first makes the first letter upper case.
fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.chars(), other.chars());
    match (one.next(), other.next()) {
        (Some(a), Some(b)) => a.to_uppercase().eq(b.to_uppercase()) && one.as_str() == other.as_str(),
        _ => false,
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = |f: &mut fmt::Formatter<'_>, piece: &Piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::Value(Value::Parameter(index)) => write!(f, "{{{index}}}"),
            Piece::Value(Value::Claim(claim)) => write!(f, "{{JWT.{claim}}}"),
            Piece::Value(Value::Answer { backend, path }) => write!(f, "{{resp{backend}_{}}}", path.join(".")),
        };
        self.path.iter().try_for_each(|part| piece(f, part))?;
        if let Some(query) = &self.query {
            f.write_str("?")?;
            query.iter().try_for_each(|part| piece(f, part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    struct Given(&'static [&'static str]);

    impl Values for Given {
        fn text(&self, value: &Value) -> Option<Cow<'_, str>> {
            match value {
                Value::Parameter(index) => self.0.get(*index).map(|text| (*text).into()),
                _ => None,
            }
        }
    }

    fn names(parameters: &[String]) -> Names<'_> {
        Names {
            parameters,
            answers: 1,
            has_token: true,
        }
    }

    fn expanded(pattern: &str, values: &'static [&'static str]) -> Result<String, NoUrl> {
        let parameters = ["id".to_owned(), "name".to_owned()];
        let template = Template::parse(pattern, names(&parameters)).expect(pattern);
        template.expand(&Given(values), "", "").map(|url| url.to_string())
    }

    #[test]
    fn no_value_leaves_its_place() {
        for (pattern, values, url) in [
            ("/u/{id}", &["7"][..], "/u/7"),
            ("u/{Id}/x", &["a b"], "/u/a%20b/x"),
            ("/u/{id}", &["a/../b"], "/u/a%2F..%2Fb"),
            ("/u/{id}", &["a?b=c#d"], "/u/a%3Fb%3Dc%23d"),
            ("/u/{id}", &["%2e%2e"], "/u/%252e%252e"),
            ("/u?a={id}&b=c", &["x&b=d"], "/u?a=x%26b%3Dd&b=c"),
            ("/u/{id}/{name}", &["{name}", "n"], "/u/%7Bname%7D/n"),
            ("/u/{id}.json", &[".."], "/u/...json"),
        ] {
            assert_eq!(expanded(pattern, values).as_deref(), Ok(url), "{pattern}");
        }
    }

    #[test]
    fn a_segment_that_means_another_place_is_no_url() {
        for (pattern, values) in [
            ("/u/{id}", &["."][..]),
            ("/u/{id}", &[".."]),
            ("/u/.{id}/x", &["."]),
            ("/u/{id}{name}", &[".", "."]),
        ] {
            assert_eq!(
                expanded(pattern, values),
                Err(NoUrl::DotSegment),
                "{pattern} {values:?}"
            );
        }
        assert_eq!(expanded("/u/{id}", &[""]), Err(NoUrl::Absent(Value::Parameter(0))));
        assert_eq!(expanded("/u?a={id}", &[""]).as_deref(), Ok("/u?a="));
        assert_eq!(expanded("/u?a={id}", &[".."]).as_deref(), Ok("/u?a=.."));
        assert_eq!(expanded("/u/{name}", &["a"]), Err(NoUrl::Absent(Value::Parameter(1))));
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        let parameters = ["id".to_owned()];
        for (pattern, says) in [
            ("/u/{other}", "not a parameter of the endpoint's path; it has {id}"),
            ("/u/{ID}", "is not a parameter"),
            ("/u/{id", "an unmatched brace"),
            ("/u/id}", "an unmatched brace"),
            ("/u/{}", "is not a parameter"),
            ("/u/{resp1_a}", "has not answered yet"),
            ("/u/../v", "is . or .."),
            ("/u/%2E%2e/v", "is . or .."),
            ("/u/a b", "not the path and query"),
            ("/u#a", "has a fragment"),
        ] {
            let why = Template::parse(pattern, names(&parameters)).expect_err(pattern);
            assert!(why.contains(says), "{pattern}: {why}");
        }
        let without = Names {
            parameters: &[],
            answers: 0,
            has_token: false,
        };
        assert!(
            Template::parse("/{JWT.sub}", without)
                .expect_err("no token")
                .contains("auth/validator")
        );
    }

    #[test]
    fn a_pattern_names_what_it_needs() {
        let parameters = ["id".to_owned()];
        let pattern = "/{resp0_a.b}/{JWT.sub}?x={id}";
        let template = Template::parse(pattern, names(&parameters)).expect("a pattern");
        assert_eq!(template.values().count(), 3);
        assert_eq!(template.to_string(), "/{resp0_a.b}/{JWT.sub}?x={0}");
    }

    #[test]
    fn more_pairs_follow_those_of_the_pattern() {
        let parameters = [];
        let expand = |pattern: &str, below: &str, more: &str| {
            let template = Template::parse(pattern, names(&parameters)).expect(pattern);
            template.expand(&Given(&[]), below, more).expect("a URL").to_string()
        };
        assert_eq!(expand("/a", "", "b=c"), "/a?b=c");
        assert_eq!(expand("/a?x=y", "", "b=c"), "/a?x=y&b=c");
        assert_eq!(expand("/a", "/base", ""), "/base/a");
    }
}
