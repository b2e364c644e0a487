//! Finds a `#` in a request's target before it is lost.
//!
//! A target has no fragment (RFC 9112 §3.2, RFC 9113 §8.3.1), but the `http` crate cuts one off without an error. The
//! request of a gateway for `/v1/authorize?audience=a#x&scope=admin` would lose its requirement of a scope, and
//! everybody would be let in. Therefore [`Watch`], the one entry point, examines what a client sends before hyper gets
//! it, and such a request is refused.
//!
//! Over HTTP/1.1 the request gets a 400. Over HTTP/2 its stream is reset as malformed: hyper does not say which stream a
//! request came on, so an answer might go to the wrong one.

mod fields;
mod frames;
mod heads;
mod huffman;

use self::frames::Frames;
use self::heads::Heads;
use crate::problem::Problem;

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The end of a head, over HTTP/1.1.
    Head {
        /// Its target has a `#` in it.
        has_fragment: bool,
    },
    /// The end of a head, over HTTP/2.
    Fields,
    /// A `#` in a `:path` of HTTP/2.
    Fragment,
}

/// Follows the bytes that a client sends on one connection.
#[derive(Debug)]
pub(crate) enum Watch {
    /// For a connection with HTTP/1.1.
    Heads(Heads),
    /// For a connection with HTTP/2.
    Frames(Frames),
}

impl Watch {
    /// Begins with the first byte of a connection. Over HTTP/2 that is the first of the preface.
    pub(crate) fn new(is_http2: bool) -> Self {
        match is_http2 {
            false => Self::Heads(Heads::default()),
            true => Self::Frames(Frames::default()),
        }
    }

    /// Examines bytes on their way to hyper. Over HTTP/2 it replaces a `#` in a `:path`, so h2 refuses the request.
    pub(crate) fn on_octets(&mut self, octets: &mut [u8], found: impl FnMut(Received)) {
        match self {
            Self::Heads(heads) => heads.on_octets(octets, found),
            Self::Frames(frames) => frames.on_octets(octets, found),
        }
    }
}

/// The answer to a request that has a `#` in its target.
pub(crate) fn refusal() -> Problem {
    Problem::request(
        "invalid_target",
        "the request target has a \"#\" in it (RFC 9112 §3.2): everything after it would be ignored; write %23 if it \
         belongs to a value, or remove it",
    )
}

#[cfg(test)]
mod tests;
