//! The command line: `run`, `check` and `version`, with KrakenD's short flags.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use signet_base::chain;
use signet_config::SettingsError;
use tracing::{Level, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::file::reference;
use crate::file::{Report, Strictness};
use crate::plan::rules::AGENT;
use crate::plan::{Log, Plan};
use crate::plan_file::PlanFile;
use crate::run;
use crate::settings::{self, Settings};
use crate::sidecar_settings::SidecarSettings;
use crate::trial;

/// The result of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The text for standard output.
    pub stdout: String,
    /// The text for standard error.
    pub stderr: String,
    /// The exit code. 64 means a fault in the file or the command line, 78 one in the environment.
    pub code: u8,
}

/// Runs a command with these environment variables.
pub fn run(arguments: impl IntoIterator<Item = OsString>, variables: &[(String, String)]) -> Outcome {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            return Outcome {
                stderr: error.to_string(),
                code: 64,
                ..Outcome::default()
            };
        }
        Err(help) => {
            return Outcome {
                stdout: help.to_string(),
                ..Outcome::default()
            };
        }
    };
    match matches.subcommand() {
        Some(("run", matches)) => serve(matches, variables),
        Some(("check", matches)) => check(matches, variables),
        Some(("reference", _)) => Outcome {
            stdout: reference::page(),
            ..Outcome::default()
        },
        _ => Outcome {
            stdout: format!("{AGENT}, for files of version 3\n"),
            ..Outcome::default()
        },
    }
}

