//! The command line as people and scripts use it: all commands, their exit codes, and JSON that parses.

mod check;
mod future;
mod help;
mod json;
mod keys;
mod neighbour;
mod output;
mod pipes;
mod token;
#[cfg(feature = "vault")]
mod waits;

use signet_harness as harness;
