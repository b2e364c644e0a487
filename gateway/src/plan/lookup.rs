//! Finds a claim in a token.

use crate::tree::{self, Members, Tree};

/// The names on the path to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup(Vec<String>);

impl Lookup {
    /// The claim with exactly this name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// A path of names separated by dots. A URL counts as one name, because Auth0 has such claims.
    #[must_use]
    pub fn path(path: &str) -> Self {
        match path.starts_with("http") {
            true => Self::name(path),
            false => Self(path.split('.').map(str::to_owned).collect()),
        }
    }

    /// Finds the value, if it exists.
    #[must_use]
    pub fn find(&self, claims: &Members) -> Option<Tree> {
        tree::find(claims, &self.0)
    }

    /// The strings of a claim that is a string or an array. Other items of the array are left out.
    #[must_use]
    pub fn texts(&self, claims: &Members) -> Vec<String> {
        let Some(Tree::Raw(raw)) = self.find(claims) else {
            return Vec::new();
        };
        match raw.first() {
            Some(b'[') => tree::items(&raw).iter().filter_map(tree::unquoted).collect(),
            _ => tree::unquoted(&raw).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn dots_walk_through_objects_and_a_url_is_one_name() {
        let claims = tree::open(&Bytes::from_static(
            br#"{"a":{"roles":["x",1,"y"]},"a.roles":"z","https://a.test/roles":["w"],"n":7}"#,
        ))
        .expect("an object");
        let texts = |lookup: Lookup| lookup.texts(&claims);
        assert_eq!(texts(Lookup::path("a.roles")), ["x", "y"]);
        assert_eq!(texts(Lookup::name("a.roles")), ["z"]);
        assert_eq!(texts(Lookup::path("https://a.test/roles")), ["w"]);
        for nothing in ["n", "a", "b", "a.roles.x"] {
            assert!(texts(Lookup::path(nothing)).is_empty(), "{nothing}");
        }
    }
}
