//! The binary as its users see it: a file, backends behind it, clients in front of it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests measure how long something takes, and date tokens"
)]

mod answers;
mod faults;
mod framing;
mod requests;
mod support;
mod tokens;
