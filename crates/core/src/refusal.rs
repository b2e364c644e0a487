//! The reasons for refusing a token.

/// Why a token was refused. The codes of [`Refusal::code`] are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is longer than [`crate::token::LONGEST`].
    #[error("the token is longer than 16 KiB")]
    TooLarge,
    /// The token is not a JWS in compact form with JSON claims.
    #[error("{0}")]
    Malformed(&'static str),
    /// The header's `crit` demands an extension that Signet does not support.
    #[error("{0}")]
    Critical(&'static str),
    /// The token has no kid, or no key of the ring has its kid.
    #[error("no published key of the issuer has this kid")]
    UnknownKey,
    /// `alg` is not the algorithm of the key.
    #[error("alg in the header is not the algorithm of the key (RFC 8725 §3.1)")]
    WrongAlgorithm,
    /// The signature is not valid for the key.
    #[error("the signature does not verify")]
    BadSignature,
    /// `iss` is not the expected issuer.
    #[error("iss is not an accepted issuer (RFC 8725 §3.8)")]
    WrongIssuer,
    /// `aud` contains none of the expected audiences.
    #[error("aud has none of the required audiences (RFC 8725 §3.9)")]
    WrongAudience,
    /// `typ` is not the expected one, or is that of a token which does not give access, such as a logout token.
    #[error("typ in the header is not the required type (RFC 8725 §3.11)")]
    WrongType,
    /// `exp` has passed.
    #[error("the token has expired (exp)")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet: nbf or iat is in the future")]
    NotYetValid,
    /// `scope` lacks a required value.
    #[error("scope lacks a required value")]
    InsufficientScope,
}

impl Refusal {
    /// All refusals, for documentation and tests.
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

    /// The stable code of this refusal in answers, logs and metrics.
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
