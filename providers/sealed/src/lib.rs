//! Sealed custody: a [`KeyProvider`](signet_api::KeyProvider) made from two small parts that a provider crate supplies.
//!
//! A [`Sealer`] encrypts and decrypts small secrets under a key that it never reveals. A [`RingStore`] stores one
//! document and replaces it only if nobody else did so first. [`Sealed`] combines them. It generates key pairs here,
//! stores their private halves in the ring document as ciphertext of the sealer, and signs locally.
//!
//! The sealer is trusted; the store is not. Somebody who can write to the store but cannot use the sealer can destroy
//! the ring, which is noticed. They cannot add a key, remove a revocation or change a creation time, because the whole
//! document is authenticated with a ring key that only the sealer can decrypt (`document.rs`), and each private key is
//! bound to its record ([`Context`]).
//!
//! This crate knows no vendor. It contains one store, [`FileStore`], which several providers use, with its file
//! operations ([`disk`]). [`MemoryStore`] and [`FaultyStore`] are for tests and simulations.

pub mod disk;

mod context;
mod damage;
mod document;
mod entry;
mod faulty;
mod file;
mod memory;
mod provider;
mod ring;
mod sealer;
mod store;

pub use context::{Context, Purpose};
pub use document::LONGEST;
pub use faulty::{Fault, FaultyStore};
pub use file::FileStore;
pub use memory::MemoryStore;
pub use provider::Sealed;
pub use sealer::Sealer;
pub use store::{RingStore, Stored, Swap, Version};
