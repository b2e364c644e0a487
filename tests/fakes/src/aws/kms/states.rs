//! The answer of each call by the state of its key: the table at
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>, for the calls of this fake.

use super::Problem;
use crate::aws::state::{KeyState, key_arn};

/// Refuses the call if a key in this state refuses it. Calls that are not listed (`DescribeKey`, `ListAliases`,
/// `ListKeys`, `ListResourceTags`, `DeleteAlias`) work in every state.
pub(super) fn demand(operation: &str, id: &str, state: KeyState) -> Result<(), Problem> {
    let refuse = |code, what: &str| Err(Problem::new(code, format!("{} is {what}.", key_arn(id))));
    match (operation, state) {
        ("Sign" | "Verify" | "Encrypt" | "Decrypt" | "GetPublicKey", KeyState::Disabled) => {
            refuse("DisabledException", "disabled")
        }
        // The table allows either exception, so here some calls return one and some the other.
        ("Sign" | "Decrypt", KeyState::PendingDeletion) => refuse("DisabledException", "pending deletion"),
        (
            "Verify"
            | "Encrypt"
            | "GetPublicKey"
            | "CreateAlias"
            | "DisableKey"
            | "EnableKey"
            | "ScheduleKeyDeletion"
            | "UpdateKeyDescription",
            KeyState::PendingDeletion,
        ) => refuse("KMSInvalidStateException", "pending deletion"),
        ("CancelKeyDeletion", KeyState::Enabled | KeyState::Disabled) => {
            refuse("KMSInvalidStateException", "not pending deletion")
        }
        _ => Ok(()),
    }
}
