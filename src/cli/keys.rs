//! `signet keys`: talks to the provider directly, so it works without a running sidecar.
//!
//! Changes of the ring are logged as audit events, before and after: who, when, what and why.

mod audit;
mod revoke;

use std::sync::Arc;

use clap::ArgMatches;
use serde_json::json;
use signet_api::{ErrorKind, KeyProvider, NewKey};
use signet_base::{Clock, SystemClock, rfc3339};
use signet_clock_watch::ClockWatch;
use signet_core::schedule::{Due, Reason};
use signet_core::{KeyRecord, Kid, Phase, Schedule, Timestamp, schedule};

use crate::app;
use crate::cli::neighbour::Neighbour;
use crate::cli::{Failure, is_json, sidecar, table, to_json, waits};
use crate::error_kinds::exit_code;
use crate::keeper::watch_clock;
use crate::ring_view::RingView;
use crate::settings::Settings;

use audit::Act;

pub(super) async fn keys(settings: &Settings, verb: &str, args: &ArgMatches) -> Result<String, Failure> {
    let json = is_json(args);
    let reason = || args.get_one::<String>("reason").map_or("", String::as_str);
    let target = CommandTarget {
        settings,
        neighbour: Neighbour::ask(settings).await,
        is_untouched: app::is_untouched(settings, &settings.origin).await,
    };
    // There is no ring yet at the configured place, so a command that changes a ring has nothing to do.
    let is_idle = target.is_untouched && target.agrees(&[]).is_ok();
    match verb {
        "list" => list(&target, json).await,
        "rotate" => rotate(&target, reason(), json).await,
        "revoke" => {
            let kid = args.get_one::<String>("kid").map_or("", String::as_str);
            match is_idle {
                true => Err(target.has_no_ring(kid)),
                false => revoke::revoke(&target, &Kid::new(kid), reason(), json).await,
            }
        }
        _ if is_idle => Ok(prune_answer(&[], json)),
        _ => prune(&target, json).await,
    }
}

/// Where the command reads the ring, and the sidecar on this machine that serves one.
struct CommandTarget<'a> {
    settings: &'a Settings,
    neighbour: Option<Neighbour<'a>>,
    /// Whether there was never a ring in this place.
    is_untouched: bool,
}

impl CommandTarget<'_> {
    /// Refuses a ring other than the one that the sidecar on this machine serves.
    fn agrees(&self, records: &[KeyRecord]) -> Result<(), Failure> {
        self.neighbour
            .as_ref()
            .map_or(Ok(()), |neighbour| neighbour.agrees(records))
    }

    fn has_no_ring(&self, kid: &str) -> Failure {
        Failure {
            text: format!(
                "key {kid} does not exist: {} has no ring yet",
                self.settings.data_dir.display()
            ),
            answer: String::new(),
            code: exit_code(ErrorKind::NotFound),
        }
    }
}

/// `EX_CONFIG` of sysexits(3): the environment of the command is wrong.
const CLOCK_IN_DOUBT: u8 = 78;

struct OpenRing<'a> {
    provider: Arc<dyn KeyProvider>,
    target: &'a CommandTarget<'a>,
    settings: &'a Settings,
    clock: Arc<dyn Clock>,
    clock_watch: Arc<ClockWatch>,
}

impl<'a> OpenRing<'a> {
    async fn open(target: &'a CommandTarget<'a>, json: bool) -> Result<Self, Failure> {
        if target.is_untouched {
            // Opening creates the key file of a ring, so check first.
            target.agrees(&[])?;
        }
        let (settings, clock): (_, Arc<dyn Clock>) = (target.settings, Arc::new(SystemClock));
        let clock_watch = watch_clock(Arc::clone(&clock), &settings.policy);
        let provider = app::open_guarded(settings, &settings.origin, Arc::clone(&clock), Arc::default()).await?;
        Ok(Self {
            provider: waits::report_slow_calls(provider, json),
            target,
            settings,
            clock,
            clock_watch,
        })
    }

    /// Refuses to create a key while the sidecar on this machine, or the provider's answers, contradict the wall clock.
    /// If the signing key was revoked or disabled, the next key is created all the same.
    async fn believes_the_clock(&self, schedule: &Schedule) -> Result<(), Failure> {
        let replaces =
            |due: &Due| matches!(due, Due::Successor { reason, .. } if reason.is_urgent() && *reason != Reason::Empty);
        if schedule.due.iter().any(replaces) {
            return Ok(());
        }
        let own = self
            .clock_watch
            .doubt()
            .map(|doubt| format!("{doubt}. {}", doubt.advice()));
        let theirs = sidecar::clock_doubt(self.settings).await.map(|doubt| {
            let socket = self.settings.socket.path.display();
            format!("the sidecar on {socket} reports: {doubt}")
        });
        match theirs.or(own) {
            None => Ok(()),
            Some(doubt) => Err(Failure {
                text: format!("no key was created, because the clock of this machine may be wrong: {doubt}"),
                answer: String::new(),
                code: CLOCK_IN_DOUBT,
            }),
        }
    }

    /// Reads the ring only for this check, and only if a sidecar on this machine could disagree.
    async fn agrees(&self, to_revoke: Option<&Kid>) -> Result<(), Failure> {
        let Some(neighbour) = &self.target.neighbour else {
            return Ok(());
        };
        let records = self.provider.list().await?;
        match to_revoke {
            Some(kid) => neighbour.agrees_to_revoke(&records, kid),
            None => neighbour.agrees(&records),
        }
    }

