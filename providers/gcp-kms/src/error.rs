//! Converts Google's codes (`google.rpc.Code`) and its client's errors to kinds, with what the operator must do.
//!
//! <https://cloud.google.com/apis/design/errors>

use std::error::Error as _;
use std::time::Duration;

use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use signet_api::{Call, ErrorKind, Failure, ProviderError};
use signet_base::{causes, proxies, quote};

/// The setting for the authorities to trust.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// The error of a call that Cloud KMS refused or that did not reach it.
pub(crate) fn failed(call: Call<'_>, error: &Error) -> ProviderError {
    let mut failure = match error.status() {
        Some(status) => by_code(call, status.code, &quote(&status.message)),
        None => Failure::on_the_way(error, AUTHORITIES).unwrap_or_else(|| by_transport(error)),
    };
    failure.retry_after = failure.retry_after.or_else(|| retry_after(error));
    call.failed(failure)
}

fn by_code(call: Call<'_>, code: Code, message: &str) -> Failure {
    let (kind, advice) = match code {
        Code::Unauthenticated => (ErrorKind::Unauthenticated, LOGIN.to_owned()),
        Code::PermissionDenied => (
            ErrorKind::PermissionDenied,
            format!(
                "The permission {} is missing (deploy/policies/gcp*.yaml; `signet check` prints the command that \
                 grants it). Google gives the same answer for a key that does not exist and for an \
                 API that is not enabled",
                call.permission
            ),
        ),
        Code::NotFound => (
            ErrorKind::NotFound,
            "Correct SIGNET_KEY, or create the key; docs/providers/gcp-kms.md has the commands".to_owned(),
        ),
        Code::FailedPrecondition => (
            ErrorKind::KeyUnusable,
            "Check the state of the version with `gcloud kms keys versions list`".to_owned(),
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
        // The caller handles what already exists, or it is a race that the next attempt sees.
        Code::AlreadyExists => (ErrorKind::Unavailable, AGAIN.to_owned()),
        Code::DataLoss => (ErrorKind::BadAnswer, AGAIN.to_owned()),
        // INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED
        _ => (
            ErrorKind::InvalidConfig,
            "Check that the key in SIGNET_KEY has the purpose and the location that SIGNET_CUSTODY and \
             SIGNET_ALGORITHM need"
                .to_owned(),
        ),
    };
    Failure::new(kind, format!("{} ({message}). {advice}", code.name()))
}

fn by_transport(error: &Error) -> Failure {
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
        let text =
            format!("HTTP status {status}, and the answer is not in Google's format. Check for a proxy on the way");
        return Failure::new(kind, text);
    }
    let chain = chain(error);
    if error.is_timeout() {
        Failure::timed_out(format_args!("{chain}. {AGAIN}"))
    } else if error.is_deserialization() {
        // The cause may quote the answer.
        let text = "the answer is not from Cloud KMS. Check for a proxy on the way";
        Failure::new(ErrorKind::BadAnswer, text)
    } else if error.is_binding() || error.is_serialization() {
        Failure::new(ErrorKind::InvalidConfig, format!("{chain}. Correct SIGNET_KEY"))
    } else {
        Failure::new(ErrorKind::Unavailable, format!("{chain}. {AGAIN}"))
    }
}

const AGAIN: &str = "Signet tries again";
const LOGIN: &str =
    "Check GOOGLE_APPLICATION_CREDENTIALS or the service account of the machine or pod, and check the clock";

/// The error for missing credentials.
pub(crate) fn credentials(error: Option<&(dyn std::error::Error + 'static)>) -> Failure {
    let Some(error) = error else {
        return Failure::new(ErrorKind::Unauthenticated, LOGIN).prefixed("no credentials");
    };
    let passing = error
        .downcast_ref::<google_cloud_auth::errors::CredentialsError>()
        .is_some_and(google_cloud_auth::errors::CredentialsError::is_transient);
    let chain = chain(error);
    let failure = if let Some(why) = proxies::failure(error) {
        Failure::new(ErrorKind::Unavailable, why)
    } else if passing && chain.contains("from the login as ") {
        let way = proxies::on_the_way();
        Failure::new(ErrorKind::Unavailable, format!("{chain}. {AGAIN}{way}"))
    } else if passing {
        // Outside of Google's machines there is no metadata server, and the only sign of that is silence.
        let text =
            format!("{chain}. {AGAIN}. If this machine is not in Google Cloud, set GOOGLE_APPLICATION_CREDENTIALS");
        Failure::new(ErrorKind::Unavailable, text)
    } else {
        Failure::new(ErrorKind::Unauthenticated, format!("{chain}. {LOGIN}"))
    };
    failure.prefixed("no credentials")
}

/// The time to retry that the server gave: the detail `google.rpc.RetryInfo`, or the header.
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

/// An error with its causes, on one line.
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
    use signet_api::Operation;

    use super::*;
    use crate::NAME;

    const CALL: Call<'_> = Call {
        provider: NAME,
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
            let error = failed(CALL, &Error::service(status));
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
            let error = failed(
                CALL,
                &Error::http(status, headers.into_iter().collect(), "<html>hush".into()),
            );
            assert_eq!((error.kind, error.retry_after), (kind, Some(Duration::from_secs(7))));
            assert!(!error.source.to_string().contains("hush"));
        }
    }
}
