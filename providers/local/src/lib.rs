//! The embedded provider: a ring on the local disk, sealed under a key file. It needs no cloud and no server.
//!
//! How it meets the contract: everything is [`signet_sealed`]'s doing, over a [`FileStore`](signet_sealed::FileStore)
//! on `<data_dir>/ring.json` and a sealer that is AES-256-GCM under 32 random octets in a key file. The claim is atomic
//! between processes that share the directory, and all ten algorithms are there.
//!
//! Of the five files that every provider has, `client.rs` is missing, as there is nobody to call: `key_file.rs` reads
//! and makes the key, `sealer.rs` uses it, and `place.rs` guards the two files against each other's loss.
//!
//! The entry points are [`open`] and, for commands that only look, [`look`].

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
