//! How long a vendor's answers may lack what was changed a moment ago: one span and one clock for all who bridge it.
//!
//! Two do. *A provider* lists a key that it created although its vendor's list lacks it (clause 1), as its own `create` and
//! `sign` go by that list. *`Checked`* of `signet-guards` does the same for the sidecar, whatever the provider does, and puts
//! back a mark of revocation that a list does not show yet.

use std::time::Duration;

use signet_base::Clock;

/// Vendors say seconds, and that it may be minutes:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency>.
pub const SETTLING: Duration = Duration::from_secs(300);

/// When something was changed, by [`Clock::running`], which nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling(Duration);

impl Settling {
    /// Since now.
    #[must_use]
    pub fn begin(clock: &dyn Clock) -> Self {
        Self(clock.running())
    }

    /// Whether answers may still lack it.
    #[must_use]
    pub fn goes_on(self, clock: &dyn Clock) -> bool {
        clock.running().saturating_sub(self.0) < SETTLING
    }
}
