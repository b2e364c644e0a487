//! The verdict, and a line of figures.

use std::time::{Duration, Instant};

use crate::emergency::{ALLOWANCE, Planned, Revoked};
use crate::harness::say;
use crate::ledger::{Checker, Entries, Refusal, Signer, Unsigned};
use crate::script::Script;
use crate::{CACHE, LEAD, REFRESH, REPLICAS, ROTATIONS, SKEW, VERIFIERS};

/// How long a replica may wait before it asks the provider for a signature again after repeated failures.
const BREAKER: Duration = Duration::from_secs(5);
/// The maximum resident memory of one replica in KiB, in a debug build.
const MOST_MEMORY: u64 = 100 * 1024;

pub(crate) fn report(script: &Script<'_>, took: Duration) {
    let entries = script.scene.ledger.entries();
    let revoked = script.revoked.as_ref().expect("a key was revoked");
    let planned = script.planned.as_ref().expect("a rotation was planned");
    let of_revoked = refusals(&entries, revoked);
    let is_aside = |refusal: &&Refusal| !refusal.counts && refusal.kid != revoked.kid;
    let aside = entries.refusals.iter().filter(is_aside).count();
    check_revoked(&entries, revoked);
    check_planned(&entries, planned);
    let (excused, others): (Vec<&Unsigned>, Vec<&Unsigned>) = entries
        .unsigned
        .iter()
        .partition(|unsigned| is_excused(script, revoked, unsigned));

    let rotations = entries.signers.len() - 1;
    assert!(rotations >= ROTATIONS, "{rotations}");
    let is_idle = |kid: &&String| !entries.signers.iter().any(|signer| signer.kid == **kid);
    let idle = script.keys.iter().filter(is_idle).count();
    // The last successor signed after the last token, and the one after it may be pending.
    assert!(
        idle <= 3 && script.keys.len() == entries.signers.len() + idle,
        "no key was made in vain: {:?}",
        script.keys
    );
    let memory = script.crew.most_memory;
    assert!(memory < MOST_MEMORY, "{memory} KiB");
    let checks = |who: fn(&Checker) -> bool| -> usize {
        let mine = entries.checks.iter().filter(|(checker, _)| who(checker));
        mine.map(|(_, count)| count).sum()
    };
    let outages: Vec<String> = script
        .outages
        .iter()
        .map(|outage| {
            format!(
                "{:.1?} (ready {:.1?} later)",
                outage.to - outage.from,
                outage.over - outage.to
            )
        })
        .collect();
    say(format!(
        "{} custody: {REPLICAS} replicas, {rotations} rotations in {took:.0?}, replicas killed {} times, OpenBao stopped for \
         {}; {} tokens checked {} times by {VERIFIERS} PyJWT processes ({} fetches, each kept {CACHE:?}) and {} times by \
         replicas: 0 refused but those of the revoked key, {of_revoked} times; {aside} refused by replicas that were not \
         ready, {} checks found a replica down; requests to sign: {} answered 5xx while OpenBao was away or the key \
         revoked, 0 else; {} keys, no orphans; most memory of a replica {} MiB",
        script.bao.custody().name(),
        script.crew.kills,
        outages.join(" and "),
        entries.tokens,
        checks(|checker| matches!(checker, Checker::Verifier(_))),
        entries.fetches.values().sum::<u64>(),
        checks(|checker| matches!(checker, Checker::Replica(_))),
        entries.unanswered,
        excused.len(),
        script.keys.len(),
        memory / 1024,
    ));
    for (what, revoked) in [
        ("its successor waiting", Some(revoked)),
        ("no successor", script.revoked_alone.as_ref()),
    ] {
        let revoked = revoked.expect("it was revoked");
        say(format!(
            "{} custody, the active key revoked, {what}: refused by all {REPLICAS} in {:.0?}, out \
             of every JWKS in {:.0?}, last signed with it {:.0?}, successor signs everywhere in {:.0?} after the mark was in OpenBao; R + S = {:?}",
            script.bao.custody().name(),
            revoked.refused,
            revoked.unpublished,
            revoked.signed,
            revoked.succeeded,
            REFRESH + SKEW,
        ));
    }
    let list = |unsigned: &[&Unsigned]| -> String { unsigned.iter().map(|u| format!("\n{u}")).collect() };
    assert!(
        others.is_empty(),
        "not signed, though nothing was wrong:{}",
        list(&others)
    );
    assert!(entries.undecided.is_empty(), "not checked: {:#?}", entries.undecided);
}

/// The number of refused tokens of the revoked key. No other token may be refused.
fn refusals(entries: &Entries, revoked: &Revoked) -> usize {
    let is_right = |refusal: &&Refusal| refusal.kid == revoked.kid && refusal.at >= revoked.started;
    let wrong: Vec<&Refusal> = entries
        .refusals
        .iter()
        .filter(|refusal| refusal.counts && !is_right(refusal))
        .collect();
    let first: String = wrong.iter().take(10).map(|refusal| format!("\n{refusal}")).collect();
    assert!(
        wrong.is_empty(),
        "{} good tokens were refused; keys in the order in which they signed: {:?}; the first:{first}",
        wrong.len(),
        entries.signers.iter().map(|signer| &signer.kid).collect::<Vec<_>>(),
    );
    entries.refusals.iter().filter(is_right).count()
}

fn signer<'a>(entries: &'a Entries, kid: &str) -> &'a Signer {
    let mut signers = entries.signers.iter();
    signers.find(|signer| signer.kid == kid).expect("it signed")
}

fn check_revoked(entries: &Entries, revoked: &Revoked) {
    let bound = revoked.marked + REFRESH + SKEW + ALLOWANCE;
    let key = signer(entries, &revoked.kid);
    let [verifier, replica] = key.last_good;
    let is_over = |last: Option<Instant>, bound: Instant| last.is_some_and(|last| last <= bound);
    assert!(
        is_over(Some(key.last_asked), bound),
        "it signed again: {key:?} {revoked:?}"
    );
    assert!(is_over(replica, bound), "a replica accepted it: {key:?} {revoked:?}");
    assert!(
        is_over(verifier, bound + CACHE),
        "a verifier accepted it: {key:?} {revoked:?}"
    );
    assert!(signer(entries, &revoked.successor).tokens > 0);
}

fn check_planned(entries: &Entries, planned: &Planned) {
    let first = signer(entries, &planned.kid).first_seen;
    let waited = first.saturating_duration_since(planned.asked);
    assert!(waited >= LEAD, "it signed {waited:?} after it was asked for");
}

/// Whether a request to sign may fail: the provider was unreachable, or had refused a key before the replica
/// knew that it was revoked.
fn is_excused(script: &Script<'_>, revoked: &Revoked, unsigned: &Unsigned) -> bool {
    let within = |from: Instant, to: Instant| unsigned.answered >= from && unsigned.asked <= to;
    let mut outages = script.outages.iter();
    outages.any(|outage| within(outage.from, outage.to.max(outage.over) + BREAKER))
        || within(revoked.started, revoked.marked + REFRESH + SKEW + ALLOWANCE)
}
