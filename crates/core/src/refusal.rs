//! Why a token is refused.

/// Why a token was refused. The words of [`Refusal::code`] are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`crate::token::LONGEST`].
    #[error("the token is longer than 16 KiB")]
    TooLarge,
    /// Not a JWS in compact form with JSON claims.
    #[error("{0}")]
    Malformed(&'static str),
    /// It asks for an extension.
    #[error("{0}")]
    Critical(&'static str),
    /// No key of the ring has its kid, or it names none.
    #[error("no published key has this kid")]
    UnknownKey,
    /// Its `alg` is not the one of its key.
    #[error("alg in the header is not the algorithm of the key (RFC 8725 §3.1)")]
    WrongAlgorithm,
    /// The signature is not its key's.
    #[error("the signature does not verify")]
    BadSignature,
    /// `iss` is another.
    #[error("iss is not the issuer (RFC 8725 §3.8)")]
    WrongIssuer,
    /// `aud` names none of the audiences asked for.
    #[error("aud names none of the required audiences (RFC 8725 §3.9)")]
    WrongAudience,
    /// `typ` is not the one asked for, or a kind of token that is not for access.
    #[error("typ is not the required type of token (RFC 8725 §3.11)")]
    WrongType,
    /// `exp` has passed.
    #[error("exp has passed")]
    Expired,
    /// `nbf` or `iat` lie in the future.
    #[error("nbf or iat lies in the future")]
    NotYetValid,
    /// `scope` lacks one that was asked for.
    #[error("scope lacks a required value")]
    InsufficientScope,
}

impl Refusal {
    /// One of each, for documentation and tests.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Malformed(""),
        Self::Critical(""),
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::WrongType,
        Self::Expired,
        Self::NotYetValid,
        Self::InsufficientScope,
    ];

    /// The word for it in answers, logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Critical(_) => "unsupported_critical",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}
