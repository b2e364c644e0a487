//! The claims in which an issuer writes scopes and audience.

use crate::claim_path::ClaimPath;

/// Which claims of an issuer hold the scopes and the audience, if not `scope` and `aud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The claims that hold scopes; the scopes of all of them count. If empty, `scope` is read, or
    /// `scp` if there is no `scope`.
    pub scope: Vec<ClaimPath>,
    /// The claim that holds the audience. `None` means `aud`.
    pub audience: Option<ClaimPath>,
}

static STANDARD: Dialect = Dialect {
    scope: Vec::new(),
    audience: None,
};

impl Dialect {
    /// The claims of RFC 7519 and RFC 9068. Signet's own tokens use them.
    #[must_use]
    pub fn standard() -> &'static Self {
        &STANDARD
    }
}
