//! A hundred starts, each killed at a random moment of its first two seconds. No provider has more than two keys
//! afterwards, or any object that no ring owns.

use std::time::Duration;

use crate::harness::seed::Random;
use crate::harness::{Home, Spec, kids, say};
use crate::servers::{Aws, Azure, Gcp, Openbao, Place};

const STARTS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(2);
const MOST_KEYS: usize = 2;

/// Kills the starts, and then lets one live.
fn crash(name: &str, at: &Place) {
    let home = Home::new();
    let spec = at.configure(&Spec::new(&home), None);
    let mut random = Random::seeded(name);
    let most = u64::try_from(WITHIN.as_millis()).expect("fits");
    for start in 0..STARTS {
        let mut sidecar = spec.spawn();
        // A third of the kills hit the time in which the first key is created.
        let most = if start % 3 == 0 { most / 10 } else { most };
        std::thread::sleep(Duration::from_millis(random.below(most)));
        sidecar.kill();
    }
    let sidecar = spec.start();
    let signed = sidecar.sign_for("the survivor");
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    let keys = kids(&sidecar.ring()).len();
    let pruned = spec.run(&["keys", "prune"]);
    assert_eq!(pruned.code, 0, "{}", pruned.stderr);
    say(format!(
        "{name}: {STARTS} starts killed, {keys} keys in the ring; prune: {}",
        pruned.stdout.trim()
    ));
    assert!(keys <= MOST_KEYS, "{name}: {keys} keys in the ring");
}

#[test]
fn after_a_hundred_starts_that_were_killed_no_provider_has_more_than_two_keys() {
    let (bao, aws, azure, gcp) = (Openbao::start(), Aws::start(), Azure::start(), Gcp::start());
    let places = [
        ("vault", bao.remote("crash")),
        ("aws-kms", aws.remote("crash")),
        ("azure-key-vault", azure.remote("crash")),
        ("gcp-kms", gcp.remote("crash")),
    ];
    std::thread::scope(|scope| {
        for (name, place) in &places {
            scope.spawn(move || crash(name, place));
        }
    });
    // A KMS key costs money until it is deleted, even if it is not in the ring.
    let left = aws.keys_left();
    assert!(left <= MOST_KEYS, "{left} KMS keys are left that are not being deleted");
}
