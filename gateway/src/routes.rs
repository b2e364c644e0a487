//! Finds the endpoint for a path, in a tree of segments. A literal has precedence over a parameter.
//!
//! A path is split before it is decoded, so an encoded slash stays part of its segment. This module knows
//! no requests and no answers.

use std::collections::BTreeMap;

use http::Method;

/// The endpoints, by path.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    root: Branch,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    literals: BTreeMap<String, Branch>,
    parameter: Option<Box<Branch>>,
    endpoints: Vec<(Method, usize)>,
}

/// A segment of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The segment must be this text.
    Literal(String),
    /// The segment may be any text but the empty one.
    Parameter(String),
}

/// The result for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// The endpoint, with the values of its parameters in order.
    Endpoint(usize, Vec<String>),
    /// The path has endpoints, but only with these other methods.
    OtherMethods(Vec<Method>),
    /// The path has no endpoint.
    Nothing,
}

/// The path of a request cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

/// The ways in which a path may differ from an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// A slash at the end.
    pub slash: bool,
    /// The case of letters.
    pub case: bool,
}

impl Routes {
    /// Adds an endpoint.
    ///
    /// # Errors
    /// The endpoint that already answers the same requests.
    pub fn add(&mut self, method: Method, route: &[Segment], endpoint: usize) -> Result<(), usize> {
        let leaf = route.iter().fold(&mut self.root, |branch, segment| match segment {
            Segment::Literal(text) => branch.literals.entry(text.clone()).or_default(),
            Segment::Parameter(_) => branch.parameter.get_or_insert_default(),
        });
        if let Some((_, other)) = leaf.endpoints.iter().find(|(at, _)| *at == method) {
            return Err(*other);
        }
        leaf.endpoints.push((method, endpoint));
        Ok(())
    }

    /// Finds the endpoint for a request.
    ///
    /// # Errors
    /// [`Undecodable`], if the path cannot be decoded.
    pub fn find(&self, method: &Method, path: &str) -> Result<RouteMatch, Undecodable> {
        let segments = segments(path)?;
        let mut values = Vec::new();
        if let Some(endpoint) = self.root.find(method, &segments, &mut values) {
            return Ok(RouteMatch::Endpoint(endpoint, values));
        }
        let mut methods = Vec::new();
        self.root.methods(&segments, &mut methods);
        methods.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        methods.dedup();
        match methods.is_empty() {
            true => Ok(RouteMatch::Nothing),
            false => Ok(RouteMatch::OtherMethods(methods)),
        }
    }

    /// The encoded path of an endpoint that was probably meant by a path without an endpoint.
    #[must_use]
    pub fn nearest(&self, method: &Method, path: &str, tolerance: Tolerance) -> Option<String> {
        // Some browsers treat a backslash as a slash, and a redirect could then lead to another host.
        if path.contains('\\') {
            return None;
        }
        let decoded = segments(path).ok()?;
        let raw: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let mut tries = vec![(decoded.clone(), raw.clone())];
        if tolerance.slash {
            let (mut decoded, mut raw) = (decoded, raw);
            match decoded.last().is_some_and(String::is_empty) {
                true => {
                    decoded.pop();
                    raw.pop();
                }
                false => {
                    decoded.push(String::new());
                    raw.push("");
                }
            }
            tries.push((decoded, raw));
        }
        for (index, (decoded, raw)) in tries.iter().enumerate() {
            let mut found = Vec::new();
            let is_other = index > 0 || tolerance.case;
            if is_other && self.root.nearest(method, decoded, raw, tolerance.case, &mut found) {
                let path: String = found.iter().map(|segment| format!("/{segment}")).collect();
                return Some(if path.is_empty() { "/".to_owned() } else { path });
            }
        }
        None
    }
}

