//! The subcommands with their flags. A subcommand accepts only the settings that it uses. Ignoring a
//! flag would mislead its user.
//!
//! Environment variables and the settings file are shared by all subcommands, so a setting there that is
//! not used is not an error.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::app::variables_of;
use crate::settings::{ProviderName, SETTINGS, Setting, TABLE, flags};

/// Settings that every subcommand uses.
const ALL: &[&str] = &["config", "log", "log_format"];
/// Settings that decide the schedule of a ring.
const POLICY: &[&str] = &[
    "algorithm",
    "rotation_period",
    "publish_lead",
    "token_ttl",
    "token_max_ttl",
    "refresh_interval",
    "jwks_max_age",
    "verifier_cache",
    "clock_skew",
    "kubernetes",
];
/// Settings that locate a ring.
const RING: &[&str] = &[
    "data_dir",
    "provider",
    "custody",
    "key",
    "store",
    "local_key_file",
    "issuer",
];

/// The flags of these settings, in the order of the documentation.
fn of(names: &[&[&str]]) -> Vec<Arg> {
    let is_used = |name: &str| ALL.contains(&name) || names.iter().any(|names| names.contains(&name));
    flags()
        .into_iter()
        .filter(|flag| is_used(flag.get_id().as_str()))
        .collect()
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON")
}

fn reason() -> Arg {
    Arg::new("reason")
        .long("reason")
        .value_name("TEXT")
        .help("Reason for the change, written to the audit log")
}

fn token() -> Arg {
    Arg::new("token")
        .value_name("TOKEN")
        .help("Token; read from standard input if absent or -")
}

fn typ(help: &'static str) -> Arg {
    Arg::new("typ").long("typ").value_name("TYPE").help(help)
}

/// The complete command line.
pub(super) fn command() -> Command {
    let verb = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("signet")
        .about("Signs and verifies tokens for an API gateway, and rotates the keys")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(verb("serve", "Run the sidecar").args(flags()).after_help(variables()))
        .subcommand(
            verb(
                "check",
                "Check the settings and every permission that the provider needs",
            )
            .args(flags())
            .arg(json())
            .after_help(variables()),
        )
        .subcommand(keys())
        .subcommand(tokens())
        .subcommand(schedule())
}

/// The help for the environment variables of the providers, which have no flags.
fn variables() -> String {
    let mut text = String::new();
    for provider in ProviderName::ALL {
        let variables = variables_of(*provider);
        if variables.is_empty() {
            continue;
        }
        let separator = if text.is_empty() { "" } else { "\n\n" };
        text.push_str(&format!("{separator}Environment variables of the provider {provider}:"));
        for variable in variables {
            text.push_str(&format!("\n  {}\n          {}", variable.name, variable.help));
        }
    }
    text
}

fn keys() -> Command {
    let verb =
        |name: &'static str, about: &'static str, names: &[&[&str]]| Command::new(name).about(about).args(of(names));
    // One kid in 64 begins with a hyphen. It must not be taken for a flag, least of all when a
    // key must be revoked quickly.
    let kid = Arg::new("kid")
        .value_name("KID")
        .required(true)
        .allow_hyphen_values(true)
        .value_parser(no_flag)
        .help("Key id");
    let changing: &[&[&str]] = &[RING, POLICY, &["rsa_bits", "socket"]];
    Command::new("keys")
        .about("Show or change the ring, directly in the provider")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(verb("list", "List the keys with their phases", &[RING, POLICY, &["socket"]]).arg(json()))
        .subcommand(
            verb(
                "rotate",
                "Create the next key now; it signs after SIGNET_PUBLISH_LEAD",
                changing,
            )
            .args([reason(), json()]),
        )
        .subcommand(
            verb(
                "revoke",
                "Revoke a key: it and all tokens that it signed are refused from now on",
                changing,
            )
            .args([kid, reason(), json()]),
        )
        .subcommand(
            verb(
                "prune",
                "Delete unused keys that a crash left in the provider",
                &[RING, &["socket"]],
            )
            .arg(json()),
        )
}

/// Accepts a kid, which may begin with hyphens, but not the flag of a setting.
fn no_flag(kid: &str) -> Result<String, &'static str> {
    match named_by(kid) {
        None => Ok(kid.to_owned()),
        Some(_) => Err("this is a flag of another command"),
    }
}

/// The setting for this flag, with or without a value.
fn named_by(given: &str) -> Option<&'static Setting> {
    let name = given.split('=').next().unwrap_or_default();
    SETTINGS.iter().find(|setting| setting.flag() == name)
}

