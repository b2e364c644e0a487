//! Which engine is mounted where.

use serde::Deserialize;
use signet_api::ErrorKind;

use crate::client::{Call, Client};
use crate::error::Failure;

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

/// Any token that may do anything below a mount may ask this of it.
async fn mount(client: &Client, name: &str) -> Result<Mount, Failure> {
    let path = format!("sys/internal/ui/mounts/{name}");
    client.read(Call::get(&path)).await
}

/// Fails unless KV version 2 is mounted there.
pub(crate) async fn expect_kv_2(client: &Client, name: &str) -> Result<(), Failure> {
    let mount = mount(client, name).await?;
    let version = mount.options.and_then(|options| options.version);
    if mount.engine == "kv" && version.as_deref() == Some("2") {
        return Ok(());
    }
    let found = match version {
        Some(version) => format!("{} version {version}", mount.engine),
        None => mount.engine,
    };
    Err(Failure::new(
        ErrorKind::InvalidConfig,
        format!(
            "{name} is an engine of type {found}; Signet needs KV version 2, whose check-and-set keeps replicas from \
             overwriting each other. Mount one with `vault secrets enable -path=<mount> kv-v2`, or upgrade this one with \
             `vault kv enable-versioning {name}`"
        ),
    ))
}

/// Fails unless transit is mounted there.
pub(crate) async fn expect_transit(client: &Client, name: &str) -> Result<(), Failure> {
    let mount = mount(client, name).await?;
    if mount.engine == "transit" {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::InvalidConfig,
        format!(
            "{name} is an engine of type {}, and must be transit: correct VAULT_TRANSIT_MOUNT, or `vault secrets enable \
             -path=<mount> transit`",
            mount.engine
        ),
    ))
}
