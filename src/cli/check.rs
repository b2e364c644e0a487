//! `signet check`: checks the settings, and then every permission one by one: yes, no or unknown.
//!
//! Providers and issuers are checked at the same time. One that does not answer is given up after [`SILENCE`]; the
//! results before that are kept.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use signet_api::{Answer, Check, ErrorKind, Operation, Progress, ProviderError, Trials};
use signet_base::{SystemClock, chain};
use signet_clock_watch::ClockWatch;
use signet_issuers::{NoClient, TrustedIssuer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::app;
use crate::cli::neighbour::Neighbour;
use crate::cli::{Failure, say, table, to_json};
use crate::error_kinds::exit_code;
use crate::keeper::watch_clock;
use crate::settings::{Origin, ProviderName, Settings};
use crate::support::{check_read_quota, check_support};

/// How long a provider or an issuer may be silent. The whole command then takes at most five seconds.
const SILENCE: Duration = Duration::from_secs(4);
/// What fails without the socket of the sidecar on this machine.
const OF_THE_SERVED_RING: &str = "commands that read or change the served ring";
/// How long the command waits before it says that checks are still running.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Report {
    ok: bool,
    settings: serde_json::Value,
    warnings: Vec<String>,
    checks: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    provider: &'static str,
    permission: String,
    /// One of `yes`, `no` and `unknown`.
    answer: &'static str,
    /// The answer as a boolean; `null` means unknown.
    granted: Option<bool>,
    needed_for: &'static str,
    /// What went wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Why this was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_tried: Option<String>,
    /// The policy that grants the permission, if it is missing or was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip)]
    code: Option<u8>,
}

impl Row {
    fn new(provider: &'static str, check: Check) -> Self {
        let word = check.answer.as_str();
        let error = check.answer.error();
        let is_denied = error.is_some_and(|error| error.kind == ErrorKind::PermissionDenied);
        let is_untried = matches!(check.answer, Answer::NotTried(_));
        Self {
            provider,
            permission: check.permission,
            answer: word,
            granted: match check.answer {
                Answer::Yes => Some(true),
                Answer::No(_) => Some(false),
                Answer::Failed(_) | Answer::NotTried(_) => None,
            },
            needed_for: check.needed_for,
            problem: error.map(|error| chain(error)),
            // A policy helps only against a missing permission.
            grant: check.grant.filter(|_| is_denied || is_untried),
            code: error.map(|error| exit_code(error.kind)),
            not_tried: match check.answer {
                Answer::NotTried(why) => Some(why),
                _ => None,
            },
        }
    }
}

pub(super) async fn check(settings: &Settings, json: bool) -> Result<String, Failure> {
    // All checks share one deadline. Making the client of one check delays the other checks, and with separate
    // deadlines would shift theirs.
    let until = Instant::now() + SILENCE;
    let clock_watch = watch_clock(Arc::new(SystemClock), &settings.policy);
    let origins = settings.origins().enumerate().map(|(index, origin)| {
        // The first origin is the one that signs.
        try_origin(settings, origin, index == 0, !json, until)
    });
    let issuers = settings.trusted_issuers.iter().map(|terms| try_issuer(terms, until));
    let (origins, beside, issuers) = tokio::join!(join_all(origins), try_beside(settings, until), join_all(issuers));
    let checks = origins.into_iter().flatten().chain(beside).chain(issuers);
    let checks: Vec<Row> = checks.chain(try_clock(&clock_watch)).collect();
    let worst = checks.iter().find_map(|row| row.code);
    let report = Report {
        ok: worst.is_none(),
        settings: settings.effective_json(),
        warnings: settings.warnings.clone(),
        checks,
    };
    let text = if json {
        to_json(&report)
    } else {
        as_text(settings, &report)
    };
    match worst {
        None => Ok(text),
        Some(code) => Err(Failure {
            text: "at least one check failed".to_owned(),
            answer: text,
            code,
        }),
    }
}

/// Checks the ring of one provider.
async fn try_origin(settings: &Settings, origin: &Origin, signs: bool, speaks: bool, mut until: Instant) -> Vec<Row> {
    let name = origin.provider.as_str();
    let (rows, mut found) = watch::channel(0_u32);
    let speaks = speaks && origin.provider != ProviderName::Local;
    if speaks {
        say(&format!(
            "{name}: checking; a check without an answer ends after {}",
            humantime::format_duration(SILENCE)
        ));
    }
    let mut spoke = Instant::now();
    let mut trials = Trials::watched(move |progress| match progress {
        Progress::Trying(what) if speaks && spoke.elapsed() > QUIET => {
            spoke = Instant::now();
            say(&format!("{name}: checking {what}"));
        }
        Progress::Trying(_) => {}
        Progress::Found(_) => rows.send_modify(|rows| *rows += 1),
    });
    let is_done = {
        let mut work = pin!(try_ring(settings, origin, signs, &mut trials));
        loop {
            tokio::select! {
                biased;
                () = &mut work => break true,
                // Each new row starts the wait again.
                _ = found.changed() => until = Instant::now() + SILENCE,
                () = sleep_until(until) => break false,
            }
        }
    };
    if !is_done {
        let text = format!(
            "no answer for {}: the provider is overloaded, or the network drops packets. Check the provider's status \
             page, then the address in the settings, name resolution, network policies and the proxies \
             of this machine",
            humantime::format_duration(SILENCE)
        );
        trials.on_timeout(ProviderError::new(name, Operation::Check, ErrorKind::TimedOut, text));
    }
    trials
        .into_rows()
        .into_iter()
        .map(|check| Row::new(name, check))
        .collect()
}

