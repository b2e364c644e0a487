//! Maps the kind of a provider's error to an exit code and an HTTP status. `docs/errors.md` shows this table,
//! with what the operator does.

use http::StatusCode;
use signet_api::ErrorKind;

/// The exit code of a command that failed with this kind, with the meanings of sysexits(3).
#[must_use]
pub const fn exit_code(kind: ErrorKind) -> u8 {
    exit_code_and_status(kind).0
}

/// The status of a request that failed with this kind.
#[must_use]
pub const fn http_status(kind: ErrorKind) -> StatusCode {
    exit_code_and_status(kind).1
}

/// 502 if the provider answered and somebody must act, 503 if waiting may help, 504 if it did not answer in time.
const fn exit_code_and_status(kind: ErrorKind) -> (u8, StatusCode) {
    match kind {
        ErrorKind::InvalidConfig => (64, StatusCode::BAD_GATEWAY),
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => (77, StatusCode::BAD_GATEWAY),
        ErrorKind::NotFound => (66, StatusCode::BAD_GATEWAY),
        ErrorKind::KeyUnusable => (78, StatusCode::BAD_GATEWAY),
        ErrorKind::Throttled | ErrorKind::Unavailable => (75, StatusCode::SERVICE_UNAVAILABLE),
        ErrorKind::TimedOut => (75, StatusCode::GATEWAY_TIMEOUT),
        ErrorKind::BadAnswer => (76, StatusCode::BAD_GATEWAY),
    }
}
