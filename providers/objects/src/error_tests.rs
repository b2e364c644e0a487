//! The kind of each vendor's answers.

use object_store::Error as StoreError;
use signet_api::{ErrorKind, Operation, ProviderError};

use super::*;

/// Has the same text as the client's private `RetryError`.
#[derive(Debug, thiserror::Error)]
#[error(
    "Error performing PUT https://acme.example/rings/ring.json?sv=2026&sig=HUSH in 1.2ms - Server returned non-2xx status code: {0}: {1}"
)]
struct Status(&'static str, &'static str);

fn xml(code: &str) -> &'static str {
    format!("<Error><Code>{code}</Code><Message>said so</Message><StringToSign>HUSH</StringToSign></Error>").leak()
}

/// Sorts answers in the same way as `RetryError::error`.
fn answered(status: &'static str, body: &'static str) -> StoreError {
    let (path, source) = ("ring.json".to_owned(), Box::new(Status(status, body)));
    match &status[..3] {
        "404" => StoreError::NotFound { path, source },
        "412" => StoreError::Precondition { path, source },
        "409" => StoreError::AlreadyExists { path, source },
        "403" => StoreError::PermissionDenied { path, source },
        "401" => StoreError::Unauthenticated { path, source },
        _ => StoreError::Generic { store: "S3", source },
    }
}

fn transport(kind: HttpErrorKind) -> StoreError {
    let reason = std::io::Error::other("dns: no such host; https://acme.example/?sig=HUSH");
    StoreError::Generic {
        store: "S3",
        source: Box::new(HttpError::new(kind, reason)),
    }
}

#[test]
fn each_answer_says_who_must_act() {
    use ErrorKind::{
        BadAnswer, InvalidConfig, NotFound, PermissionDenied, Throttled, TimedOut, Unauthenticated, Unavailable,
    };
    let table = [
        ("403 Forbidden", "AccessDenied", PermissionDenied),
        ("403 Forbidden", "InvalidAccessKeyId", Unauthenticated),
        ("403 Forbidden", "SignatureDoesNotMatch", Unauthenticated),
        ("403 Forbidden", "RequestTimeTooSkewed", Unauthenticated),
        ("400 Bad Request", "ExpiredToken", Unauthenticated),
        ("403 Forbidden", "AuthenticationFailed", Unauthenticated),
        ("403 Forbidden", "AuthorizationPermissionMismatch", PermissionDenied),
        ("404 Not Found", "NoSuchBucket", NotFound),
        ("404 Not Found", "ContainerNotFound", NotFound),
        ("503 Service Unavailable", "SlowDown", Throttled),
        ("503 Service Unavailable", "ServerBusy", Throttled),
        ("500 Internal Server Error", "OperationTimedOut", TimedOut),
        ("501 Not Implemented", "NotImplemented", InvalidConfig),
        ("400 Bad Request", "AuthorizationHeaderMalformed", InvalidConfig),
        ("412 Precondition Failed", "LeaseIdMissing", InvalidConfig),
        ("409 Conflict", "BlobImmutableDueToPolicy", InvalidConfig),
        ("409 Conflict", "SomethingNew", Unavailable),
        // Without a known code, the status decides.
        ("401 Unauthorized", "", Unauthenticated),
        ("403 Forbidden", "Unheard", PermissionDenied),
        ("408 Request Timeout", "", TimedOut),
        ("429 Too Many Requests", "", Throttled),
        ("500 Internal Server Error", "InternalError", Unavailable),
        ("502 Bad Gateway", "", Unavailable),
        ("503 Service Unavailable", "", Unavailable),
        ("405 Method Not Allowed", "", InvalidConfig),
        ("307 Temporary Redirect", "", InvalidConfig),
    ];
    for (status, code, kind) in table {
        let body = if code.is_empty() { "" } else { xml(code) };
        let cause = cause(&answered(status, body));
        assert_eq!(cause.kind, kind, "{status} {code}");
        assert_eq!(cause.refusal, Refusal::None, "{status} {code}: it is a failure");
        assert!(
            cause.what.contains(&status[..3]) && cause.what.contains(code),
            "{}",
            cause.what
        );
        assert!(!cause.what.contains("HUSH"), "{}", cause.what);
    }
    for (transport_kind, kind) in [
        (HttpErrorKind::Timeout, TimedOut),
        (HttpErrorKind::Connect, Unavailable),
        (HttpErrorKind::Interrupted, Unavailable),
        (HttpErrorKind::Request, Unavailable),
        (HttpErrorKind::Unknown, Unavailable),
        (HttpErrorKind::Decode, BadAnswer),
    ] {
        let cause = cause(&transport(transport_kind));
        assert_eq!(cause.kind, kind, "{transport_kind:?}");
        assert!(
            cause.what.contains("no such host") && !cause.what.contains("HUSH"),
            "{}",
            cause.what
        );
    }
    let missing = StoreError::Generic {
        store: "S3",
        source: "Unable to extract metadata from headers: ETag Header missing from response".into(),
    };
    assert_eq!(cause(&missing).kind, BadAnswer);
}

#[test]
fn a_refused_condition_is_told_from_a_failure() {
    for (status, code, refusal) in [
        ("412 Precondition Failed", "PreconditionFailed", Refusal::Condition),
        ("412 Precondition Failed", "ConditionNotMet", Refusal::Condition),
        ("409 Conflict", "BlobAlreadyExists", Refusal::Condition),
        ("409 Conflict", "ConditionalRequestConflict", Refusal::Conflict),
        ("409 Conflict", "OperationAborted", Refusal::Conflict),
        ("404 Not Found", "NoSuchKey", Refusal::NoObject),
        ("404 Not Found", "BlobNotFound", Refusal::NoObject),
        ("404 Not Found", "NoSuchBucket", Refusal::None),
        ("404 Not Found", "SomethingNew", Refusal::NoWhat),
        ("412 Precondition Failed", "LeaseIdMissing", Refusal::None),
        ("409 Conflict", "SomethingNew", Refusal::None),
    ] {
        assert_eq!(cause(&answered(status, xml(code))).refusal, refusal, "{status} {code}");
    }
}

#[test]
fn a_credential_source_of_ours_has_already_judged() {
    let mut own = ProviderError::new(
        "aws-kms",
        Operation::Open,
        ErrorKind::Throttled,
        "IMDS asks for fewer calls",
    );
    own.retry_after = Some(Duration::from_secs(7));
    let cause = cause(&StoreError::Generic {
        store: "S3",
        source: Box::new(own),
    });
    assert_eq!(cause.kind, ErrorKind::Throttled);
    assert_eq!(cause.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(cause.what, "IMDS asks for fewer calls");
}

#[test]
fn the_page_of_a_proxy_is_shown_in_one_line() {
    let page = cause(&answered("502 Bad Gateway", "<html>\n<h1>proxy</h1>"));
    assert_eq!(page.what, "the store answered 502 (<html> <h1>proxy</h1>)");
}
