//! Starts the servers of a cloud, prints how to reach them as one line of JSON, and runs until standard input ends. For
//! tests in other languages.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for tests"
)]

use std::io::Read as _;
use std::process::ExitCode;

use serde_json::json;
use signet_fakes::{Authority, aws, azure, gcp};

fn main() -> ExitCode {
    let authority = Authority::new();
    let started = match std::env::args().nth(1).as_deref() {
        Some("aws") => aws::start(&authority),
        Some("azure") => azure::start(&authority),
        Some("gcp") => gcp::start(&authority),
        _ => {
            eprintln!("usage: signet-fakes aws|azure|gcp");
            return ExitCode::from(64);
        }
    };
    let mut told = started.told;
    told["authority"] = json!(authority.pem());
    println!("{told}");
    // An error also means the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
