//! The command line, and how it becomes a plan.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use http::Method;

use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::mint::Mint;
use crate::plan::{Expect, Plan, Protocol, Template};
use crate::ready::Trial;
use crate::supply::Supply;
use crate::target::Target;
use crate::tokens::Order;

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("signet-load")
        .about("Measures an HTTP server under load, and what its work costs at least")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run())
        .subcommand(
            Command::new("raw")
                .about("CPU time of the bare cryptographic operations, on one thread")
                .arg(
                    flag("only", "NAME", "Only this operation (repeatable)")
                        .action(ArgAction::Append)
                        .value_parser(crate::raw::OPERATIONS),
                )
                .arg(
                    flag("seconds", "S", "CPU seconds spent on each")
                        .value_parser(value_parser!(f64))
                        .default_value("1"),
                ),
        )
        .subcommand(
            Command::new("tokens")
                .about("Makes distinct tokens through a sidecar's socket and writes bodies for /v1/verify, one a line")
                .arg(path("socket", "The sidecar's socket").required(true))
                .arg(
                    flag("count", "N", "How many")
                        .value_parser(value_parser!(usize))
                        .required(true),
                )
                .arg(flag("audience", "AUD", "Audience of the tokens and of the bodies").required(true))
                .arg(
                    flag("ttl", "S", "Life of a token in seconds")
                        .value_parser(value_parser!(u64))
                        .default_value("3600"),
                )
                .arg(path("out", "File to write").required(true)),
        )
        .subcommand(
            Command::new("mint")
                .about("Makes tokens with a key of its own, one value of Authorization a line, and the JWKS for them")
                .arg(
                    flag("algorithm", "ALG", "ES256 or RS256")
                        .value_parser(crate::mint::ALGORITHMS)
                        .default_value("ES256"),
                )
                .arg(
                    flag("count", "N", "How many")
                        .value_parser(value_parser!(usize))
                        .required(true),
                )
                .arg(flag("issuer", "ISS", "Issuer of the tokens").required(true))
                .arg(flag("audience", "AUD", "Audience of the tokens").required(true))
                .arg(path("out", "File for the tokens").required(true))
                .arg(path("jwks", "File for the JWKS").required(true)),
        )
        .subcommand(
            Command::new("crowd")
                .about("Sends many clients, each over a new connection from another address, and prints the server's memory")
                .arg(flag("url", "URL", "http://ADDRESS:PORT/path").required(true))
                .arg(
                    flag("clients", "N", "How many")
                        .value_parser(value_parser!(u64))
                        .default_value("1000000"),
                )
                .arg(
                    flag("seconds", "S", "Stop after this time, however many clients there were")
                        .value_parser(value_parser!(f64))
                        .default_value("60"),
                )
                .arg(path("authorizations", "One value of Authorization a line, over and over").required(true))
                .arg(
                    flag("pid", "PID", "Process whose memory is measured")
                        .value_parser(value_parser!(u32))
                        .required(true),
                ),
        )
        .subcommand(
            Command::new("ready")
                .about("Time from the start of a process until its health address answers 200")
                .arg(flag("url", "URL", "http://ADDRESS:PORT/path").required(true))
                .arg(
                    flag("times", "N", "Number of starts")
                        .value_parser(value_parser!(usize))
                        .default_value("20"),
                )
                .arg(
                    Arg::new("command")
                        .help("What to start, after --")
                        .num_args(1..)
                        .last(true)
                        .required(true),
                ),
        )
}

