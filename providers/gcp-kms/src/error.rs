//! From the codes of Google (`google.rpc.Code`) and of its client to kinds, with what to do.
//!
//! <https://cloud.google.com/apis/design/errors>

use std::error::Error as _;
use std::time::Duration;

use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use signet_api::{ErrorKind, Operation, ProviderError, untrusted};
use signet_base::{causes, proxies, quote};

use crate::NAME;

/// The setting that names the authorities to trust.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// One call to Cloud KMS, as an error names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// What it does, for the operator.
    pub(crate) doing: &'static str,
    /// The IAM permission that it needs.
    pub(crate) permission: &'static str,
    /// The resource that it names.
    pub(crate) resource: &'a str,
}

impl Call<'_> {
    pub(crate) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        let text: String = text.into();
        let text = format!("cannot {} {}: {text}", self.doing, self.resource);
        ProviderError::new(NAME, self.operation, kind, text)
    }

    pub(crate) fn slow(&self, span: Duration) -> ProviderError {
        let way = proxies::on_the_way();
        self.error(
            ErrorKind::TimedOut,
            format!("no answer within {} s{way}", span.as_secs()),
        )
    }

    /// What an answer contradicts itself in.
    pub(crate) fn lie(&self, what: &str) -> ProviderError {
        self.error(
            ErrorKind::BadAnswer,
            format!("{what}. The answer is not used. If it lasts, something between here and Google changes answers"),
        )
    }

    pub(crate) fn failed(&self, error: &Error) -> ProviderError {
        let chain = chain(error);
        if let Some(why) = proxies::failure(error) {
            return self.error(ErrorKind::Unavailable, why);
        }
        if error.status().is_none()
            && let Some(advice) = untrusted(&chain, AUTHORITIES)
        {
            return self
                .error(ErrorKind::Unavailable, format!("{chain}. {advice}"))
                .in_no_hurry();
        }
        let (kind, what) = match error.status() {
            Some(status) => self.by_code(status.code, &quote(&status.message)),
            None => self.by_transport(error),
        };
        let mut failed = self.error(kind, what);
        failed.retry_after = retry_after(error);
        failed
    }

    fn by_code(&self, code: Code, message: &str) -> (ErrorKind, String) {
        let (kind, advice) = match code {
            Code::Unauthenticated => (ErrorKind::Unauthenticated, LOGIN.to_owned()),
            Code::PermissionDenied => (
                ErrorKind::PermissionDenied,
                format!(
                    "It needs the permission {} (deploy/policies/gcp*.yaml; `signet check` prints what to run). The same is \
                     said of a key that does not exist and of an API that is not enabled",
                    self.permission
                ),
            ),
            Code::NotFound => (
                ErrorKind::NotFound,
                "Correct SIGNET_KEY, or create it: docs/providers/gcp-kms.md has the commands".to_owned(),
            ),
            Code::FailedPrecondition => (
                ErrorKind::KeyUnusable,
                "Look at the state of the version: `gcloud kms keys versions list`".to_owned(),
            ),
            Code::ResourceExhausted => (
                ErrorKind::Throttled,
                "A quota of the project is used up: https://cloud.google.com/kms/quotas. Raise it, or refresh less often \
                 (SIGNET_REFRESH_INTERVAL)"
                    .to_owned(),
            ),
            Code::DeadlineExceeded => (ErrorKind::TimedOut, AGAIN.to_owned()),
            Code::Unavailable | Code::Internal | Code::Unknown | Code::Aborted | Code::Cancelled => {
                (ErrorKind::Unavailable, AGAIN.to_owned())
            }
            // The caller knows what already exists, or it is a race that the next try sees.
            Code::AlreadyExists => (ErrorKind::Unavailable, AGAIN.to_owned()),
            Code::DataLoss => (ErrorKind::BadAnswer, AGAIN.to_owned()),
            // INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED
            _ => (
                ErrorKind::InvalidConfig,
                "Check that SIGNET_KEY is of the purpose and in the location that SIGNET_CUSTODY and SIGNET_ALGORITHM need"
                    .to_owned(),
            ),
        };
        (kind, format!("{} ({message}). {advice}", code.name()))
    }

    fn by_transport(&self, error: &Error) -> (ErrorKind, String) {
        if error.is_authentication() {
            return credentials(error.source());
        }
        if let Some(status) = error.http_status_code() {
            let kind = match status {
                401 => ErrorKind::Unauthenticated,
                403 => ErrorKind::PermissionDenied,
                404 => ErrorKind::NotFound,
                408 => ErrorKind::TimedOut,
                429 => ErrorKind::Throttled,
                500.. => ErrorKind::Unavailable,
                _ => ErrorKind::BadAnswer,
            };
            return (
                kind,
                format!("HTTP status {status}, and not in Google's form. Look for a proxy on the way"),
            );
        }
        let chain = chain(error);
        if error.is_timeout() {
            (
                ErrorKind::TimedOut,
                format!("{chain}. {AGAIN}{}", proxies::on_the_way()),
            )
        } else if error.is_deserialization() {
            // The cause may quote the answer.
            (
                ErrorKind::BadAnswer,
                "the answer is not what Cloud KMS answers. Look for a proxy on the way".to_owned(),
            )
        } else if error.is_binding() || error.is_serialization() {
            (ErrorKind::InvalidConfig, format!("{chain}. Correct SIGNET_KEY"))
        } else {
            (ErrorKind::Unavailable, format!("{chain}. {AGAIN}"))
        }
    }
}

