//! What the token may do on a path, as Vault tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signet_api::Failure;

use crate::client::{Call, Client};

/// Where that is asked.
pub(crate) const CAPABILITIES: &str = "sys/capabilities-self";

#[derive(Serialize)]
struct Asked<'a> {
    paths: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Told(BTreeMap<String, Vec<String>>);

/// What the token may do on each of these paths.
pub(crate) async fn held(client: &Client, paths: Vec<&str>) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let Told(held) = client.read(Call::post(CAPABILITIES, &Asked { paths })?).await?;
    Ok(held)
}
