//! `signet-load`: the load generator of the benchmarks.
//!
//! It knows HTTP, clocks and `/proc`. The only request of Signet that it knows is the one that makes tokens. It
//! has four commands, each of which prints one JSON object or fails: `run` (load on a server), `raw` (the cost of
//! the bare cryptography), `tokens` (a supply of unseen tokens), `ready` (time from start to ready).
//! `benches/run.sh` combines them.
#![allow(clippy::disallowed_methods, reason = "a load generator is made of clocks")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its result is what it prints")]

mod args;
mod drive;
mod error;
mod histogram;
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
        Some(("ready", matches)) => json(&ready::measure(&args::trial(matches)?)?),
        _ => Err(LoadError::Usage("no such command".to_owned())),
    }
}

fn json(value: &impl Serialize) -> Result<String, LoadError> {
    serde_json::to_string(value).map_err(|error| LoadError::System(error.into()))
}