fn tokens() -> Command {
    let claims = Arg::new("claims")
        .value_name("JSON")
        .help("Claims, as a JSON object; read from standard input if absent or -");
    let ttl = Arg::new("ttl")
        .long("ttl")
        .value_name("DURATION")
        .help("Lifetime of the token, such as 5m; a plain number counts seconds");
    let issuer = Arg::new("accepted_issuers")
        .long("issuer")
        .value_name("LIST")
        .help("Accept only tokens of these issuers [default: every issuer that the sidecar trusts]");
    let scope = Arg::new("scope")
        .long("scope")
        .value_name("SCOPE")
        .help("Scopes that the token must have");
    Command::new("token")
        .about("Sign, verify and decode tokens, through the local socket")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("sign")
                .about("Sign a token")
                .args(of(&[&["socket"]]))
                .args([
                    claims,
                    ttl,
                    typ("Type for the token's header (typ), such as at+jwt"),
                    json(),
                ]),
        )
        .subcommand(
            Command::new("verify")
                .about("Verify a token; the exit code is 1 if it is refused")
                .args(of(&[&["socket", "audience"]]))
                .args([
                    token(),
                    issuer,
                    scope,
                    typ("Type that the token's header must have (typ)"),
                    json(),
                ]),
        )
        .subcommand(
            Command::new("decode")
                .about("Show the header and claims of a token, without verifying it")
                .args([token(), json()]),
        )
}

fn schedule() -> Command {
    let live = Arg::new("live")
        .long("live")
        .action(ArgAction::SetTrue)
        .help("Read the rings from their providers, and print their timelines and when it is safe to switch provider");
    // Without `--live`, the location of the rings does not matter.
    let of_rings = of(&[RING, &["also_publish", "socket"]])
        .into_iter()
        .filter(|flag| !ALL.contains(&flag.get_id().as_str()))
        .map(|flag| flag.requires("live"));
    Command::new("schedule")
        .about("Print the rotation timeline of these settings")
        .args(of(&[POLICY]))
        .args(of_rings)
        .args([live, json()])
}

/// Explains a flag that is a setting which the subcommand does not use.
pub(super) fn explained(error: &clap::Error) -> Option<String> {
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(given)) => given.as_str(),
        _ => "",
    };
    let (given, verb) = match error.kind() {
        ErrorKind::UnknownArgument => (given(ContextKind::InvalidArg), error.get(ContextKind::Usage)),
        // The flag is in the place of a kid.
        ErrorKind::ValueValidation => (given(ContextKind::InvalidValue), None),
        _ => return None,
    };
    let setting = named_by(given)?;
    let (name, variable) = (setting.flag(), TABLE.variable(setting));
    let verb = verb.map_or_else(|| "signet keys revoke".to_owned(), ToString::to_string);
    let verb = verb.trim_start_matches("Usage:").trim();
    // The text also contains the flags that were given.
    let verb: Vec<&str> = verb
        .split(' ')
        .take_while(|word| !word.starts_with(['[', '<', '-']))
        .collect();
    Some(format!(
        "signet: {name}: `{verb}` does not use this setting. Remove the flag; {variable} may stay in the \
         environment. `--help` lists the flags of this command\n",
        verb = verb.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_name_of_a_setting_here_is_one() {
        for name in ALL.iter().chain(POLICY).chain(RING) {
            assert!(TABLE.named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_verb_refuses_the_settings_that_it_ignores() {
        for (arguments, flag) in [
            (&["token", "sign", "{}"][..], "--listen=127.0.0.1:1"),
            (&["token", "sign", "{}"], "--issuer=https://a.example"),
            (&["token", "verify", "a.b.c"], "--token-ttl=5m"),
            (&["token", "decode", "a.b.c"], "--audience=a"),
            (&["keys", "list"], "--socket-mode=0600"),
            (&["keys", "prune"], "--publish-lead=1h"),
            (&["schedule"], "--listen=127.0.0.1:1"),
        ] {
            let given = [&["signet"], arguments, &[flag]].concat();
            let error = command().try_get_matches_from(given).expect_err(flag);
            let text = explained(&error).unwrap_or_else(|| panic!("{flag}: {error}"));
            let name = flag.split('=').next().expect("a name");
            assert!(text.starts_with(&format!("signet: {name}: ")), "{text}");
            assert!(text.contains("Remove the flag"), "{text}");
            assert!(
                text.contains(&format!(
                    "`signet {}` does not use this setting",
                    arguments[..arguments.len().min(2)].join(" ")
                )),
                "{text}"
            );
        }
        let given = [
            "signet",
            "token",
            "verify",
            "a.b.c",
            "--scope",
            "read",
            "--listen=127.0.0.1:1",
        ];
        let error = command().try_get_matches_from(given).expect_err("a flag of serve");
        let text = explained(&error).expect("a text");
        assert!(
            text.starts_with("signet: --listen: `signet token verify` does not use this setting."),
            "{text}"
        );
        let typo = command().try_get_matches_from(["signet", "serve", "--publish-leed=1h"]);
        assert_eq!(explained(&typo.expect_err("a typing error")), None);
    }

    #[test]
    fn where_a_ring_is_matters_to_a_schedule_only_if_it_is_read() {
        let given = |arguments: &[&str]| command().try_get_matches_from([&["signet", "schedule"], arguments].concat());
        assert!(given(&["--provider=vault"]).is_err());
        assert!(given(&["--provider=vault", "--live"]).is_ok());
        assert!(given(&["--publish-lead=2h"]).is_ok());
    }
}
