//! The `signet` command. All of it is in the library; this file only lends it the process.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(text) = signet::proxies::settle() {
        let _ = writeln!(std::io::stderr().lock(), "signet: {text}");
        return ExitCode::from(78);
    }
    signet::hardening::seal_process();
    let outcome = signet::cli::run(std::env::args_os());
    // A closed pipe (`signet keys list | head`) is no reason to panic.
    let _ = std::io::stdout().lock().write_all(outcome.stdout.as_bytes());
    let _ = std::io::stderr().lock().write_all(outcome.stderr.as_bytes());
    ExitCode::from(outcome.code)
}
