//! What a token may do on a path, as Vault reports it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signet_api::Failure;

use crate::client::{Call, Client};

/// The endpoint that reports it.
pub(crate) const CAPABILITIES: &str = "sys/capabilities-self";

#[derive(Serialize)]
struct Asked<'a> {
    paths: Vec<&'a str>,
}

#[derive(Deserialize)]
struct GrantedCapabilities(BTreeMap<String, Vec<String>>);

/// Asks what the token may do on each of these paths.
pub(crate) async fn held(client: &Client, paths: Vec<&str>) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let GrantedCapabilities(held) = client.read(Call::post(CAPABILITIES, &Asked { paths })?).await?;
    Ok(held)
}
