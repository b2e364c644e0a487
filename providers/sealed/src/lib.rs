//! Sealed custody: a [`KeyProvider`](signet_api::KeyProvider) made of two narrow things that a provider crate supplies.
//!
//! A [`Sealer`] encrypts and decrypts small secrets, and never shows the key it does that with. A [`RingStore`] keeps
//! one document and swaps it for the next if nobody else did first. [`Sealed`] puts them together: key pairs are made
//! here, their private halves are kept as the sealer's ciphertext in the ring document, and signing is local.
//!
//! What is trusted: the sealer. The store is not. Whoever can write the store but cannot use the sealer can destroy the
//! ring, which is noticed, but cannot put a key into it, take a revocation away or move a creation instant: the whole
//! document is authenticated under a ring key that only the sealer opens (`document.rs`), and each private key is bound
//! to its record ([`Context`]).
//!
//! This crate knows no vendor. It brings one store, [`FileStore`], because several providers use it, and the file
//! operations under it ([`disk`]); [`MemoryStore`] and [`FaultyStore`] are for tests and simulations.

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
