//! One error for all providers: which provider, which operation, and who must act.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// After how long to try again what will not be different in seconds: no layer makes the same call again at once.
pub const NO_HURRY: Duration = Duration::from_secs(30);

/// Who must act, and thereby how the sidecar goes on. `docs/errors.md` shows each with what the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The operator: a setting is wrong. Retrying cannot help.
    ///
    /// A start ends with this kind even if the last good ring could carry it. So it is only for what our own settings cause, such
    /// as a `VAULT_CACERT` that cannot be read. What the other side can cause at any moment without a change of ours is another
    /// kind: a certificate that expired or that is not trusted, or a redirect, is [`Unavailable`](Self::Unavailable).
    InvalidConfig,
    /// The operator: the credentials are missing, wrong or expired.
    Unauthenticated,
    /// The operator: the credentials lack a permission.
    PermissionDenied,
    /// The operator, unless the key was created a moment ago: the thing named does not exist.
    NotFound,
    /// The operator: the key exists but is disabled, destroyed, or of the wrong kind.
    KeyUnusable,
    /// Nobody: the provider asks for fewer calls. Retried later.
    Throttled,
    /// Nobody: the provider, or the way to it, is down. Retried later.
    Unavailable,
    /// Nobody: the provider was too slow. Retried later.
    TimedOut,
    /// The security engineer: the provider's answer is not to be trusted, or what it keeps was tampered with.
    BadAnswer,
}

impl ErrorKind {
    /// All of them, in the order of the documentation.
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

    /// The word for it in logs, metrics and documents.
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

/// What was being done.
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
    /// All of them.
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

    /// The word for it in logs, metrics and documents.
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

/// What went wrong in a provider. `Display` does not repeat its source: whoever logs it prints the chain, once.
#[derive(Debug)]
pub struct ProviderError {
    /// The provider's name, as in the configuration.
    pub provider: &'static str,
    /// What was being done.
    pub operation: Operation,
    /// Who must act.
    pub kind: ErrorKind,
    /// After how long the provider said to try again.
    pub retry_after: Option<Duration>,
    /// What exactly failed, with what to do about it. It never holds a secret.
    pub source: Box<dyn Error + Send + Sync>,
}

impl ProviderError {
    /// An error without a word from the provider on when to retry.
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

    /// The same for what will not be different in seconds, such as a certificate that is not trusted: no layer makes the
    /// same call again at once.
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