impl Branch {
    fn find(&self, method: &Method, segments: &[String], values: &mut Vec<String>) -> Option<usize> {
        let Some((first, rest)) = segments.split_first() else {
            let found = self.endpoints.iter().find(|(at, _)| at == method);
            return found.map(|(_, endpoint)| *endpoint);
        };
        let literal = self.literals.get(first);
        if let Some(found) = literal.and_then(|branch| branch.find(method, rest, values)) {
            return Some(found);
        }
        let parameter = self.parameter.as_ref().filter(|_| !first.is_empty())?;
        values.push(first.clone());
        let found = parameter.find(method, rest, values);
        if found.is_none() {
            values.pop();
        }
        found
    }

    fn methods(&self, segments: &[String], methods: &mut Vec<Method>) {
        let Some((first, rest)) = segments.split_first() else {
            methods.extend(self.endpoints.iter().map(|(method, _)| method.clone()));
            return;
        };
        if let Some(branch) = self.literals.get(first) {
            branch.methods(rest, methods);
        }
        if let Some(parameter) = self.parameter.as_ref().filter(|_| !first.is_empty()) {
            parameter.methods(rest, methods);
        }
    }

    fn nearest(
        &self,
        method: &Method,
        decoded: &[String],
        raw: &[&str],
        ignores_case: bool,
        found: &mut Vec<String>,
    ) -> bool {
        let (Some((first, decoded)), Some((own, raw))) = (decoded.split_first(), raw.split_first()) else {
            return self.endpoints.iter().any(|(at, _)| at == method);
        };
        for (literal, branch) in &self.literals {
            if literal == first || (ignores_case && literal.to_lowercase() == first.to_lowercase()) {
                found.push(encoded(literal));
                if branch.nearest(method, decoded, raw, ignores_case, found) {
                    return true;
                }
                found.pop();
            }
        }
        let Some(parameter) = self.parameter.as_ref().filter(|_| !first.is_empty()) else {
            return false;
        };
        found.push((*own).to_owned());
        if parameter.nearest(method, decoded, raw, ignores_case, found) {
            return true;
        }
        found.pop();
        false
    }
}

/// Splits a path into decoded segments. The root has none.
fn segments(path: &str) -> Result<Vec<String>, Undecodable> {
    let rest = path.strip_prefix('/').ok_or(Undecodable)?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    rest.split('/')
        .map(|segment| decoded(segment).ok_or(Undecodable))
        .collect()
}

/// Removes percent-encoding. `None` if it is malformed or does not give UTF-8.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
                octets.push(u8::try_from(high * 16 + low).ok()?);
                after
            }
            (b'%', _) => return None,
            _ => {
                octets.push(*first);
                after
            }
        };
    }
    String::from_utf8(octets).ok()
}

/// Encodes a text as one segment of a path, or as one name or value of a query: everything but the unreserved
/// characters of RFC 3986 §2.3. The text cannot change the meaning of the URL around it.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode(text, &mut encoded);
    encoded
}

