//! Formats errors with their causes.

use std::error::Error;

/// An error and its causes on one line, separated by `: `. Use it for logs and for `signet check`. A client
/// must never see the causes.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the ring cannot be read")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn every_cause_follows_its_error() {
        let error = Wrapped(io::Error::other("the disk is full"));
        assert_eq!(chain(&error), "the ring cannot be read: the disk is full");
        assert_eq!(chain(&error.0), "the disk is full");
    }
}
