//! The error type of all providers: which provider, which operation, and who must act.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The time after which to retry something that will not change within seconds. With it, no layer
/// repeats the call at once.
pub const NO_HURRY: Duration = Duration::from_secs(30);

/// The kind of an error: who must act, and how the sidecar continues. `docs/errors.md` lists the kinds
/// with what the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The operator must correct a setting. Retrying cannot help.
    ///
    /// The start fails with this kind even if the last good ring is available. Use it only for faults that our own
    /// settings cause, such as a `VAULT_CACERT` that cannot be read. If the other side can cause a fault at any time
    /// without a change on our side, use another kind: an expired or untrusted certificate, or a redirect, is
    /// [`Unavailable`](Self::Unavailable).
    InvalidConfig,
    /// The operator must correct the credentials, which are missing, wrong or expired.
    Unauthenticated,
    /// The operator must grant a permission to the credentials.
    PermissionDenied,
    /// The operator must act, unless the key was just created: the thing named does not exist.
    NotFound,
    /// The operator must act: the key exists but is disabled, destroyed or of the wrong kind.
    KeyUnusable,
    /// Nobody needs to act: the provider wants fewer calls. The call is retried later.
    Throttled,
    /// Nobody needs to act: the provider, or the network to it, is down. The call is retried later.
    Unavailable,
    /// Nobody needs to act: the provider was too slow. The call is retried later.
    TimedOut,
    /// The security engineer must act: the provider's answer cannot be trusted, or stored data was tampered with.
    BadAnswer,
}

impl ErrorKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::InvalidConfig,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::KeyUnusable,
        Self::Throttled,
        Self::Unavailable,
        Self::TimedOut,
        Self::BadAnswer,
    ];

    /// The stable name of the kind in logs, metrics and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::KeyUnusable => "key_unusable",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
        }
    }

    /// Whether the same call may succeed later without anybody acting.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::TimedOut)
    }
}

/// An operation of a provider, for errors, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Setting the provider up from its configuration.
    Open,
    /// Reading the ring.
    List,
    /// Creating a key.
    Create,
    /// Computing a signature.
    Sign,
    /// Unwrapping a sealed private key.
    Unseal,
    /// Disabling or destroying an expired key.
    Retire,
    /// Marking a key as revoked.
    Revoke,
    /// Trying a permission.
    Check,
}

impl Operation {
    /// All operations of a provider.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::List,
        Self::Create,
        Self::Sign,
        Self::Unseal,
        Self::Retire,
        Self::Revoke,
        Self::Check,
    ];

    /// The stable name of the operation in logs, metrics and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::List => "list",
            Self::Create => "create",
            Self::Sign => "sign",
            Self::Unseal => "unseal",
            Self::Retire => "retire",
            Self::Revoke => "revoke",
            Self::Check => "check",
        }
    }
}

/// An error of a provider. `Display` does not repeat the source, so print the whole chain, once.
#[derive(Debug)]
pub struct ProviderError {
    /// The name of the provider, as in the configuration.
    pub provider: &'static str,
    /// The operation that failed.
    pub operation: Operation,
    /// The kind of the error, which says who must act.
    pub kind: ErrorKind,
    /// The time after which to retry, if the provider said so.
    pub retry_after: Option<Duration>,
    /// What exactly failed, and what to do about it. It never contains a secret.
    pub source: Box<dyn Error + Send + Sync>,
}

impl ProviderError {
    /// Makes an error without a time to retry.
    pub fn new(
        provider: &'static str,
        operation: Operation,
        kind: ErrorKind,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            provider,
            operation,
            kind,
            retry_after: None,
            source: source.into(),
        }
    }

    /// Marks an error that will not change within seconds, such as an untrusted certificate. No layer
    /// repeats the call at once.
    #[must_use]
    pub const fn in_no_hurry(mut self) -> Self {
        self.retry_after = Some(NO_HURRY);
        self
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} failed ({})",
            self.provider,
            self.operation.as_str(),
            self.kind.as_str()
        )
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
