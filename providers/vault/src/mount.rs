//! Checks which engine is mounted at a path.

use std::collections::BTreeMap;

use serde::Deserialize;
use signet_api::{ErrorKind, Failure};
use signet_base::quote;

use crate::capabilities::held;
use crate::client::{Call, Client};
use crate::error::NO_MOUNT;

/// How many mounts an error lists.
const MOST_NAMES: usize = 8;

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    engine: String,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    version: Option<String>,
}

/// The mounts on which the token has any permission, by path.
#[derive(Deserialize)]
struct Mounts {
    #[serde(default)]
    secret: BTreeMap<String, Mount>,
}

/// Mounts that every token has and that never hold a ring.
const OF_VAULT: [&str; 3] = ["cubbyhole", "identity", "system"];

impl Mount {
    fn version(&self) -> Option<&str> {
        self.options.as_ref()?.version.as_deref()
    }

    fn described(&self) -> String {
        match self.version() {
            Some(version) => format!("{} version {version}", self.engine),
            None => self.engine.clone(),
        }
    }
}

/// Reads the type of a mount. Vault allows this to tokens with any permission below the mount. `needed` is a path below
/// the mount for which this token needs a permission.
async fn mount(client: &Client, name: &str, needed: &str) -> Result<Mount, Failure> {
    let path = format!("sys/internal/ui/mounts/{name}");
    let call = Call::get(&path);
    let asked = call.name();
    match client.call(call).await? {
        Ok(answer) => answer.data(&asked),
        // "preflight capability check returned 403": Vault also says this of a mount that does not exist, even to root,
        // to prevent guessing the names of mounts.
        Err(refused) if refused.status == 403 => Err(Box::pin(missing(client, name, needed)).await?),
        Err(refused) => Err(refused.into()),
    }
}

/// The error if there is no mount, or none that this token may use. The token's policies show which of the two it is:
/// with a permission on a path below the mount, the token would see an existing mount.
async fn missing(client: &Client, name: &str, needed: &str) -> Result<Failure, Failure> {
    let others = others(client).await;
    if may_use(client, needed).await {
        let text = format!("nothing is mounted at {name}. {NO_MOUNT}{others}");
        return Ok(Failure::new(ErrorKind::InvalidConfig, text));
    }
    let text = format!(
        "nothing is mounted at {name}, or the token's policies allow nothing below it; Vault does not say which. If \
         it is mounted (`vault secrets list`), the policies lack {needed}. If it is not: {NO_MOUNT}{others}"
    );
    Ok(Failure::new(ErrorKind::PermissionDenied, text))
}

/// Whether the token has any permission on the path. Also `false` if the token may not query this.
async fn may_use(client: &Client, path: &str) -> bool {
    let held = held(client, vec![path]).await;
    held.is_ok_and(|held| {
        held.get(path)
            .is_some_and(|held| held.iter().any(|held| held != "deny"))
    })
}

/// The mounts that the token may use, in words. Empty if the token may not query this.
async fn others(client: &Client) -> String {
    let mounts = client.read::<Mounts>(Call::get("sys/internal/ui/mounts")).await;
    let mounts = mounts.map_or_else(|_| BTreeMap::new(), |mounts| mounts.secret);
    let mounts = mounts
        .iter()
        .filter(|(_, mount)| !OF_VAULT.contains(&mount.engine.as_str()));
    let names: Vec<String> = mounts
        .take(MOST_NAMES)
        .map(|(name, mount)| quote(&format!("{} ({})", name.trim_end_matches('/'), mount.described())))
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(". The token may use {}", names.join(", ")),
    }
}

/// Fails unless KV version 2 is mounted there. `needed` is a path below the mount for which this token needs a
/// permission.
pub(crate) async fn expect_kv_2(client: &Client, name: &str, needed: &str) -> Result<(), Failure> {
    let mount = mount(client, name, needed).await?;
    if mount.engine == "kv" && mount.version() == Some("2") {
        return Ok(());
    }
    let found = mount.described();
    Err(Failure::new(
        ErrorKind::InvalidConfig,
        format!(
            "{name} is an engine of type {found}, but Signet needs KV version 2, so that replicas do not overwrite \
             each other (check-and-set). Mount one with `vault secrets enable -path=<mount> kv-v2`, or \
             upgrade this one with `vault kv enable-versioning {name}`"
        ),
    ))
}

/// Fails unless transit is mounted there. `needed` is a path below the mount for which this token needs a permission.
pub(crate) async fn expect_transit(client: &Client, name: &str, needed: &str) -> Result<(), Failure> {
    let mount = mount(client, name, needed).await?;
    if mount.engine == "transit" {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::InvalidConfig,
        format!(
            "{name} is an engine of type {}, but must be transit; correct VAULT_TRANSIT_MOUNT, or run `vault secrets \
             enable -path=<mount> transit`",
            mount.engine
        ),
    ))
}
