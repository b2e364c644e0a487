//! How long a vendor's answers may lack a recent change. All code that compensates for this uses the same time and
//! clock.
//!
//! Two parts do. *A provider* lists a key that it created although its vendor's list lacks it (clause 1), because its
//! own `create` and `sign` use that list. *`Checked`* of `signet-guards` does the same for the sidecar, whatever the
//! provider does, and restores a revocation that a list does not show yet.

use std::time::Duration;

use signet_base::Clock;

/// Vendors speak of seconds and say that it may take minutes:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency>.
pub const SETTLING: Duration = Duration::from_secs(300);

/// When something was changed, by [`Clock::running`], which nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling(Duration);

impl Settling {
    /// A change that was made now.
    #[must_use]
    pub fn begin(clock: &dyn Clock) -> Self {
        Self(clock.running())
    }

    /// Whether answers may still lack the change.
    #[must_use]
    pub fn goes_on(self, clock: &dyn Clock) -> bool {
        clock.running().saturating_sub(self.0) < SETTLING
    }
}
