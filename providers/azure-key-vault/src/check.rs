//! `signet check` for a vault: one permission at a time, leaving nothing behind.
//!
//! The vault checks permissions before it looks up the object of a call. For a version that does not exist, it answers
//! 404 to callers with the permission and 403 to others. Creating has no such harmless form. It is tried with an
//! invalid type of key: a refusal of the caller is then certain, but a grant is not.

use signet_api::{ErrorKind, Operation, ProviderError, Trials};
use signet_core::Algorithm;

use crate::client::{Change, Vault, action};

/// A version that no key has, because the names of versions are random.
const NO_VERSION: &str = "00000000000000000000000000000000";

/// The roles in `deploy/policies`, with the names filled in.
const REMOTE_ROLE: &str = include_str!("../../../deploy/policies/azure-sidecar-remote.json");
const SEALED_ROLE: &str = include_str!("../../../deploy/policies/azure-sidecar-sealed.json");

/// The text of a role, and the command that assigns it for this key.
fn grant(role: &str, file: &str, vault: &Vault) -> String {
    let host = vault.url().trim_start_matches("https://");
    let name = host.split('.').next().unwrap_or(host);
    format!(
        "{role}\n\
         az role definition create --role-definition @deploy/policies/{file}\n\
         az role assignment create --assignee <the identity's object id> --role <Name above> \\\n  \
         --scope /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.KeyVault/vaults/{name}/keys/{}",
        vault.name()
    )
}

fn remote_grant(vault: &Vault) -> Option<String> {
    Some(grant(REMOTE_ROLE, "azure-sidecar-remote.json", vault))
}

fn sealed_grant(vault: &Vault) -> Option<String> {
    Some(grant(SEALED_ROLE, "azure-sidecar-sealed.json", vault))
}

/// Callers with the permission get "not found".
fn permitted<T>(outcome: Result<T, ProviderError>) -> Result<(), ProviderError> {
    match outcome {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

async fn sign(vault: &Vault, algorithm: Algorithm) -> Result<(), ProviderError> {
    permitted(vault.sign(Operation::Check, NO_VERSION, algorithm, vec![0; 32]).await)
}

pub(crate) async fn remote(vault: &Vault, trials: &mut Trials) {
    let grant = || remote_grant(vault);
    let read = vault.versions(Operation::Check);
    trials
        .permission(action::READ, "publishing and verifying", grant(), read)
        .await;
    creating(vault, trials).await;
    let changed = async { permitted(vault.change(Operation::Check, NO_VERSION, Change::default()).await) };
    trials
        .permission(action::UPDATE, "retiring and revoking keys", grant(), changed)
        .await;
    trials
        .permission(
            action::SIGN,
            "signing",
            grant(),
            Box::pin(sign(vault, Algorithm::ES256)),
        )
        .await;
}

/// Tries to create a key. A refusal of the caller is certain. A grant is not certain, because the vault may check the
/// type of key first.
async fn creating(vault: &Vault, trials: &mut Trials) {
    if trials.is_over() {
        return;
    }
    const NEEDED_FOR: &str = "creating keys";
    match vault.create_impossible().await {
        // BadParameter: the vault has checked the type of key.
        Err(error) if error.kind == ErrorKind::InvalidConfig => trials.not_tried(
            action::CREATE,
            NEEDED_FOR,
            "the vault does not refuse it, but only creating a version would show whether it is granted",
        ),
        other => {
            let grant = remote_grant(vault);
            trials
                .permission(action::CREATE, NEEDED_FOR, grant, std::future::ready(other))
                .await;
        }
    }
}

pub(crate) async fn sealed(vault: &Vault, trials: &mut Trials) {
    let grant = || sealed_grant(vault);
    let read = vault.get(Operation::Check, None);
    trials
        .permission(
            action::READ,
            "encrypting private keys and verifying the result",
            grant(),
            read,
        )
        .await;
    trials
        .permission(
            action::SIGN,
            "encrypting private keys",
            grant(),
            Box::pin(sign(vault, Algorithm::PS256)),
        )
        .await;
    let unwrapped = async { permitted(vault.unwrap_key(Operation::Check, NO_VERSION, vec![0; 256]).await) };
    trials
        .permission(action::UNWRAP, "decrypting private keys", grant(), Box::pin(unwrapped))
        .await;
}
