//! What happens when the disk lies, fails or forbids: promise 5, the refusals at start, and promise 9 in the logs.

mod certificates;
#[path = "../harness/mod.rs"]
mod harness;
mod last_good;
mod out_of_touch;
mod running;
mod secrets;
mod start;
