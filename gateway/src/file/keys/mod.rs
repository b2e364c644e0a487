//! Every key that a file may have, and what this program does with it: the reference is made from this table, and the walk over
//! a file refuses every other key.
//!
//! A key that KrakenD knows is in one of three states. It is supported; or refused, with the reason and what to do; or it changes
//! no answer and protects nothing, and is ignored with a warning.

mod backend;
mod endpoint;
mod namespaces;
mod root;

pub use namespaces::NAMESPACES;
pub use root::ROOT;

/// A key of an object.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What is done with it.
    pub support: Support,
    /// What its value holds.
    pub holds: Holds,
    /// Whether it keeps something from somebody. A misspelled one is refused even if the rest is read leniently.
    pub protects: bool,
}

/// What is done with a key.
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// It is read.
    Supported,
    /// A file with it is not served. The text says why, and what to do.
    Refused(&'static str),
    /// A file with it is served only if the value is this one, as compact JSON, which changes nothing.
    Only(&'static str, &'static str),
    /// It changes no answer and protects nothing. The text says what holds instead.
    Ignored(&'static str),
}

/// What the value of a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// A value that is read where it is used.
    Value,
    /// Something whose keys are the user's own.
    Anything,
    /// An object with these keys.
    Object(&'static [Key]),
    /// A list of objects with these keys.
    Objects(&'static [Key]),
    /// Namespaces.
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
    /// Where that is, for people.
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
    /// Its name, or the beginning of it if it ends with `/`.
    pub name: &'static str,
    /// Where it is allowed, and with which keys.
    pub scopes: &'static [(Scope, Support, &'static [Key])],
    /// Whether it keeps something from somebody.
    pub protects: bool,
}

impl Namespace {
    /// Whether it has this name.
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