const AGAIN: &str = "It is tried again";
const LOGIN: &str =
    "Check GOOGLE_APPLICATION_CREDENTIALS, or the service account of the machine or pod, and that the clock is right";

/// Credentials that did not come.
pub(crate) fn credentials(error: Option<&(dyn std::error::Error + 'static)>) -> (ErrorKind, String) {
    let Some(error) = error else {
        return (ErrorKind::Unauthenticated, format!("no credentials. {LOGIN}"));
    };
    if let Some(why) = proxies::failure(error) {
        return (ErrorKind::Unavailable, format!("no credentials: {why}"));
    }
    let passing = error
        .downcast_ref::<google_cloud_auth::errors::CredentialsError>()
        .is_some_and(google_cloud_auth::errors::CredentialsError::is_transient);
    let chain = chain(error);
    match passing {
        true if chain.contains("from the login of ") => (
            ErrorKind::Unavailable,
            format!("no credentials: {chain}. {AGAIN}{}", proxies::on_the_way()),
        ),
        // Off Google's machines there is no metadata server, and nothing that says so but silence.
        true => (
            ErrorKind::Unavailable,
            format!(
                "no credentials: {chain}. {AGAIN}. If this machine is not one of Google's, set \
                 GOOGLE_APPLICATION_CREDENTIALS"
            ),
        ),
        false => (ErrorKind::Unauthenticated, format!("no credentials: {chain}. {LOGIN}")),
    }
}

/// When the server said to come again: the detail `google.rpc.RetryInfo`, or the header field.
fn retry_after(error: &Error) -> Option<Duration> {
    let details = error
        .status()
        .map(|status| status.details.as_slice())
        .unwrap_or_default();
    let told = details.iter().find_map(|detail| match detail {
        StatusDetails::RetryInfo(info) => info.retry_delay,
        _ => None,
    });
    if let Some(span) = told {
        let seconds = u64::try_from(span.seconds()).ok()?;
        return Some(Duration::new(seconds, u32::try_from(span.nanos()).ok()?));
    }
    let header = error.http_headers()?.get(http::header::RETRY_AFTER)?;
    header.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = quote(&error.to_string());
    for cause in causes(error) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use google_cloud_gax::error::rpc::Status;

    use super::*;

    const CALL: Call<'_> = Call {
        operation: Operation::Sign,
        doing: "sign with",
        permission: "cloudkms.cryptoKeyVersions.useToSign",
        resource: "projects/p",
    };

    #[test]
    fn every_code_has_its_kind_and_says_what_to_do() {
        for (code, kind, says) in [
            (
                Code::Unauthenticated,
                ErrorKind::Unauthenticated,
                "GOOGLE_APPLICATION_CREDENTIALS",
            ),
            (Code::PermissionDenied, ErrorKind::PermissionDenied, CALL.permission),
            (Code::NotFound, ErrorKind::NotFound, "SIGNET_KEY"),
            (Code::FailedPrecondition, ErrorKind::KeyUnusable, "versions list"),
            (Code::ResourceExhausted, ErrorKind::Throttled, "kms/quotas"),
            (Code::DeadlineExceeded, ErrorKind::TimedOut, AGAIN),
            (Code::Unavailable, ErrorKind::Unavailable, AGAIN),
            (Code::Internal, ErrorKind::Unavailable, AGAIN),
            (Code::InvalidArgument, ErrorKind::InvalidConfig, "SIGNET_KEY"),
            (Code::DataLoss, ErrorKind::BadAnswer, AGAIN),
        ] {
            let status = Status::default().set_code(code).set_message("told by Google.");
            let error = CALL.failed(&Error::service(status));
            assert_eq!((error.kind, error.retry_after), (kind, None));
            let text = error.source.to_string();
            for part in [code.name(), "(told by Google)", "projects/p", says] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_googles_has_the_kind_of_its_status() {
        for (status, kind) in [
            (401, ErrorKind::Unauthenticated),
            (403, ErrorKind::PermissionDenied),
            (404, ErrorKind::NotFound),
            (429, ErrorKind::Throttled),
            (502, ErrorKind::Unavailable),
            (302, ErrorKind::BadAnswer),
        ] {
            let headers = [(http::header::RETRY_AFTER, http::HeaderValue::from_static("7"))];
            let error = CALL.failed(&Error::http(status, headers.into_iter().collect(), "<html>hush".into()));
            assert_eq!((error.kind, error.retry_after), (kind, Some(Duration::from_secs(7))));
            assert!(!error.source.to_string().contains("hush"));
        }
    }
}
