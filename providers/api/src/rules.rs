//! Rules that all providers share: which key `create` makes, and which key may not be retired.

use signet_core::{KeyRecord, KeyState, Kid};

use crate::error::ErrorKind;
use crate::failure::Failure;
use crate::provider::NewKey;

/// What `create` must do (clause 3).
#[derive(Clone, Copy, Debug)]
pub enum CreateDecision<'a> {
    /// Create the key. It is the first of an empty ring, or the successor of the newest.
    New,
    /// Create nothing and return this key, because somebody else was faster.
    Newest(&'a KeyRecord),
    /// Refuse with `NotFound`. The caller knows this key but the ring is empty. Whatever happened, a new ring
    /// must not be started here.
    Lost(&'a Kid),
}

impl NewKey {
    /// Decides what `create` must do in a ring with this newest key.
    #[must_use]
    pub fn decide<'a>(&'a self, newest: Option<&'a KeyRecord>) -> CreateDecision<'a> {
        match (newest, &self.successor_of) {
            (None, None) => CreateDecision::New,
            (Some(newest), Some(kid)) if newest.kid() == kid => CreateDecision::New,
            (Some(newest), _) => CreateDecision::Newest(newest),
            (None, Some(kid)) => CreateDecision::Lost(kid),
        }
    }
}

/// Refuses to retire the newest key that can sign (clause 6): without it nothing could.
///
/// # Errors
/// `KeyUnusable`, if the key is that one.
pub fn may_retire<'a>(ring: impl IntoIterator<Item = &'a KeyRecord>, kid: &Kid) -> Result<(), Failure> {
    let signs = |key: &&KeyRecord| key.state == KeyState::Enabled && key.revoked.is_none();
    let newest = ring.into_iter().filter(signs).max_by(|a, b| a.creation_order(b));
    match newest {
        Some(newest) if newest.kid() == kid => Err(Failure::new(
            ErrorKind::KeyUnusable,
            format!(
                "key {kid} is the newest key of the ring that can sign, so it cannot be retired. Create its \
                 successor first, or revoke it"
            ),
        )),
        _ => Ok(()),
    }
}
