//! signet-gateway: a slim API gateway that runs a `krakend.json`, version 3.

pub mod file;
pub mod plan;
pub mod routes;
pub mod tree;
