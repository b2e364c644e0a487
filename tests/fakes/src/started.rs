//! What a cloud's module starts for a client outside of this process.

use serde_json::Value;

use crate::server::Server;

/// Running servers, and what a client must be told to reach them.
#[derive(Debug)]
pub struct Started {
    /// The servers. They stop when they are dropped.
    pub servers: Vec<Server>,
    /// Addresses, names and test credentials, as a JSON object.
    pub told: Value,
}
