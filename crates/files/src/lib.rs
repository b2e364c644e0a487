//! Reads and writes files safely.
//!
//! A file is read only if it is a regular file of limited size that nobody else could have written. It is written
//! completely or not at all.
//!
//! - [`Rule`] is the entry point for files that a setting names.
//! - [`content`] and [`disk`] read and write the files that Signet makes itself.
//! - [`cache`] keeps public facts for the next start.
//! - [`Stamp`] tells whether files have changed.
//! - [`no_authorities`] says what a file holds instead of certificates.
//!
//! Each file is opened once, without blocking on pipes and devices, and then the open file is checked and read. Pipes,
//! sockets and devices are refused, because they could make a reader wait for ever.
//!
//! This crate knows no settings and no providers. It blocks as long as the file system does; call it
//! on a thread that may block.

pub mod cache;
pub mod content;
pub mod disk;
mod named;
mod pem;
mod stamp;

pub use named::{LONGEST, Refused, Rule};
pub use pem::no_authorities;
pub use stamp::Stamp;
