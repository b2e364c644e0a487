//! A failure whose operation is not known yet.
//!
//! All providers reach their services in the same way, so failures on the way are handled here: those of a proxy, of a
//! certificate, and of a time limit. Each provider handles the answers of its service itself, because it knows its
//! vendor's codes.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use signet_base::{causes, proxies, quote};

use crate::certificate::untrusted;
use crate::error::{ErrorKind, NO_HURRY, Operation, ProviderError};

/// What went wrong, who must act, and what to do.
///
/// Return it where the operation is not known, such as in a client that several operations share. [`at`](Self::at)
/// converts it to a [`ProviderError`]; [`Call::failed`](crate::Call::failed) also names the call.
///
/// ```
/// use std::time::Duration;
///
/// use signet_api::{ErrorKind, Failure, Operation};
///
/// let failure = Failure {
///     retry_after: Some(Duration::from_secs(7)),
///     ..Failure::new(ErrorKind::Throttled, "asked too often").prefixed("no token by managed identity")
/// };
/// let error = failure.at("azure-key-vault", Operation::Sign);
/// assert_eq!((error.kind, error.retry_after), (ErrorKind::Throttled, Some(Duration::from_secs(7))));
/// assert_eq!(error.source.to_string(), "no token by managed identity: asked too often");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The kind, which says who must act.
    pub kind: ErrorKind,
    /// What failed and what to do, for the operator. It never contains a secret.
    pub text: String,
    /// The time after which to retry, if the service gave one.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure for which the service did not say when to retry.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            retry_after: None,
        }
    }

    /// The failure if no answer came in time. The text also names the proxy in use, because that may be what is slow.
    pub fn timed_out(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::TimedOut, format!("{text}{}", proxies::on_the_way()))
    }

    /// Explains why the service could not be reached, if the proxy failed or the server's certificate is not trusted.
    ///
    /// Both are `Unavailable`. An untrusted certificate is tried again only after [`NO_HURRY`]. `None` means another
    /// failure, which the provider must handle.
    ///
    /// `error` is the client's error with its causes. It must not be an answer of the service, because an answer could
    /// contain any text. `authorities` is the setting for the file of the authorities to trust.
    #[must_use]
    pub fn on_the_way(error: &(dyn Error + 'static), authorities: &str) -> Option<Self> {
        if let Some(why) = proxies::failure(error) {
            return Some(Self::new(ErrorKind::Unavailable, why));
        }
        // Some clients mention the causes only in their own text.
        let texts = std::iter::once(quote(&error.to_string())).chain(causes(error));
        let mut refused = texts.filter_map(|text| Some((untrusted(&text, authorities)?, text)));
        // The deepest cause has the shortest text.
        let (advice, text) = refused.next_back()?;
        Some(Self {
            retry_after: Some(NO_HURRY),
            ..Self::new(ErrorKind::Unavailable, format!("{text}. {advice}"))
        })
    }

    /// Prefixes the text with what the failure means for the caller, such as `no connection to KMS`.
    #[must_use]
    pub fn prefixed(mut self, what: impl fmt::Display) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// The error of the operation that failed for this reason.
    ///
    /// `provider` is the provider's name, as in the configuration.
    #[must_use]
    pub fn at(self, provider: &'static str, operation: Operation) -> ProviderError {
        let mut error = ProviderError::new(provider, operation, self.kind, self.text);
        error.retry_after = self.retry_after;
        error
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// An error of a client with these causes, the deepest last.
    fn client_error(causes: &[&str]) -> Layer {
        let below = causes.split_first().map(|(first, rest)| {
            let mut layer = client_error(rest);
            layer.text = (*first).to_owned();
            Box::new(layer)
        });
        Layer {
            text: "error sending request".to_owned(),
            below,
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: String,
        #[source]
        below: Option<Box<Layer>>,
    }

    #[test]
    fn a_proxy_that_failed_is_named_and_tried_again_at_once() {
        let error = client_error(&["client error (Connect)", "tunnel error: unsuccessful"]);
        let failure = Failure::on_the_way(&error, "SSL_CERT_FILE").expect("the proxy");
        assert_eq!((failure.kind, failure.retry_after), (ErrorKind::Unavailable, None));
        assert!(failure.text.starts_with("the proxy "), "{failure}");
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_tried_again_in_no_hurry() {
        let unknown = "invalid peer certificate: UnknownIssuer";
        let below = client_error(&["client error (Connect)", unknown]);
        let own: Box<dyn Error> = Box::new(io::Error::other(unknown));
        for error in [&below as &(dyn Error + 'static), &*own] {
            let failure = Failure::on_the_way(error, "AWS_CA_BUNDLE").expect("the certificate");
            assert_eq!(
                (failure.kind, failure.retry_after),
                (ErrorKind::Unavailable, Some(NO_HURRY))
            );
            let start = format!("{unknown}. The server's certificate is not trusted");
            assert!(failure.text.starts_with(&start), "{failure}");
            assert!(failure.text.contains("set AWS_CA_BUNDLE to"), "{failure}");
        }
    }

    #[test]
    fn every_other_failure_is_for_the_provider_to_judge() {
        for causes in [
            &["client error (Connect)", "Connection refused (os error 111)"][..],
            &["operation timed out"],
            &[],
        ] {
            let failure = Failure::on_the_way(&client_error(causes), "SSL_CERT_FILE");
            assert!(failure.is_none(), "{causes:?}: {failure:?}");
        }
    }

    #[test]
    fn a_failure_keeps_its_kind_and_its_time_on_the_way_to_an_error() {
        let mut failure = Failure::timed_out("no answer within 5 s").prefixed("no token");
        failure.retry_after = Some(Duration::from_secs(3));
        let error = failure.at("vault", Operation::Create);
        assert_eq!((error.provider, error.operation), ("vault", Operation::Create));
        assert_eq!(
            (error.kind, error.retry_after),
            (ErrorKind::TimedOut, Some(Duration::from_secs(3)))
        );
        assert_eq!(error.source.to_string(), "no token: no answer within 5 s");
    }
}