fn run() -> Command {
    Command::new("run")
        .about("Sends one kind of request for a fixed time and prints throughput, latency and the server's CPU time")
        .arg(
            Arg::new("url")
                .value_name("URL")
                .help("http://host:port/path")
                .required(true),
        )
        .arg(path("socket", "Connect to this Unix socket; the URL is only sent"))
        .arg(
            flag("protocol", "P", "h1 (keep-alive) or h2 (in clear, prior knowledge)")
                .value_parser(["h1", "h2"])
                .default_value("h1"),
        )
        .arg(
            flag("connections", "N", "Connections")
                .value_parser(value_parser!(usize))
                .default_value("16"),
        )
        .arg(
            flag("streams", "M", "Requests in flight on each connection (h2)")
                .value_parser(value_parser!(usize))
                .default_value("1"),
        )
        .arg(
            flag("warmup", "S", "Seconds before the window")
                .value_parser(value_parser!(f64))
                .default_value("1"),
        )
        .arg(
            flag("duration", "S", "Seconds of the measured window")
                .value_parser(value_parser!(f64))
                .default_value("10"),
        )
        .arg(flag("method", "M", "GET or POST; POST when there is a body").value_parser(["GET", "POST"]))
        .arg(flag("header", "LINE", "Name: value (repeatable)").action(ArgAction::Append))
        .arg(path("body", "The file is the body of every request"))
        .arg(path(
            "bodies",
            "One body a line, each used once; the run fails when they are used up",
        ))
        .arg(path("rounds", "One body a line, over and over"))
        .arg(path(
            "authorizations",
            "One value of Authorization a line, each used once; the run fails when they are used up",
        ))
        .arg(path(
            "authorization-rounds",
            "One value of Authorization a line, over and over",
        ))
        .group(ArgGroup::new("tokens").args(["authorizations", "authorization-rounds"]))
        .group(ArgGroup::new("supply").args(["body", "bodies", "rounds"]))
        .arg(
            flag("status", "CODE", "Status that every answer must have")
                .value_parser(value_parser!(u16))
                .default_value("200"),
        )
        .arg(flag("expect", "TEXT", "Text that every answer's body must hold"))
        .arg(
            flag("expect-times", "N", "How many times it must stand there")
                .value_parser(value_parser!(usize))
                .default_value("1"),
        )
        .arg(
            flag(
                "rate",
                "R",
                "At most R requests a second from each client, instead of as many as possible",
            )
            .value_parser(value_parser!(f64)),
        )
        .arg(
            flag("units", "N", "Units of work in one request")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("1"),
        )
        .arg(
            flag(
                "pid",
                "PID",
                "Process whose CPU time and memory are measured (repeatable: summed)",
            )
            .action(ArgAction::Append)
            .value_parser(value_parser!(u32)),
        )
}