async fn try_ring(settings: &Settings, origin: &Origin, signs: bool, trials: &mut Trials) {
    if app::is_untouched(settings, origin).await {
        return app::check_untouched(settings, origin, trials).await;
    }
    // Opening makes no network calls, so success proves nothing yet.
    let provider = match app::look(settings, origin, Arc::new(SystemClock)).await {
        Ok(provider) => provider,
        Err(error) => return trials.not_opened("open the ring", "everything", error),
    };
    let capabilities = provider.capabilities();
    let fitting = match signs {
        true => check_support(settings, &capabilities),
        false => check_read_quota(settings, &capabilities),
    };
    if let Err(error) = fitting {
        let failed = std::future::ready(Err::<(), _>(error));
        trials
            .property(
                "a provider that supports these settings",
                "rotating on schedule",
                failed,
            )
            .await;
    }
    provider.check(trials).await;
}

/// Checks that this machine's clock agrees with the provider's answers. No row if no answer had a time.
fn try_clock(clock_watch: &ClockWatch) -> Option<Row> {
    let provider = clock_watch.heard_of()?;
    let doubt = clock_watch.doubt();
    Some(Row {
        provider,
        permission: "a clock that agrees with the provider's".to_owned(),
        answer: if doubt.is_some() { "no" } else { "yes" },
        granted: Some(doubt.is_none()),
        needed_for: "dating keys and tokens",
        code: doubt.map(|_| exit_code(ErrorKind::KeyUnusable)),
        problem: doubt.map(|doubt| format!("{doubt}. {}", doubt.advice())),
        not_tried: None,
        grant: None,
    })
}

/// Checks that these settings lead to the ring that the sidecar on this machine serves.
///
/// There is no row if no such sidecar runs, or if the ring cannot be read, which has its own row. If the sidecar does
/// not answer the question, the row is unknown.
async fn try_beside(settings: &Settings, until: Instant) -> Option<Row> {
    let origin = &settings.origin;
    let neighbour = match Neighbour::try_to_ask(settings).await {
        Ok(neighbour) => neighbour?,
        Err(why) => {
            return Some(Row {
                provider: origin.provider.as_str(),
                permission: format!("the same ring as the sidecar on {}", settings.socket.path.display()),
                answer: "unknown",
                granted: None,
                needed_for: OF_THE_SERVED_RING,
                code: Some(exit_code(ErrorKind::TimedOut)),
                problem: Some(why),
                not_tried: None,
                grant: None,
            });
        }
    };
    let records = match app::is_untouched(settings, origin).await {
        true => Vec::new(),
        false => {
            let clock = Arc::new(SystemClock);
            let read = async { app::look(settings, origin, clock).await?.list().await };
            timeout_at(until, read).await.ok()?.ok()?
        }
    };
    let failed = neighbour.agrees(&records).err();
    Some(Row {
        provider: origin.provider.as_str(),
        permission: format!("the same ring as the sidecar on {}", neighbour.socket()),
        answer: if failed.is_some() { "no" } else { "yes" },
        granted: Some(failed.is_none()),
        needed_for: OF_THE_SERVED_RING,
        code: failed.as_ref().map(|failure| failure.code),
        problem: failed.map(|failure| failure.text),
        not_tried: None,
        grant: None,
    })
}

async fn try_issuer(terms: &TrustedIssuer, until: Instant) -> Row {
    let failed = match timeout_at(until, signet_issuers::try_once(terms)).await {
        Ok(Ok(_)) => None,
        // `serve` exits with the same code for this reason.
        Ok(Err(error)) if error.is::<NoClient>() => Some((ErrorKind::KeyUnusable, chain(&*error))),
        Ok(Err(error)) => Some((ErrorKind::Unavailable, chain(&*error))),
        Err(_) => {
            let text = format!(
                "no answer for {}; check the address, and that this machine can reach it",
                humantime::format_duration(SILENCE)
            );
            Some((ErrorKind::TimedOut, text))
        }
    };
    let granted = match &failed {
        None => Some(true),
        Some((ErrorKind::KeyUnusable, _)) => Some(false),
        Some(_) => None,
    };
    Row {
        provider: "trusted issuer",
        permission: format!("keys of {}", terms.issuer),
        answer: granted.map_or("unknown", |granted| if granted { "yes" } else { "no" }),
        granted,
        needed_for: "verifying its tokens",
        code: failed.as_ref().map(|(kind, _)| exit_code(*kind)),
        problem: failed.map(|(_, text)| text),
        not_tried: None,
        grant: None,
    }
}

fn as_text(settings: &Settings, report: &Report) -> String {
    let mut rows = vec![
        ["PROVIDER", "PERMISSION", "GRANTED", "NEEDED FOR"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(report.checks.iter().map(|row| {
        let answer = if row.answer == "no" { "NO" } else { row.answer };
        vec![
            row.provider.to_owned(),
            row.permission.clone(),
            answer.to_owned(),
            row.needed_for.to_owned(),
        ]
    }));
    let mut text = settings.effective_table();
    text.push('\n');
    text.push_str(&table(&rows));
    for row in &report.checks {
        if let Some(problem) = &row.problem {
            text.push_str(&format!("\n{}: {problem}\n", row.permission));
        }
        if let Some(why) = &row.not_tried {
            text.push_str(&format!("\n{}: not checked: {why}\n", row.permission));
        }
        if let Some(grant) = &row.grant {
            text.push_str(&format!("To grant it:\n{}\n", grant.trim_end()));
        }
    }
    if report
        .checks
        .iter()
        .any(|row| row.granted.is_none() && row.problem.is_some())
    {
        text.push_str(
            "\nRows with unknown could not be checked. Correct the errors above and run `signet check` again.\n",
        );
    }
    for warning in &report.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text
}