    async fn read(&self) -> Result<(Vec<KeyRecord>, Schedule), Failure> {
        let records = self.provider.list().await?;
        let schedule = schedule(&records, &self.settings.policy, self.clock.now());
        Ok((records, schedule))
    }

    async fn create_next(&self, schedule: &Schedule) -> Result<KeyRecord, Failure> {
        let newest = schedule.keys.last().map(|key| key.kid.clone());
        let new = NewKey::under(&self.settings.policy, self.settings.rsa_bits, newest);
        Ok(self.provider.create(&new).await?)
    }

    /// Creates the next key, unless one is pending.
    async fn create_early(&self) -> Result<KeyRecord, Failure> {
        let (records, schedule) = self.read().await?;
        self.target.agrees(&records)?;
        if let Some(future) = &schedule.from_the_future {
            return Err(Failure::usage(format!(
                "the newest key, {future}, has a creation time in the future: either a clock was ahead when the key \
                 was created, or the clock of this machine is behind. Compare `date -u` with a \
                 correct clock. If this clock is wrong, set it. If it is right, do nothing: the ring \
                 keeps signing, and rotates again when that time has come. To have a new key before \
                 that, run `signet keys revoke {future}`; tokens of that key are then refused"
            )));
        }
        if let Some(pending) = schedule.keys.iter().find(|key| key.phase == Phase::Pending) {
            let at = pending.activates_at.map(rfc3339).unwrap_or_default();
            return Err(Failure::usage(format!(
                "the next key, {}, already exists and signs from {at}; wait until then, or revoke the active key if \
                 it is compromised",
                pending.kid
            )));
        }
        self.believes_the_clock(&schedule).await?;
        self.create_next(&schedule).await
    }
}

async fn list(target: &CommandTarget<'_>, json: bool) -> Result<String, Failure> {
    let (settings, clock): (_, Arc<dyn Clock>) = (target.settings, Arc::new(SystemClock));
    let records = match target.is_untouched {
        true => Vec::new(),
        false => {
            let provider = app::look(settings, &settings.origin, Arc::clone(&clock)).await?;
            waits::report_slow_calls(provider, json).list().await?
        }
    };
    let answer = shown(settings, &records, json, clock.now());
    match target.agrees(&records) {
        Ok(()) => Ok(answer),
        Err(failure) => Err(Failure { answer, ..failure }),
    }
}

/// The keys with their phases.
fn shown(settings: &Settings, records: &[KeyRecord], json: bool, now: Timestamp) -> String {
    let schedule = schedule(records, &settings.policy, now);
    let mut view = RingView::new(&settings.issuer, &settings.policy, records, &schedule);
    view.origin = Some(settings.origin.name());
    if json {
        return to_json(&view);
    }
    let heading = ["PHASE", "KID", "ALG", "CREATED", "SIGNS FROM", "LEAVES THE JWKS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let dash = || "-".to_owned();
    rows.extend(view.keys.into_iter().map(|key| {
        vec![
            key.phase.as_str().to_owned(),
            key.kid,
            key.alg.to_owned(),
            key.created_at,
            key.activates_at.unwrap_or_else(dash),
            key.expires_at.unwrap_or_else(dash),
        ]
    }));
    table(&rows)
}

async fn rotate(target: &CommandTarget<'_>, reason: &str, json: bool) -> Result<String, Failure> {
    let settings = target.settings;
    let act = Act::attempt(settings, "rotate", None, reason);
    let ring = OpenRing::open(target, json)
        .await
        .map_err(|failure| act.failed(failure))?;
    let key = ring.create_early().await.map_err(|failure| act.failed(failure))?;
    act.done(Some(key.kid()));
    let (_, schedule) = ring.read().await?;
    let at = schedule
        .keys
        .iter()
        .find(|scheduled| scheduled.kid == *key.kid())
        .and_then(|key| key.activates_at);
    let at = at.map(rfc3339).unwrap_or_default();
    let signs_now = schedule.active().map(|key| key.kid.as_str());
    let follow = sidecar::notify_and_wait(settings, |ring| sidecar::has_key(ring, key.kid().as_str(), None)).await;
    if json {
        return Ok(to_json(&json!({
            "kid": key.kid().as_str(), "activates_at": at, "signs_now": signs_now, "sidecar": follow,
        })));
    }
    let until_then = signs_now
        .filter(|kid| *kid != key.kid().as_str())
        .map_or_else(String::new, |kid| format!("; until then {kid} signs"));
    Ok(format!(
        "created {}; it is published now and signs from {at}{until_then}\n{}",
        key.kid(),
        follow.text(settings)
    ))
}

async fn prune(target: &CommandTarget<'_>, json: bool) -> Result<String, Failure> {
    let act = Act::attempt(target.settings, "prune", None, "");
    let ring = OpenRing::open(target, json)
        .await
        .map_err(|failure| act.failed(failure))?;
    let agrees = ring.agrees(None).await;
    agrees.map_err(|failure| act.failed(failure))?;
    let pruned = waits::prune(&*ring.provider, json).await;
    let pruned = pruned.map_err(|error| act.failed(error.into()))?;
    for what in &pruned {
        act.did(what);
    }
    act.done(None);
    Ok(prune_answer(&pruned, json))
}

fn prune_answer(pruned: &[String], json: bool) -> String {
    if json {
        return to_json(&json!({ "pruned": pruned }));
    }
    match pruned {
        [] => "nothing to delete\n".to_owned(),
        pruned => pruned.iter().map(|what| format!("deleted {what}\n")).collect(),
    }
}
