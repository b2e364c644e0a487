//! The description of a call to a provider's service, from which its errors are made.

use std::fmt;
use std::time::Duration;

use crate::error::{ErrorKind, Operation, ProviderError};
use crate::failure::Failure;

/// Describes a call to a provider's service, for its errors: `cannot sign with arn:… (kms:Sign): …`.
///
/// Each provider makes one for every request, and converts its vendor's error codes to kinds itself. This type has what
/// all vendors share: the sentence, the error for a missing answer, and the error for a wrong one.
///
/// ```
/// use signet_api::{Call, ErrorKind, Operation};
///
/// let call = Call {
///     provider: "aws-kms",
///     operation: Operation::Sign,
///     doing: "sign with",
///     permission: "kms:Sign",
///     resource: "alias/signet",
/// };
/// let error = call.error(ErrorKind::KeyUnusable, "the key is disabled");
/// assert_eq!(error.to_string(), "aws-kms: sign failed (key_unusable)");
/// assert_eq!(error.source.to_string(), "cannot sign with alias/signet (kms:Sign): the key is disabled");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The provider's name, as in the configuration.
    pub provider: &'static str,
    /// The operation that the call is part of.
    pub operation: Operation,
    /// What the call does to the resource, as it reads after "cannot".
    pub doing: &'static str,
    /// The permission that the call needs, as the vendor's policies name it.
    pub permission: &'static str,
    /// The resource that the call concerns. Empty if `doing` already says it.
    pub resource: &'a str,
}

impl Call<'_> {
    /// An error of this call, if the service did not say when to retry.
    #[must_use]
    pub fn error(self, kind: ErrorKind, text: impl fmt::Display) -> ProviderError {
        self.failed(Failure::new(kind, text.to_string()))
    }

    /// The error of this call, with the reason why it failed.
    #[must_use]
    pub fn failed(self, why: Failure) -> ProviderError {
        why.prefixed(self).at(self.provider, self.operation)
    }

    /// The error if no answer came within this time. The text gives the time in whole seconds.
    #[must_use]
    pub fn timed_out(self, within: Duration) -> ProviderError {
        self.failed(Failure::timed_out(format_args!(
            "no answer within {} s",
            within.as_secs()
        )))
    }

    /// The error if the answer cannot be right, such as an answer about another key than the requested one.
    ///
    /// If an operator caused it by a change, use [`error`](Self::error) instead and say how to undo the change.
    #[must_use]
    pub fn bad_answer(self, what: impl fmt::Display) -> ProviderError {
        self.error(
            ErrorKind::BadAnswer,
            format_args!(
                "{what}. Signet does not use this answer. If this goes on, something between this machine and the provider \
                 changes answers: look for a proxy"
            ),
        )
    }
}

/// Says what failed: `cannot sign with arn:… (kms:Sign)`.
impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.resource.is_empty() { "" } else { " " };
        write!(f, "cannot {}{space}{} ({})", self.doing, self.resource, self.permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        provider: "gcp-kms",
        operation: Operation::List,
        doing: "list the versions of",
        permission: "cloudkms.cryptoKeyVersions.list",
        resource: "projects/p",
    };

    #[test]
    fn every_error_names_the_call_once() {
        let failure = Failure {
            retry_after: Some(Duration::from_secs(9)),
            ..Failure::new(ErrorKind::Throttled, "asked too often")
        };
        for (error, kind, says) in [
            (CALL.failed(failure), ErrorKind::Throttled, "asked too often"),
            (CALL.error(ErrorKind::NotFound, "gone"), ErrorKind::NotFound, "gone"),
            (
                CALL.timed_out(Duration::from_secs(10)),
                ErrorKind::TimedOut,
                "no answer within 10 s",
            ),
            (
                CALL.bad_answer("the list has no end"),
                ErrorKind::BadAnswer,
                "the list has no end. Signet does not use this answer. ",
            ),
        ] {
            assert_eq!((error.provider, error.operation), ("gcp-kms", Operation::List));
            let after = (kind == ErrorKind::Throttled).then_some(Duration::from_secs(9));
            assert_eq!((error.kind, error.retry_after), (kind, after));
            let text = error.source.to_string();
            let start = format!("cannot list the versions of projects/p (cloudkms.cryptoKeyVersions.list): {says}");
            assert!(text.starts_with(&start), "{text}");
            assert_eq!(text.matches("projects/p").count(), 1, "{text}");
        }
    }

    #[test]
    fn a_call_without_a_resource_reads_as_a_sentence() {
        let call = Call {
            doing: "list the aliases",
            permission: "kms:ListAliases",
            resource: "",
            ..CALL
        };
        assert_eq!(call.to_string(), "cannot list the aliases (kms:ListAliases)");
    }
}
