//! `signet-load`: the load generator of the benchmarks.
//!
//! It knows HTTP, clocks and `/proc`. The only request of Signet that it knows is the one that makes tokens. It
//! has six commands, each of which prints one JSON object or fails: `run` (load on a server), `raw` (the cost of
//! the bare cryptography), `tokens` (a supply of unseen tokens from a sidecar), `mint` (the same without one), `crowd`
//! (memory after many clients), `ready` (time from start to ready). `benches/run.sh` and `benches/gateway.sh`
//! combine them.
#![allow(clippy::disallowed_methods, reason = "a load generator is made of clocks")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its result is what it prints")]

mod args;
mod crowd;
mod drive;
mod error;
mod histogram;
mod mint;
mod plan;
mod process;
mod raw;
mod ready;
mod report;
mod supply;
mod target;
#[cfg(test)]
mod testserver;
mod tokens;

use std::process::ExitCode;

use serde::Serialize;

use error::LoadError;

fn main() -> ExitCode {
    match command(&args::command().get_matches()) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("signet-load: {}", error::chain(&error));
            match error {
                LoadError::Usage(_) => ExitCode::from(64),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn command(matches: &clap::ArgMatches) -> Result<String, LoadError> {
    match matches.subcommand() {
        Some(("run", matches)) => json(&report::Report::new(&drive::drive(args::plan(matches)?)?)),
        Some(("raw", matches)) => {
            let (only, seconds) = args::raw(matches)?;
            json(&raw::measure(&only, seconds)?)
        }
        Some(("tokens", matches)) => {
            let written = tokens::make(args::order(matches)?)?;
            json(&serde_json::json!({ "tokens": written }))
        }
        Some(("mint", matches)) => {
            let written = mint::make(&args::mint(matches)?)?;
            json(&serde_json::json!({ "tokens": written }))
        }
        Some(("crowd", matches)) => json(&crowd::send(&args::crowd(matches)?)?),
        Some(("ready", matches)) => json(&ready::measure(&args::trial(matches)?)?),
        _ => Err(LoadError::Usage("no such command".to_owned())),
    }
}

fn json(value: &impl Serialize) -> Result<String, LoadError> {
    serde_json::to_string(value).map_err(|error| LoadError::System(error.into()))
}
