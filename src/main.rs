//! The `signet` command. All its code is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use signet::cli::{self, Output};

fn main() -> ExitCode {
    if let Err(text) = signet::proxies::settle() {
        let _ = writeln!(std::io::stderr().lock(), "signet: {text}");
        return ExitCode::from(78);
    }
    signet::hardening::seal_process();
    let outcome = cli::run(std::env::args_os());
    let code = outcome.deliver(&mut Output::of_this_process(), &mut std::io::stderr().lock());
    ExitCode::from(code)
}
