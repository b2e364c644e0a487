//! The `signet-gateway` command. The library does everything; this file connects it to the process.

use std::io::Write as _;
use std::process::ExitCode;

use signet_gateway::cli;

fn main() -> ExitCode {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let outcome = cli::run(std::env::args_os(), &variables);
    // If this fails, only the exit code can report the result.
    let _ = std::io::stderr().lock().write_all(outcome.stderr.as_bytes());
    let written = std::io::stdout().lock().write_all(outcome.stdout.as_bytes());
    ExitCode::from(if written.is_err() && outcome.code == 0 {
        74
    } else {
        outcome.code
    })
}
