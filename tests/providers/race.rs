//! Six replicas started at the same moment on a ring that is not there yet, in remote custody: all of them become ready,
//! each accepts what the others sign, and few keys come to be. Then one rotation, by all six.

use std::time::Duration;

use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{Home, PATIENCE, Sidecar, Signed, Spec, kids, say};
use crate::servers::{Aws, Azure, Gcp, Openbao, Place};

/// One rotation in 12 s. S is what instants in whole seconds need, and R what the quota of Google bears. The lead is
/// 2 s longer than it must be, since a busy machine may be late with a reading.
const POLICY: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "12s"),
    ("SIGNET_PUBLISH_LEAD", "6s"),
    ("SIGNET_REFRESH_INTERVAL", "1s"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "1s"),
    ("SIGNET_CLOCK_SKEW", "1s"),
    ("SIGNET_TOKEN_TTL", "2s"),
    ("SIGNET_TOKEN_MAX_TTL", "2s"),
    // The vendors' quotas would not bear such a refresh interval of more.
    ("SIGNET_REPLICAS", "1"),
];
const REPLICAS: usize = 6;
/// R, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_millis(100);
/// Where nothing in the provider settles the race, this many keys are borne.
const BORNE: usize = 2;

fn is_accepted(by: &Sidecar, signed: &Signed) -> bool {
    by.verify(&signed.token)["active"] == true
}

/// What was seen.
struct Seen {
    first: usize,
    rotated: usize,
    /// The longest that it took until all accepted what each signed first.
    agreed_after: Duration,
}

/// `orphans`: how many keys there are that no ring owns and nobody is deleting.
fn race(name: &str, at: &Place, orphans: impl Fn() -> usize) -> Seen {
    let specs = [(); REPLICAS].map(|()| at.configure(&Spec::new(&Home::in_memory()).set_all(POLICY), None));
    let mut running = specs.each_ref().map(Spec::spawn);
    running.iter_mut().for_each(Sidecar::wait_until_ready);

    let start = instant();
    for signer in &running {
        let signed = signer.sign_for("the first");
        for other in &running {
            wait_for("the first token to be accepted by each", SOON, || {
                is_accepted(other, &signed).then_some(())
            });
        }
    }
    let agreed_after = start.elapsed();
    // As the provider lists them: a replica may not yet have read a key that waits.
    let keys = || {
        let listed = specs[0].run(&["keys", "list", "--json"]);
        assert_eq!(listed.code, 0, "{name}: {}", listed.stderr);
        kids(&listed.json())
    };
    let first = keys();

    // From here on all have the ring, and nothing is forgiven.
    let (mut signed, mut checks, mut signers): (Vec<Signed>, usize, Vec<String>) = (Vec::new(), 0, Vec::new());
    let start = instant();
    let (mut beat, mut changed_at, mut rotated) = (start, None, Vec::new());
    for turn in 0.. {
        assert!(
            start.elapsed() < 2 * PATIENCE,
            "{name}: no rotation: {}",
            running[0].ring()
        );
        let token = running[turn % REPLICAS].sign_for("client");
        if !signers.contains(&token.kid) {
            signers.push(token.kid.clone());
            // A twin that was made at the start signs before any key of a rotation does.
            if !first.contains(&token.kid) && changed_at.is_none() {
                changed_at = Some(instant());
                // The next rotation is half a period away.
                rotated = keys();
                rotated.retain(|kid| !first.contains(kid));
            }
        }
        signed.push(token);
        signed.retain(Signed::is_alive);
        for token in [signed.first(), signed.last()].into_iter().flatten() {
            for sidecar in &running {
                let accepted = is_accepted(sidecar, token);
                assert!(
                    accepted || !token.is_alive(),
                    "{name}: a good token was refused: {token:?}"
                );
                checks += 1;
            }
        }
        // Until the last token of the former key is dead.
        if changed_at.is_some_and(|at| at.elapsed() > Duration::from_secs(3)) {
            break;
        }
        next_beat(&mut beat, BEAT);
    }
    let (first, rotated) = (first.len(), rotated.len());
    let kids_of = |sidecar: &Sidecar| {
        let mut kids = sidecar.jwks_kids();
        kids.sort_unstable();
        kids
    };
    wait_for("all to publish the same", SOON, || {
        let wanted = kids_of(&running[0]);
        running.iter().all(|sidecar| kids_of(sidecar) == wanted).then_some(())
    });
    wait_for("keys that lost the race to be deleted", PATIENCE, || {
        (orphans() == 0).then_some(())
    });
    say(format!(
        "{name}: {REPLICAS} starts at once made {first} keys, agreed {agreed_after:.1?} after the last was ready; one \
         rotation made {rotated} more; {} keys have signed, {checks} checks, none refused",
        signers.len()
    ));
    running.into_iter().for_each(Sidecar::stop);
    Seen {
        first,
        rotated,
        agreed_after,
    }
}

fn few(seen: &Seen, most: usize) {
    assert!((1..=most).contains(&seen.first), "{} keys at the start", seen.first);
    assert!(
        (1..=most).contains(&seen.rotated),
        "{} keys by one rotation",
        seen.rotated
    );
    assert!(seen.agreed_after < SOON * 3, "{:?}", seen.agreed_after);
}

#[test]
fn six_replicas_that_start_at_once_on_vault_make_few_keys_and_refuse_nothing() {
    let bao = Openbao::start();
    few(&race("vault", &bao.remote("race"), || 0), BORNE);
}

#[test]
fn six_replicas_that_start_at_once_on_aws_kms_make_one_key_and_refuse_nothing() {
    let aws = Aws::start();
    let orphans = || {
        let keys = aws.keys().into_iter();
        keys.filter(|(_, state, _, is_named)| state != "PendingDeletion" && !is_named)
            .count()
    };
    // The name of an alias is unique: who loses deletes its key.
    few(&race("aws-kms", &aws.remote("race"), orphans), 1);
}

#[test]
fn six_replicas_that_start_at_once_on_azure_make_few_keys_and_refuse_nothing() {
    let azure = Azure::start();
    few(&race("azure-key-vault", &azure.remote("race"), || 0), BORNE);
}

#[test]
fn six_replicas_that_start_at_once_on_google_make_few_keys_and_refuse_nothing() {
    let gcp = Gcp::start();
    few(&race("gcp-kms", &gcp.remote("race"), || 0), BORNE);
}
