//! The table of all keys that a file may have, and how this program treats them. The reference is generated from this
//! table, and the walk over a file refuses every other key.
//!
//! A key that KrakenD knows is supported, refused, or ignored. If it is refused, the text has the reason and what to
//! do. If it changes no answer and protects nothing, it is ignored with a warning.

pub mod about;
mod backend;
mod endpoint;
mod namespaces;
mod root;
mod tls;

pub use namespaces::NAMESPACES;
pub use root::ROOT;

/// The name in a table that accepts every key.
pub const ANY_KEY: &str = "*";

/// A key of an object.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name of the key.
    pub name: &'static str,
    /// How the key is treated.
    pub support: Support,
    /// The kind of value that the key has.
    pub holds: Holds,
    /// Whether the key protects something. A misspelled one is refused even if the file is read leniently.
    pub protects: bool,
}

/// How a key is treated.
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// The key is read.
    Supported,
    /// A file with the key is refused. The text says why, and what to do.
    Refused(&'static str),
    /// The key is accepted only with this value, in compact JSON, which changes nothing. The second text is for
    /// the refusal of other values.
    Only(&'static str, &'static str),
    /// The key changes no answer and protects nothing. The text says what happens instead.
    Ignored(&'static str),
}

/// The kind of value that a key has.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// A value that is checked where it is used.
    Value,
    /// A value with names that the user chooses.
    Anything,
    /// An object with these keys.
    Object(&'static [Key]),
    /// A list of objects with these keys.
    Objects(&'static [Key]),
    /// The namespaces of this scope.
    Namespaces(Scope),
}

/// Where a namespace is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In `extra_config` of the root.
    Service,
    /// In `extra_config` of an endpoint.
    Endpoint,
    /// In `extra_config` of a backend.
    Backend,
}

impl Scope {
    /// The name of the scope, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "the root",
            Self::Endpoint => "an endpoint",
            Self::Backend => "a backend",
        }
    }
}

/// A namespace of `extra_config`.
#[derive(Clone, Copy, Debug)]
pub struct Namespace {
    /// The name of the namespace, or its beginning if it ends with `/`.
    pub name: &'static str,
    /// Where the namespace is allowed, and with which keys.
    pub scopes: &'static [(Scope, Support, &'static [Key])],
    /// Whether the namespace protects something. An unknown key in it is refused even if the file is read leniently.
    pub protects: bool,
}

impl Namespace {
    /// Whether the namespace has this name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        match self.name.ends_with('/') {
            true => name.starts_with(self.name),
            false => name == self.name,
        }
    }
}

const fn key(name: &'static str) -> Key {
    Key {
        name,
        support: Support::Supported,
        holds: Holds::Value,
        protects: false,
    }
}

const fn refused(name: &'static str, why: &'static str) -> Key {
    Key {
        support: Support::Refused(why),
        holds: Holds::Anything,
        ..key(name)
    }
}

const fn only(name: &'static str, value: &'static str, why: &'static str) -> Key {
    Key {
        support: Support::Only(value, why),
        holds: Holds::Anything,
        ..key(name)
    }
}

const fn ignored(name: &'static str, why: &'static str) -> Key {
    Key {
        support: Support::Ignored(why),
        holds: Holds::Anything,
        ..key(name)
    }
}

const fn holding(name: &'static str, holds: Holds) -> Key {
    Key { holds, ..key(name) }
}

const fn protecting(key: Key) -> Key {
    Key { protects: true, ..key }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[Key]) {
        let mut names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        assert!(
            names.windows(2).all(|pair| pair[0] != pair[1]),
            "twice in one table: {names:?}"
        );
        for key in keys {
            match key.support {
                Support::Refused(why) | Support::Only(_, why) | Support::Ignored(why) => {
                    assert!(!why.is_empty() && !why.ends_with('.'), "{}: {why}", key.name);
                }
                Support::Supported => {}
            }
            if let Holds::Object(keys) | Holds::Objects(keys) = key.holds {
                check(keys);
            }
        }
    }

    #[test]
    fn no_key_stands_twice_in_a_table_and_every_refusal_says_why() {
        check(ROOT);
        for (index, namespace) in NAMESPACES.iter().enumerate() {
            assert!(
                NAMESPACES[..index].iter().all(|other| !other.is_named(namespace.name)),
                "{} is hidden by one before it",
                namespace.name
            );
            for (_, _, keys) in namespace.scopes {
                check(keys);
            }
        }
    }
}
