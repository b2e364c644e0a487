//! Where an issuer writes scopes and audience.

use crate::claim_path::ClaimPath;

/// In which claims an issuer writes what others write in `scope` and `aud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The claims that hold scopes, all of which count. Empty: `scope`, or else `scp`.
    pub scope: Vec<ClaimPath>,
    /// The claim that holds the audience; `None` is `aud`.
    pub audience: Option<ClaimPath>,
}

static STANDARD: Dialect = Dialect {
    scope: Vec::new(),
    audience: None,
};

impl Dialect {
    /// That of RFC 7519 and RFC 9068, which is our own.
    #[must_use]
    pub fn standard() -> &'static Self {
        &STANDARD
    }
}
