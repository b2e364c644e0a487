//! Keys from HashiCorp Vault or OpenBao, with the engines transit and KV v2.
//!
//! How it meets the contract:
//!
//! - *Remote custody*: a key is one version of a transit key, `<ring>.<algorithm>`. Transit cannot store everything
//!   that Signet needs to know about a key (its terms, its predecessor, its revocation). A document in KV v2, the
//!   record, stores it. The record is changed only by check-and-set, and it names a version *before* transit creates
//!   it. Any other version in transit (from a crash, from two replicas, from automatic rotation) is not in the ring.
//!   The claim is therefore atomic.
//! - *Sealed custody*: [`sealer()`] uses transit's `encrypt` and `decrypt` with the context as associated data.
//!   [`store()`] is a secret of KV v2 with check-and-set.
//!
//! Public keys and creation times come from transit, never from the record, so write access to the record alone is not
//! enough to add a key to the ring. `docs/decisions/0010-vault-client.md` explains why this crate has its own client.
//!
//! This crate reads no environment (variables are passed in) and no clock except the caller's. The entry points are
//! [`VaultConfig::new`], and then [`remote()`], or [`sealer()`] and [`store()`].

mod capabilities;
mod check;
mod client;
mod config;
mod confine;
mod error;
mod handle;
mod kv;
mod mount;
mod names;
mod provider;
mod record;
mod refusal;
mod sealer;
mod store;
mod succession;
mod transit;

pub use config::{VARIABLES, VaultConfig};
pub use provider::remote;
pub use sealer::sealer;
pub use store::store;

/// The provider's name in settings, logs and metrics.
pub const NAME: &str = "vault";