/// Like [`encoded`], but appends to another text.
pub fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(octet));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(octet >> 4)]));
            into.push(char::from(DIGITS[usize::from(octet & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Vec<Segment> {
        let rest = path.strip_prefix('/').expect("a path");
        let segment = |text: &str| match text.strip_prefix('{') {
            Some(name) => Segment::Parameter(name.trim_end_matches('}').to_owned()),
            None => Segment::Literal(text.to_owned()),
        };
        match rest.is_empty() {
            true => Vec::new(),
            false => rest.split('/').map(segment).collect(),
        }
    }

    fn routes(paths: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for (index, path) in paths.iter().enumerate() {
            routes.add(Method::GET, &route(path), index).expect("no conflict");
        }
        routes
    }

    fn found(routes: &Routes, path: &str) -> Option<(usize, Vec<String>)> {
        match routes.find(&Method::GET, path).expect("a path") {
            RouteMatch::Endpoint(endpoint, values) => Some((endpoint, values)),
            _ => None,
        }
    }

    #[test]
    fn a_literal_beats_a_parameter_and_what_follows_may_take_it_back() {
        let routes = routes(&["/", "/a/b", "/a/{x}", "/{x}/c", "/a/{x}/d", "/{x}/{y}/e"]);
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(found(&routes, "/"), Some((0, values(&[]))));
        assert_eq!(found(&routes, "/a/b"), Some((1, values(&[]))));
        assert_eq!(found(&routes, "/a/x"), Some((2, values(&["x"]))));
        assert_eq!(found(&routes, "/b/c"), Some((3, values(&["b"]))));
        assert_eq!(found(&routes, "/a/c"), Some((2, values(&["c"]))));
        assert_eq!(found(&routes, "/a/b/d"), Some((4, values(&["b"]))));
        assert_eq!(found(&routes, "/a/b/e"), Some((5, values(&["a", "b"]))));
        for nothing in ["/a", "/a/", "/a//d", "//c", "/a/b/", "/A/b", "/a/b/c/d"] {
            assert_eq!(found(&routes, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_segment_is_decoded_after_the_path_is_split() {
        let routes = routes(&["/a b/{x}"]);
        assert_eq!(
            found(&routes, "/a%20b/c%2Fd%252e"),
            Some((0, vec!["c/d%2e".to_owned()]))
        );
        for bad in ["/a%", "/a%2", "/%zz", "/%ff", "a", "*", "/%+1"] {
            assert_eq!(routes.find(&Method::GET, bad), Err(Undecodable), "{bad}");
        }
    }

    #[test]
    fn two_endpoints_for_the_same_requests_are_a_conflict() {
        let mut routes = routes(&["/a/{x}"]);
        assert_eq!(routes.add(Method::GET, &route("/a/{y}"), 1), Err(0));
        assert_eq!(routes.add(Method::POST, &route("/a/{y}"), 1), Ok(()));
        assert_eq!(
            routes.find(&Method::PUT, "/a/1"),
            Ok(RouteMatch::OtherMethods(vec![Method::GET, Method::POST]))
        );
        assert_eq!(routes.find(&Method::PUT, "/b"), Ok(RouteMatch::Nothing));
    }

    #[test]
    fn each_method_has_a_tree_of_its_own() {
        let mut routes = routes(&["/a/b"]);
        routes.add(Method::POST, &route("/a/{x}"), 1).expect("no conflict");
        assert_eq!(
            routes.find(&Method::POST, "/a/b"),
            Ok(RouteMatch::Endpoint(1, vec!["b".to_owned()]))
        );
    }

    #[test]
    fn a_path_that_differs_by_its_last_slash_or_its_case_is_told_apart() {
        let routes = routes(&["/", "/Users/{id}", "/list/"]);
        let nearest = |path: &str, slash, case| routes.nearest(&Method::GET, path, Tolerance { slash, case });
        assert_eq!(nearest("/Users/a%2Fb/", true, false).as_deref(), Some("/Users/a%2Fb"));
        assert_eq!(nearest("/list", true, false).as_deref(), Some("/list/"));
        assert_eq!(nearest("/users/Ab", true, true).as_deref(), Some("/Users/Ab"));
        assert_eq!(nearest("/users/Ab/", true, true).as_deref(), Some("/Users/Ab"));
        assert_eq!(nearest("/users/Ab", true, false), None);
        assert_eq!(nearest("/list", false, false), None);
        assert_eq!(nearest("/nothing", true, true), None);
        assert_eq!(
            routes.nearest(
                &Method::POST,
                "/list",
                Tolerance {
                    slash: true,
                    case: true
                }
            ),
            None
        );
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        let routes = routes(&["/{x}", "/{x}/"]);
        let tolerance = Tolerance {
            slash: true,
            case: true,
        };
        for path in [
            "//evil.example/",
            "/\\evil.example/",
            "/\\evil.example",
            "//evil.example",
        ] {
            let nearest = routes.nearest(&Method::GET, path, tolerance);
            assert!(nearest.is_none(), "{path}: {nearest:?}");
        }
    }

    #[test]
    fn whatever_a_value_is_it_stays_one_value() {
        for text in ["/", "..%2f", "a?b#c", "é\u{0}\r\n", "a b+c&d=e;f", "{resp0_x}"] {
            let encoded = encoded(text);
            assert!(
                encoded
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || b"-._~%".contains(&octet)),
                "{encoded}"
            );
            assert_eq!(decoded(&encoded).as_deref(), Some(text));
        }
    }
}
