//! The command line: `serve`, `check`, `keys`, `token`, `schedule`.

mod check;
mod client;
mod command;
mod keys;
mod live;
mod neighbour;
mod outcome;
mod schedule;
mod sidecar;
mod token;
mod waits;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use clap::ArgMatches;
use serde_json::{Value, json};
use signet_api::ProviderError;
use signet_base::chain;

use crate::error_kinds::exit_code;
use crate::serve::{self, StartError};
use crate::settings::{Settings, SettingsError};
use crate::telemetry::logs;

pub use outcome::{Outcome, Output};

/// Why a command failed, worded for its user.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    text: String,
    /// The result that the command prints to standard output despite the failure: the verdict that a program reads.
    answer: String,
    code: u8,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            answer: String::new(),
            code: 64,
        }
    }

    pub(crate) fn new(code: u8, error: &dyn Error) -> Self {
        Self {
            text: chain(error),
            answer: String::new(),
            code,
        }
    }

    /// The text for standard output. With `--json` it is one object, whose member `failure` has the text of standard error.
    fn stdout(&self, json: bool) -> String {
        if !json {
            return self.answer.clone();
        }
        let mut answer: Value = serde_json::from_str(&self.answer).unwrap_or_else(|_| json!({}));
        answer["failure"] = json!({ "text": self.text, "exit_code": self.code });
        to_json(&answer)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self {
            code: error.exit_code(),
            answer: String::new(),
            text: error.to_string(),
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::new(exit_code(error.kind), &error)
    }
}

/// Runs a command line.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Outcome {
    let args: Vec<OsString> = args.into_iter().collect();
    // Checked before clap parses the command line, so an error of clap is printed as JSON too.
    let json = args.iter().any(|arg| arg == "--json");
    let matches = match command::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        // Help and version are not errors and go to standard output.
        Err(help) if !help.use_stderr() => {
            return Outcome {
                stdout: help.to_string(),
                ..Outcome::default()
            };
        }
        Err(refused) => {
            let stderr = command::explained(&refused).unwrap_or_else(|| refused.to_string());
            let text = stderr
                .trim_start_matches("signet: ")
                .trim_start_matches("error: ")
                .trim_end();
            return Outcome {
                stdout: Failure::usage(text).stdout(json),
                stderr,
                code: 64,
            };
        }
    };
    match dispatch(&matches) {
        Ok(stdout) => Outcome {
            stdout,
            ..Outcome::default()
        },
        Err(failure) => Outcome {
            stdout: failure.stdout(json),
            stderr: format!("signet: {}\n", failure.text),
            code: failure.code,
        },
    }
}

fn dispatch(matches: &ArgMatches) -> Result<String, Failure> {
    let (verb, args) = matches.subcommand().unwrap_or(("", matches));
    let (sub, args) = args.subcommand().unwrap_or(("", args));
    // `decode` looks only at its argument, so it needs no settings.
    if (verb, sub) == ("token", "decode") {
        return token::decode(args);
    }
    let settings = Settings::of_this_process(args)?;
    logs::start(settings.log_format, settings.log_colors, settings.log.clone());
    match (verb, sub) {
        ("serve", _) => serve(settings),
        ("check", _) => runtime()?.block_on(check::check(&settings, is_json(args))),
        ("keys", sub) => runtime()?.block_on(keys::keys(&settings, sub, args)),
        ("token", sub) => runtime()?.block_on(token::token(&settings, sub, args)),
        ("schedule", _) if args.get_flag("live") => runtime()?.block_on(live::live(&settings, is_json(args))),
        ("schedule", _) => Ok(schedule::schedule(&settings, is_json(args))),
        _ => Err(Failure::usage("unknown command; `signet --help` lists the commands")),
    }
}

fn is_json(args: &ArgMatches) -> bool {
    args.get_flag("json")
}

/// The runtime of the control path: one thread, and others for file operations. Connections
/// are served on other threads.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .thread_name("signet-files")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(71, &error))
}

fn serve(settings: Settings) -> Result<String, Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve::serve(settings));
    // Work that is still blocked after the drain timeout is abandoned.
    runtime.shutdown_background();
    outcome.map(|()| String::new()).map_err(|error| match &error {
        StartError::Provider(cause) | StartError::Also(cause) => Failure::new(exit_code(cause.kind), &error),
        _ => Failure::new(78, &error),
    })
}

/// Writes a message to standard error for a person who is watching. It is not part of the answer.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// JSON for standard output, with a final newline.
pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .unwrap_or_default()
}

/// A duration in milliseconds, for machines.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Formats rows as columns, each as wide as its widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        })
        .collect()
}
