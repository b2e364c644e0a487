//! Converts errors of an object store to kinds that say who must act.
//!
//! The client's own texts contain whole URLs, which may have a shared access signature, and whole bodies, in which S3
//! and Azure repeat the string to sign. Therefore only the status and the vendor's code and message are passed on,
//! shortened and without the query of any URL.

use std::borrow::Cow;
use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};
use signet_api::{ErrorKind, ProviderError};
use signet_base::{proxies, quote};

pub(crate) const NAME: &str = "object-store";

/// An error for which the failed operation is not known yet.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) kind: ErrorKind,
    /// The problem, in the vendor's words.
    pub(crate) what: String,
    /// What to do. Empty if the kind says enough.
    pub(crate) advice: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) refusal: Refusal,
}

/// Which errors are expected answers to a conditional write or a read, rather than failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The condition of the write does not hold.
    Condition,
    /// The store was busy with another write of the same object, and did not carry out this one.
    Conflict,
    /// The object does not exist.
    NoObject,
    /// Either the object or the bucket does not exist; the store does not say which.
    NoWhat,
    /// The request failed for another reason.
    None,
}

/// The kind and the advice for a vendor's code. S3: "Error responses" of its API reference; Azure: "Blob Storage error
/// codes"; Google: "HTTP status and error codes for XML".
fn by_code(code: &str) -> Option<(ErrorKind, &'static str)> {
    use ErrorKind::{InvalidConfig, NotFound, PermissionDenied, Throttled, TimedOut, Unauthenticated, Unavailable};
    Some(match code {
        // S3 and AWS STS: 403, or 400 for tokens.
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidIdentityToken" => {
            (Unauthenticated, "Renew or correct the credentials")
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Unauthenticated, "The credentials have expired; renew them")
        }
        "RequestTimeTooSkewed" => (Unauthenticated, "The clock of this machine is wrong; set it"),
        // Azure. 403, 401, 401.
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => (
            Unauthenticated,
            "Renew or correct the credentials, and check the clock of this machine",
        ),
        // Google. 401.
        "AuthenticationRequired" => (Unauthenticated, "Renew or correct the credentials"),
        // S3 and Google. 403.
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => (PermissionDenied, ""),
        // Azure. 403.
        "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "AccountIsDisabled" => (PermissionDenied, ""),
        // S3 and Google; Azure. 404.
        "NoSuchBucket" | "ContainerNotFound" => (
            NotFound,
            "Correct SIGNET_STORE if it is wrong. Create the bucket only if there is no ring yet; if it was deleted, \
             restore it with the ring in it",
        ),
        "ContainerBeingDeleted" | "AccountBeingCreated" => (Unavailable, ""),
        // S3 503, Azure 503, AWS STS 400.
        "SlowDown" | "ServerBusy" | "RequestLimitExceeded" | "Throttling" | "TooManyRequests" => (Throttled, ""),
        // Azure 500, S3 400.
        "OperationTimedOut" | "RequestTimeout" => (TimedOut, ""),
        // S3 501: an S3-compatible store without conditional writes.
        "NotImplemented" => (
            InvalidConfig,
            "The store does not support conditional writes, so replicas would overwrite each other's ring. Set \
             SIGNET_STORE to a store that supports them",
        ),
        // S3 301 and 400.
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => (
            InvalidConfig,
            "The bucket is in another region; set AWS_REGION to its region (`aws s3api get-bucket-location` prints \
             it), or use a bucket in the configured region",
        ),
        // Azure 412 and 409, S3 403.
        "LeaseIdMissing" | "LeaseAlreadyPresent" => (InvalidConfig, "The blob has a lease; break the lease"),
        "BlobImmutableDueToPolicy" | "ObjectLockConfigurationNotFoundError" => (
            InvalidConfig,
            "The object must be writable; remove its retention policy",
        ),
        "BlobArchived" | "InvalidObjectState" => (
            InvalidConfig,
            "The object was moved to an archive; restore it, and exclude it from the lifecycle rule",
        ),
        _ => return None,
    })
}

fn by_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        401 => (ErrorKind::Unauthenticated, "Renew or correct the credentials"),
        403 => (ErrorKind::PermissionDenied, ""),
        404 => (ErrorKind::NotFound, "Correct SIGNET_STORE"),
        408 => (ErrorKind::TimedOut, ""),
        409 | 425 | 500.. => (ErrorKind::Unavailable, ""),
        429 => (ErrorKind::Throttled, ""),
        300..400 => (
            ErrorKind::InvalidConfig,
            "The store is at another address; correct SIGNET_STORE, the region or the endpoint",
        ),
        400..500 => (
            ErrorKind::InvalidConfig,
            "Correct SIGNET_STORE, the region or the endpoint",
        ),
        _ => (ErrorKind::BadAnswer, ""),
    }
}

fn by_transport(kind: HttpErrorKind) -> (ErrorKind, &'static str) {
    match kind {
        HttpErrorKind::Timeout => (ErrorKind::TimedOut, ""),
        HttpErrorKind::Connect => (
            ErrorKind::Unavailable,
            "Check that this machine can reach the store: name resolution, network policy, proxy, certificate \
             authority",
        ),
        HttpErrorKind::Decode => (ErrorKind::BadAnswer, ""),
        _ => (ErrorKind::Unavailable, ""),
    }
}

