//! Reads files without waiting for anybody, bounded in size, and only if nobody else could have written them; and writes them
//! whole or not at all.
//!
//! Every file that a setting names is read here: [`Rule`] is the entry point. The files that Signet writes itself, in
//! directories that it was told, are read by [`content`] and written by [`disk`]; [`cache`] keeps public facts over a restart.
//! All of them open a file once, without waiting, look at what was opened, and read from that. Only regular files are read: a
//! pipe, a socket or a device may keep a reader waiting for ever. [`no_authorities`] says what is in a file in place of certificates.
//!
//! It knows no setting and no provider. It blocks as long as the file system does; call it where that is allowed.

pub mod cache;
pub mod content;
pub mod disk;
mod named;
mod pem;

pub use named::{LONGEST, Refused, Rule};
pub use pem::no_authorities;