fn flag(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn path(name: &'static str, help: &'static str) -> Arg {
    flag(name, "PATH", help).value_parser(value_parser!(PathBuf))
}

/// The plan of `signet-load run`. Reads the files that the arguments name.
pub(crate) fn plan(matches: &ArgMatches) -> Result<Plan, LoadError> {
    let target = Target::parse(&required::<String>(matches, "url")?, optional(matches, "socket"))?;
    let protocol = if required::<String>(matches, "protocol")? == "h2" {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    let streams = required::<usize>(matches, "streams")?;
    if protocol == Protocol::Http1 && streams != 1 {
        return Err(LoadError::Usage(
            "--streams: an HTTP/1.1 connection carries one request at a time".to_owned(),
        ));
    }
    let (supply, has_body) = supply(matches)?;
    let method = match optional::<String>(matches, "method").as_deref() {
        Some("POST") => Method::POST,
        None if has_body => Method::POST,
        _ => Method::GET,
    };
    let headers: Vec<String> = several(matches, "header");
    let template = Template::new(method, &target, protocol, &headers)?;
    let times = required::<usize>(matches, "expect-times")?;
    Ok(Plan {
        template,
        target,
        protocol,
        connections: at_least_one(matches, "connections")?,
        streams: at_least_one(matches, "streams")?,
        warmup: seconds(matches, "warmup")?,
        window: seconds(matches, "duration")?,
        supply,
        authorizations: authorizations(matches)?,
        expect: Expect {
            status: required(matches, "status")?,
            text: optional(matches, "expect").map(|text| (text, times)),
        },
        pace: pace(matches)?,
        pids: several(matches, "pid"),
        units: required(matches, "units")?,
    })
}

/// The operations and the duration of `signet-load raw`.
pub(crate) fn raw(matches: &ArgMatches) -> Result<(Vec<String>, f64), LoadError> {
    Ok((several(matches, "only"), seconds(matches, "seconds")?.as_secs_f64()))
}

/// The order of `signet-load tokens`.
pub(crate) fn order(matches: &ArgMatches) -> Result<Order, LoadError> {
    Ok(Order {
        socket: required(matches, "socket")?,
        count: required(matches, "count")?,
        audience: required(matches, "audience")?,
        ttl: required(matches, "ttl")?,
        out: required(matches, "out")?,
    })
}

/// The order of `signet-load mint`.
pub(crate) fn mint(matches: &ArgMatches) -> Result<Mint, LoadError> {
    Ok(Mint {
        algorithm: required(matches, "algorithm")?,
        count: at_least_one(matches, "count")?,
        issuer: required(matches, "issuer")?,
        audience: required(matches, "audience")?,
        out: required(matches, "out")?,
        jwks: required(matches, "jwks")?,
    })
}

/// The clients of `signet-load crowd`.
pub(crate) fn crowd(matches: &ArgMatches) -> Result<Crowd, LoadError> {
    Ok(Crowd {
        url: required(matches, "url")?,
        clients: required(matches, "clients")?,
        limit: seconds(matches, "seconds")?,
        tokens: required(matches, "authorizations")?,
        pid: required(matches, "pid")?,
    })
}

/// The trial of `signet-load ready`.
pub(crate) fn trial(matches: &ArgMatches) -> Result<Trial, LoadError> {
    Ok(Trial {
        url: required(matches, "url")?,
        times: at_least_one(matches, "times")?,
        command: several(matches, "command"),
    })
}

fn supply(matches: &ArgMatches) -> Result<(Supply, bool), LoadError> {
    if let Some(path) = optional::<PathBuf>(matches, "body") {
        return Ok((Supply::same(&path)?, true));
    }
    if let Some(path) = optional::<PathBuf>(matches, "bodies") {
        return Ok((Supply::distinct(&path)?, true));
    }
    if let Some(path) = optional::<PathBuf>(matches, "rounds") {
        return Ok((Supply::rounds(&path)?, true));
    }
    Ok((Supply::empty(), false))
}

fn authorizations(matches: &ArgMatches) -> Result<Option<Supply>, LoadError> {
    if let Some(path) = optional::<PathBuf>(matches, "authorizations") {
        return Supply::distinct(&path).map(Some);
    }
    optional::<PathBuf>(matches, "authorization-rounds")
        .map(|path| Supply::rounds(&path))
        .transpose()
}

fn pace(matches: &ArgMatches) -> Result<Option<Duration>, LoadError> {
    let Some(rate) = optional::<f64>(matches, "rate") else {
        return Ok(None);
    };
    let pace = Duration::try_from_secs_f64(1.0 / rate);
    pace.map(Some)
        .map_err(|_| LoadError::Usage("--rate: write a number above zero".to_owned()))
}

fn seconds(matches: &ArgMatches, name: &str) -> Result<Duration, LoadError> {
    let text = || LoadError::Usage(format!("--{name}: write a number of seconds"));
    Duration::try_from_secs_f64(required(matches, name)?).map_err(|_| text())
}

fn at_least_one(matches: &ArgMatches, name: &str) -> Result<usize, LoadError> {
    let number = required::<usize>(matches, name)?;
    if number == 0 {
        Err(LoadError::Usage(format!("--{name}: at least 1")))
    } else {
        Ok(number)
    }
}

fn optional<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Option<T> {
    matches.get_one::<T>(name).cloned()
}

fn several<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many::<T>(name).into_iter().flatten().cloned().collect()
}

fn required<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Result<T, LoadError> {
    optional(matches, name).ok_or_else(|| LoadError::Usage(format!("--{name} is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Plan, LoadError> {
        let matches = command()
            .try_get_matches_from(line.split(' '))
            .expect("the words are known");
        plan(matches.subcommand_matches("run").expect("run"))
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn defaults_are_sixteen_connections_of_http1() {
        let plan = parsed("signet-load run http://127.0.0.1:1/").expect("a plan");
        assert_eq!(
            (plan.protocol, plan.connections, plan.streams),
            (Protocol::Http1, 16, 1)
        );
        assert_eq!(
            (plan.warmup, plan.window),
            (Duration::from_secs(1), Duration::from_secs(10))
        );
        assert_eq!(plan.expect.status, 200);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for line in [
            "run http://127.0.0.1:1/ --streams 2",
            "run http://127.0.0.1:1/ --connections 0",
            "run http://127.0.0.1:1/ --duration=-1",
            "run http://127.0.0.1:1/ --rate 0",
            "run http://127.0.0.1:1/ --body /nonexistent/body",
            "run https://127.0.0.1:1/",
        ] {
            assert!(parsed(&format!("signet-load {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn one_supply_excludes_another() {
        let line = "signet-load run http://127.0.0.1:1/ --body a --bodies b";
        assert!(command().try_get_matches_from(line.split(' ')).is_err());
    }
}
