//! A token in memory.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use signet_api::{ErrorKind, Failure};
use zeroize::Zeroizing;

use crate::config::is_header;

/// A token as a header value: marked as sensitive, and wiped when the last request has released it.
pub(super) struct Token {
    header: HeaderValue,
}

impl Token {
    /// Makes a token. `source` names its origin in errors.
    pub(super) fn new(text: &str, source: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let octets = Bytes::from_owner(Zeroizing::new(text.as_bytes().to_vec()));
        let header = HeaderValue::from_maybe_shared(octets).ok().filter(|_| is_header(text));
        let mut header = header.ok_or_else(|| {
            Failure::new(
                ErrorKind::Unauthenticated,
                format!("{source} has no token: a token is one line without white space"),
            )
        })?;
        header.set_sensitive(true);
        Ok(Self { header })
    }

    pub(super) const fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_shows_itself_to_nobody() {
        let token = Token::new(" hvs.secret\n", "x").expect("a token");
        assert_eq!(token.header().as_bytes(), b"hvs.secret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("secret"));
        for text in ["", " \n", "two words", "a\nb"] {
            assert_eq!(
                Token::new(text, "x").expect_err("refused").kind,
                ErrorKind::Unauthenticated
            );
        }
    }
}
