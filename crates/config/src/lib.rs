//! Reads the settings of a program: default < settings file < environment < flag. All problems are reported at once,
//! each with the name that the user wrote.
//!
//! A program defines its [`Table`], asks a [`Reader`] for typed values, and gets either all of them or every problem
//! from [`Reader::finish`]. A program with settings outside its table reads those itself through [`Extras`]. This crate
//! knows no particular setting, and it opens no file.
//!
//! ```
//! use std::time::Duration;
//!
//! use clap::Command;
//! use signet_config::{Fallback, Kind, Loaded, NoExtras, Reader, Setting, SettingsError, Table, flags, parse};
//!
//! static TABLE: Table = Table {
//!     settings: &[
//!         Setting {
//!             name: "config",
//!             group: "General",
//!             kind: Kind::Path,
//!             fallback: Fallback::Absent,
//!             help: "settings file (TOML)",
//!         },
//!         Setting {
//!             name: "header_timeout",
//!             group: "Listeners",
//!             kind: Kind::Duration,
//!             fallback: Fallback::Literal("10s"),
//!             help: "how long a client may take to send a request's headers",
//!         },
//!     ],
//!     prefix: "GATE_",
//!     list: "gate run --help",
//!     file: Some("config"),
//! };
//!
//! fn load(env: &[(&str, &str)], arguments: &[&str]) -> Result<Loaded<Duration>, SettingsError> {
//!     let command = Command::new("gate").no_binary_name(true).args(flags(&TABLE));
//!     let matches = command.get_matches_from(arguments);
//!     let env = env.iter().map(|(name, value)| (name.into(), value.into()));
//!     let read_file = |path: &std::path::Path| std::fs::read_to_string(path);
//!     let mut reader = Reader::new(&TABLE, env, &matches, read_file, &mut NoExtras);
//!     let header_timeout = reader.required("header_timeout", parse::duration);
//!     reader.finish(header_timeout)
//! }
//!
//! # fn main() -> Result<(), SettingsError> {
//! assert_eq!(load(&[], &[])?.settings, Duration::from_secs(10));
//! let env = [("GATE_HEADER_TIMEOUT", "1m")];
//! assert_eq!(load(&env, &[])?.settings, Duration::from_secs(60));
//! assert_eq!(load(&env, &["--header-timeout=5s"])?.settings, Duration::from_secs(5));
//!
//! let refused = load(&[("GATE_HEADER_TIMEOUT", "10"), ("GATE_CONFGI", "gate.toml")], &[]).unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "2 problems with the settings\n  \
//!      GATE_CONFGI (environment): is not a setting; did you mean GATE_CONFIG?\n  \
//!      GATE_HEADER_TIMEOUT (environment): \"10\" has no unit; write for example 10s for seconds, 10m for minutes"
//! );
//! # Ok(())
//! # }
//! ```

mod choice;
mod effective;
mod extras;
mod flags;
pub mod parse;
mod problem;
mod reader;
mod sources;
mod table;
mod unknown;
mod values;

pub use choice::choice;
pub use effective::Effective;
pub use extras::{Extras, NoExtras};
pub use flags::flags;
pub use problem::{Fault, Problem, SettingsError};
pub use reader::{Loaded, Reader};
pub use sources::Source;
pub use table::{Fallback, Kind, Setting, Table};
pub use unknown::is_from_kubernetes;
pub use values::{EMPTY, text_of};
