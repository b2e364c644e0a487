//! What every provider decides alike: which key `create` makes, and which key may not be retired.

use signet_core::{KeyRecord, KeyState, Kid};

use crate::error::ErrorKind;
use crate::failure::Failure;
use crate::provider::NewKey;

/// What `create` is to do (clause 3).
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Make the key: it is the first of an empty ring, or the successor of the newest.
    New,
    /// Make nothing, and answer this one: somebody else was faster.
    Newest(&'a KeyRecord),
    /// Refuse with `NotFound`. The caller knows this key, and the ring is empty: whatever happened to it, this is no place to
    /// begin another ring.
    Lost(&'a Kid),
}

impl NewKey {
    /// What `create` is to do in a ring whose newest key is this one.
    #[must_use]
    pub fn wanted<'a>(&'a self, newest: Option<&'a KeyRecord>) -> Wanted<'a> {
        match (newest, &self.successor_of) {
            (None, None) => Wanted::New,
            (Some(newest), Some(kid)) if newest.kid() == kid => Wanted::New,
            (Some(newest), _) => Wanted::Newest(newest),
            (None, Some(kid)) => Wanted::Lost(kid),
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
                "key {kid} is the newest key of the ring that can sign; without it nothing could. Create its successor \
                 first, or revoke it"
            ),
        )),
        _ => Ok(()),
    }
}
