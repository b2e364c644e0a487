//! The embedded provider: a ring on the local disk, sealed with a key file. It needs no cloud and no server.
//!
//! [`signet_sealed`] implements the contract, with a [`FileStore`](signet_sealed::FileStore) at `<data_dir>/ring.json`
//! and a sealer that uses AES-256-GCM with 32 random bytes from a key file. The claim is atomic between processes that
//! share the directory. All ten algorithms are supported.
//!
//! Of the five files that every provider has, `client.rs` is missing, because there is no server to call. `key_file.rs`
//! reads and creates the key, `sealer.rs` uses it, and `place.rs` detects the loss of either file.
//!
//! The entry points are [`open`] and, for commands that only read, [`look`].

mod config;
mod error;
mod key_file;
mod place;
mod provider;
mod sealer;
mod untouched;

pub use config::LocalConfig;
pub use provider::{look, open};
pub use untouched::{check_untouched, is_untouched};

/// The provider's name in settings, logs and metrics.
pub const NAME: &str = "local";
