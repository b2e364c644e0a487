//! Six replicas start at the same moment with a ring that does not exist yet, in remote custody. All become ready, each
//! accepts the tokens of the others, and few keys are created. Then all six rotate once.

use std::time::Duration;

use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{Home, PATIENCE, Sidecar, Signed, Spec, kids, say};
use crate::servers::{Aws, Azure, Gcp, Openbao, Place};

/// One rotation in 12 s. S is what times in whole seconds need, and R is what Google's quota allows. The lead is 2 s
/// longer than necessary, because a busy machine may be late with a reading.
const POLICY: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "12s"),
    ("SIGNET_PUBLISH_LEAD", "6s"),
    ("SIGNET_REFRESH_INTERVAL", "1s"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "1s"),
    ("SIGNET_CLOCK_SKEW", "1s"),
    ("SIGNET_TOKEN_TTL", "2s"),
    ("SIGNET_TOKEN_MAX_TTL", "2s"),
    // The vendors' quotas do not allow this refresh interval for more replicas.
    ("SIGNET_REPLICAS", "1"),
];
const REPLICAS: usize = 6;
/// R, plus what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_millis(100);
/// How many keys are accepted where nothing in the provider settles the race.
const BORNE: usize = 2;

fn is_accepted(by: &Sidecar, signed: &Signed) -> bool {
    by.verify(&signed.token)["active"] == true
}

/// What the race showed.
struct Seen {
    first: usize,
    rotated: usize,
    /// The longest time until all replicas accepted the first token of each.
    agreed_after: Duration,
}

/// Runs the race. `orphans` returns the number of keys that no ring owns and that are not being deleted.
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
    // These are the keys that the provider lists, because a replica may not have read a pending key yet.
    let keys = || {
        let listed = specs[0].run(&["keys", "list", "--json"]);
        assert_eq!(listed.code, 0, "{name}: {}", listed.stderr);
        kids(&listed.json())
    };
    let first = keys();

    // From here on, all replicas have the ring, and no error is tolerated.
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
            // A duplicate from the start signs before any key of a rotation.
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
        // Wait until the last token of the previous key has expired.
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
    // An alias is unique: a replica that loses the race deletes its key.
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