/// Reads an error of the client.
pub(crate) fn cause(error: &StoreError) -> Cause {
    let text = error.to_string();
    let answer = Answer::find(&text);
    let chain = || successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    let transport = chain().find_map(|error| error.downcast_ref::<HttpError>());
    // If one of our own credential sources failed inside the client, its error already has a kind.
    let own = chain().find_map(|error| error.downcast_ref::<ProviderError>());

    let mut cause = Cause {
        kind: ErrorKind::Unavailable,
        what: answer.as_ref().map_or_else(|| quote(&text), Answer::shown),
        advice: Cow::Borrowed(""),
        retry_after: own.and_then(|own| own.retry_after),
        refusal: refusal(error, answer.as_ref()),
    };
    let (kind, advice) = if let Some(own) = own {
        cause.what = quote(&own.source.to_string());
        (own.kind, "")
    } else if let Some(judged) = answer.as_ref().and_then(|answer| by_code(answer.code?)) {
        judged
    } else if let Some(answer) = &answer {
        by_status(answer.status)
    } else if let Some(why) = proxies::failure(error) {
        cause.what = why;
        (ErrorKind::Unavailable, "")
    } else if let Some(transport) = transport {
        let deepest = successors(transport.source(), |&error| error.source()).last();
        let deepest = deepest.map_or_else(String::new, |error| format!(" ({error})"));
        cause.what = quote(&format!("{transport}{deepest}"));
        if transport.kind() == HttpErrorKind::Timeout {
            cause.what.push_str(&proxies::on_the_way());
        }
        by_transport(transport.kind())
    } else {
        by_variant(error, &text)
    };
    (cause.kind, cause.advice) = (kind, Cow::Borrowed(advice));
    if let Some(region) = answer.as_ref().and_then(|answer| element(answer.rest, "Region")) {
        cause.advice = format!(
            "The bucket is in the region {0}; set AWS_REGION={0}, or use a bucket in the configured region",
            quote(region)
        )
        .into();
    }
    cause
}

/// The kind and the advice for an error without an HTTP status.
fn by_variant(error: &StoreError, text: &str) -> (ErrorKind, &'static str) {
    match error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, "Correct SIGNET_STORE"),
        StoreError::PermissionDenied { .. } => (ErrorKind::PermissionDenied, ""),
        StoreError::Unauthenticated { .. } => (ErrorKind::Unauthenticated, "Renew or correct the credentials"),
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => (
            ErrorKind::InvalidConfig,
            "The ring needs a store that supports conditional writes; change SIGNET_STORE",
        ),
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::InvalidConfig, "Correct SIGNET_STORE")
        }
        _ if text.contains("Header missing from response") => (
            ErrorKind::BadAnswer,
            "Without this header no write can be conditional. Set SIGNET_STORE to a store that sends it, and check \
             that no proxy removes it",
        ),
        _ => (ErrorKind::Unavailable, ""),
    }
}

fn refusal(error: &StoreError, answer: Option<&Answer<'_>>) -> Refusal {
    let code = answer.and_then(|answer| answer.code);
    // For a missing bucket, the status is the same as for a missing object; for a lease, the same
    // as for a failed condition.
    if code.is_some_and(|code| by_code(code).is_some()) {
        return Refusal::None;
    }
    // The codes of S3 and Google, and of Azure. The client treats every 404 of a conditional
    // write as a failed condition.
    let names_the_object = matches!(code, Some("NoSuchKey" | "BlobNotFound"));
    if answer.is_some_and(|answer| answer.status == 404) && !names_the_object {
        return Refusal::NoWhat;
    }
    match error {
        StoreError::NotFound { .. } => Refusal::NoObject,
        StoreError::Precondition { .. } | StoreError::NotModified { .. } => Refusal::Condition,
        StoreError::AlreadyExists { .. } => match (answer.map(|answer| answer.status), code) {
            // S3 on PutObject: "If a conflicting operation occurs during the upload S3 returns a 409
            // ConditionalRequestConflict response. On a 409 failure you should fetch the object's ETag and retry the
            // upload": the same as after a lost race. OperationAborted: "A conflicting conditional action is
            // currently in progress against this resource. Try again."
            (Some(409), Some("ConditionalRequestConflict" | "OperationAborted")) => Refusal::Conflict,
            // Azure answers with this code if the object to create already exists.
            (Some(409), Some("BlobAlreadyExists")) => Refusal::Condition,
            // Any other conflict, such as a retention policy or a lease, is not a race and would never be won.
            (Some(409), _) => Refusal::None,
            _ => Refusal::Condition,
        },
        _ => Refusal::None,
    }
}

/// An HTTP answer, parsed from the client's text because its type is private.
struct Answer<'a> {
    status: u16,
    code: Option<&'a str>,
    message: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Answer<'a> {
    fn find(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once("status code: ")?;
        let status = rest.get(..3)?.parse().ok()?;
        let (_, rest) = rest.split_once(": ").unwrap_or((rest, ""));
        Some(Self {
            status,
            code: element(rest, "Code"),
            message: element(rest, "Message"),
            rest,
        })
    }

    fn shown(&self) -> String {
        let status = self.status;
        match (self.code, self.message) {
            (Some(code), Some(message)) => format!("the store answered {status} {} ({})", quote(code), quote(message)),
            (Some(code), None) => format!("the store answered {status} {}", quote(code)),
            // The body is not from the vendor and may be a proxy's page, so its beginning is shown.
            _ if self.rest.is_empty() => format!("the store answered {status}"),
            _ => format!("the store answered {status} ({})", quote(self.rest)),
        }
    }
}

/// The text of the first XML element with this name.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
