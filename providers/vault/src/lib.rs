//! Keys from HashiCorp Vault or OpenBao: transit, and KV v2.
//!
//! How it meets the contract:
//!
//! - *Remote custody*: a key is one version of a transit key, `<ring>.<algorithm>`. Transit cannot hold what Signet must
//!   know of a key (its terms, its predecessor, the mark of its revocation), so that stands in one document in KV v2, the
//!   record. The record is changed by check-and-set alone, and it names a version *before* transit makes it: whatever
//!   transit makes beside that (a crash, two replicas, an automatic rotation) is not in the ring. So the claim is atomic.
//! - *Sealed custody*: [`sealer`] is transit's `encrypt` and `decrypt` with the context as associated data, [`store`] one
//!   secret of KV v2 with check-and-set.
//!
//! Public keys and creation instants come from transit, never from the record: whoever can write the record alone cannot
//! put a key into the ring. Why there is an own client here: `docs/decisions/0010-vault-client.md`.
//!
//! This crate refuses to know the environment (variables are handed in) and the time beyond what its caller's clock says.
//! The entry points are [`VaultConfig::new`] and then [`remote`], or [`sealer`] and [`store`].

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