fn command() -> Command {
    let config = || {
        Arg::new("config")
            .short('c')
            .long("config")
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The file, krakend.json of version 3")
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let debug = || flag("debug", "Log more").short('d');
    let lenient = || {
        flag(
            "lenient",
            "Warn about unknown keys that protect nothing, instead of refusing them",
        )
    };
    Command::new("signet-gateway")
        .about("Runs a krakend.json as an API gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("run")
                .about("Serve the file")
                .args([config(), debug(), lenient()])
                .args(signet_config::flags(&settings::TABLE))
                .arg(
                    Arg::new("port")
                        .short('p')
                        .long("port")
                        .value_name("PORT")
                        .value_parser(value_parser!(u16).range(1..))
                        .help("Listen on this port instead of the one in the file"),
                ),
        )
        .subcommand(
            Command::new("check")
                .about("Report every problem of the file, or print what the gateway would do with it")
                .args([config(), debug(), lenient()])
                .args(signet_config::flags(&settings::TABLE))
                .arg(
                    flag(
                        "lint",
                        "Accepted for compatibility with KrakenD; every key is always checked",
                    )
                    .short('l'),
                )
                .arg(
                    flag(
                        "lint-no-network",
                        "Accepted for compatibility with KrakenD; no schema is ever \
                           fetched",
                    )
                    .short('n'),
                )
                .arg(
                    flag(
                        "test-gin-routes",
                        "Also try what the file names on this machine: port, certificates, keys and backends",
                    )
                    .short('t'),
                ),
        )
        .subcommand(Command::new("version").about("Print the version"))
        .subcommand(
            Command::new("reference")
                .hide(true)
                .about("Print the reference of all keys, docs/gateway-reference.md"),
        )
}

/// The file of the command line. Only `run` has a port.
fn plan_file(matches: &ArgMatches, variables: &[(String, String)]) -> Result<PlanFile, Outcome> {
    let sidecar = SidecarSettings::read(variables).map_err(|why| Outcome {
        stderr: format!("signet-gateway: {why}\n"),
        code: 64,
        ..Outcome::default()
    })?;
    Ok(PlanFile {
        path: matches.get_one::<PathBuf>("config").cloned().unwrap_or_default(),
        variables: variables.to_vec(),
        strictness: match matches.get_flag("lenient") {
            true => Strictness::Lenient,
            false => Strictness::Strict,
        },
        port: matches.try_get_one::<u16>("port").ok().flatten().copied(),
        debug: matches.get_flag("debug"),
        sidecar,
    })
}

/// The plan and the settings, or everything that is wrong with either.
fn load(
    file: &PlanFile,
    matches: &ArgMatches,
    variables: &[(String, String)],
) -> Result<(Plan, Settings, Report), Outcome> {
    let (plan, report) = file.compile();
    match (plan, Settings::load(variables, matches)) {
        (Some(plan), Ok(settings)) => Ok((plan, settings, report)),
        (plan, settings) => {
            let name = file.path.display().to_string();
            Err(problems(plan.is_none().then_some(&report), &name, settings.err()))
        }
    }
}

/// What is wrong with the file and with the settings. 64 has precedence, because texts must be corrected first.
fn problems(report: Option<&Report>, file: &str, settings: Option<SettingsError>) -> Outcome {
    let mut outcome = Outcome {
        code: 78,
        ..Outcome::default()
    };
    if let Some(report) = report {
        outcome.stderr = report.to_text(file);
        outcome.code = report.exit_code();
    }
    if let Some(error) = settings {
        let _ = writeln!(outcome.stderr, "{error}");
        outcome.code = outcome.code.min(error.exit_code());
    }
    outcome
}

fn check(matches: &ArgMatches, variables: &[(String, String)]) -> Outcome {
    let file = match plan_file(matches, variables) {
        Ok(file) => file,
        Err(refused) => return refused,
    };
    let (plan, mut report) = file.compile();
    let settings = Settings::load(variables, matches);
    let file = file.path.display().to_string();
    let mut outcome = Outcome::default();
    let plan = match matches.get_flag("test-gin-routes") {
        true => plan.filter(|plan| {
            trial::run(plan, &mut report);
            report.is_good()
        }),
        false => plan,
    };
    for warning in report.warnings() {
        let _ = writeln!(outcome.stderr, "warning: {warning}");
    }
    let (plan, settings) = match (plan, settings) {
        (Some(plan), Ok(settings)) => (plan, settings),
        (plan, settings) => {
            let problems = problems(plan.is_none().then_some(&report), &file, settings.err());
            outcome.stderr.push_str(&problems.stderr);
            outcome.code = problems.code;
            return outcome;
        }
    };
    for endpoint in &plan.endpoints {
        let _ = writeln!(outcome.stdout, "{endpoint}");
    }
    let count = plan.endpoints.len();
    let _ = writeln!(outcome.stdout, "{file} is valid; endpoints on {}: {count}", plan.listen);
    let _ = match settings.admin_listen {
        Some(address) => writeln!(outcome.stdout, "health and metrics on http://{address}/"),
        None => writeln!(outcome.stdout, "there is no admin listener"),
    };
    outcome
}

fn serve(matches: &ArgMatches, variables: &[(String, String)]) -> Outcome {
    let file = match plan_file(matches, variables) {
        Ok(file) => file,
        Err(refused) => return refused,
    };
    // Before it is compiled, so that a change in between is found later.
    let seen = file.digest();
    let (plan, settings, report) = match load(&file, matches, variables) {
        Ok(loaded) => loaded,
        Err(problems) => return problems,
    };
    let name = file.path.display().to_string();
    start_log(plan.log);
    for warning in report.warnings() {
        warn!("{name}: {warning}");
    }
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be created: {error}"))
        .and_then(|runtime| {
            let served = runtime
                .block_on(run::run(file, seen, plan, &settings, &data_dir(variables)))
                .map_err(|error| chain(&error));
            // A thread that reads from a file system that hangs must not delay the end.
            runtime.shutdown_background();
            served
        });
    match served {
        Ok(()) => Outcome::default(),
        Err(why) => Outcome {
            stderr: format!("signet-gateway: {why}\n"),
            code: 78,
            ..Outcome::default()
        },
    }
}

/// The directory in which public keys are stored for the next start. Nothing else is stored there.
fn data_dir(variables: &[(String, String)]) -> PathBuf {
    let variable = |name: &str| {
        let found = variables.iter().find(|(at, _)| at == name);
        found
            .map(|(_, value)| PathBuf::from(value))
            .filter(|path| path.is_absolute())
    };
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    state
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("signet-gateway")
}

/// Starts the log on standard error, as text on a terminal and as JSON elsewhere. Libraries log only warnings.
fn start_log(log: Log) {
    let targets = Targets::new()
        .with_default(log.level.min(Level::WARN))
        .with_target("signet", log.level);
    let as_json = log.as_json.unwrap_or(!std::io::stderr().is_terminal());
    let layer = match as_json {
        true => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
        false => fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    // This fails only if logging was already started.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(arguments: &[&str]) -> Outcome {
        let arguments = ["signet-gateway"].iter().chain(arguments).map(OsString::from);
        run(arguments, &[])
    }

    #[test]
    fn the_command_line_has_krakend_s_letters() {
        command().debug_assert();
        assert_eq!(ran(&["version"]).code, 0);
        assert!(ran(&["version"]).stdout.contains(AGENT));
        assert_eq!(ran(&["run"]).code, 64);
        assert_eq!(ran(&["run", "-c", "a.json", "-p", "0"]).code, 64);
        assert_eq!(ran(&["check", "-l", "-n", "-d", "-c", "/no/such.json"]).code, 78);
        assert_eq!(ran(&["audit"]).code, 64);
    }

    #[test]
    fn check_prints_one_line_for_each_endpoint_and_every_problem() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("krakend.json");
        let path = path.to_str().expect("text");
        let good = r#"{"version":3,"host":["http://a"],"endpoints":[
            {"endpoint":"/x/{id}","backend":[{"url_pattern":"/y/{id}","group":"g"},{"url_pattern":"/z"}]},
            {"endpoint":"/s","output_encoding":"no-op","method":"post","backend":[{"url_pattern":"/"}]}]}"#;
        std::fs::write(path, good).expect("written");
        let outcome = ran(&["check", "-c", path]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        assert_eq!(
            outcome.stdout.lines().next(),
            Some(
                "GET /x/{id} -> merge (GET http://a/y/{0} json [group] + GET http://a/z json) -> json in 2s; headers content-type"
            )
        );
        std::fs::write(path, good.replace("\"host\"", "\"hosst\"").replace("post", "head")).expect("written");
        let outcome = ran(&["check", "-c", path]);
        assert_eq!(outcome.code, 64);
        assert!(
            outcome
                .stderr
                .contains("hosst: no key has this name here; is host meant?"),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("line 3: endpoints[1].method"),
            "{}",
            outcome.stderr
        );
    }
}
