//! The servers that a cloud's module starts for clients in other processes.

use serde_json::Value;

use crate::server::Server;

/// Running servers, and how clients reach them.
#[derive(Debug)]
pub struct Started {
    /// The servers. They stop when they are dropped.
    pub servers: Vec<Server>,
    /// Addresses, names and test credentials, as a JSON object.
    pub told: Value,
}
