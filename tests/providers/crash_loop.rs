//! A hundred starts, each killed at a random moment of its first two seconds: no provider is left with more than two
//! keys, and nothing that no ring owns.

use std::time::Duration;

use crate::harness::seed::Random;
use crate::harness::{Home, Spec, kids, say};
use crate::servers::{Aws, Azure, Gcp, Openbao, Place};

const STARTS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(2);
const MOST_KEYS: usize = 2;

/// Kills the starts, and then lets one live. The answer is how many keys the ring has.
fn crash(name: &str, at: &Place) -> usize {
    let home = Home::new();
    let spec = at.configure(&Spec::new(&home), None);
    let mut random = Random::seeded(name);
    let most = u64::try_from(WITHIN.as_millis()).expect("fits");
    for start in 0..STARTS {
        let mut sidecar = spec.spawn();
        // A third of the kills hit the moments in which the first key comes to be.
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
    say(format!("{name}: {STARTS} starts killed, {keys} keys in the ring; prune: {}", pruned.stdout.trim()));
    assert!(keys <= MOST_KEYS, "{name}: {keys} keys in the ring");
    keys
}

#[test]
fn a_crash_loop_on_vault_leaves_two_keys_at_most() {
    let bao = Openbao::start();
    crash("vault", &bao.remote("crash"));
}

#[test]
fn a_crash_loop_on_aws_kms_leaves_two_keys_at_most() {
    let aws = Aws::start();
    let keys = crash("aws-kms", &aws.remote("crash"));
    let left = aws.keys_left();
    assert!(left <= MOST_KEYS.max(keys), "{left} KMS keys are left that are not being deleted");
}

#[test]
fn a_crash_loop_on_azure_key_vault_leaves_two_keys_at_most() {
    let azure = Azure::start();
    crash("azure-key-vault", &azure.remote("crash"));
}

#[test]
fn a_crash_loop_on_gcp_kms_leaves_two_keys_at_most() {
    let gcp = Gcp::start();
    crash("gcp-kms", &gcp.remote("crash"));
}
