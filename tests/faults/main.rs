//! A disk that returns wrong data, fails or denies access: promise 5, refused starts, and promise 9 in the logs.

mod certificates;
mod last_good;
mod out_of_touch;
mod running;
mod secrets;
mod start;

use signet_harness as harness;

use crate::harness::http::Connection;
use crate::harness::time::wait_for;
use crate::harness::{PATIENCE, Spec, kids};

/// The kids of the JWKS, once a starting sidecar serves it.
fn published(spec: &Spec) -> Vec<String> {
    wait_for("the JWKS", PATIENCE, || {
        let mut public = Connection::tcp(spec.listen()).ok()?;
        Some(kids(&public.get("/.well-known/jwks.json").ok()?.json()))
    })
}
