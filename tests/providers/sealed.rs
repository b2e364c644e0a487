//! Sealed custody with the real binary and all providers: the private key is in memory, so an outage of the provider
//! has no effect, and the content of the store belongs to one issuer.

use std::time::Duration;

use crate::harness::time::{instant, wait_for};
use crate::harness::{FAST, Home, PATIENCE, Sidecar, Spec, kid_in_phase, kids, say};
use crate::servers::{Aws, Azure, Fails, Gcp, Openbao, Place};
use crate::traffic::Traffic;
use crate::verifier::{Keep, Verifier};

/// The durations of [`FAST`], but without a rotation during the test.
const STILL: &[(&str, &str)] = &[("SIGNET_ROTATION_PERIOD", "1h")];
const OUTAGE: Duration = Duration::from_millis(1200);

/// Two replicas on separate machines, which share only the ring.
fn replicas(at: &Place) -> [Spec; 2] {
    [(); 2].map(|()| at.configure(&Spec::new(&Home::new()).set_all(FAST), None))
}

fn verifier(sidecar: &Sidecar, wait: u64) -> Verifier {
    let address = sidecar.spec().listen();
    Verifier::new(address, Keep::AsTold, Duration::from_millis(wait))
}

/// Checks that a token of one replica is accepted by both, and by a service that knows nothing about Signet.
fn all_accept(running: &[Sidecar; 2]) {
    for signer in running {
        let signed = signer.sign_for("client");
        for sidecar in running {
            assert_eq!(sidecar.verify(&signed.token)["active"], true);
            verifier(sidecar, 1000)
                .verify(&signed.token, &signed.kid)
                .expect("a good token");
        }
    }
}

/// Others may sign by now with a key that this replica has not seen. It says so, and says that everything else works.
fn ring_alone_is_too_old(sidecar: &Sidecar) {
    let readiness = wait_for("readiness to be lost", PATIENCE, || {
        let (status, readiness) = sidecar.readiness();
        (status == 503).then_some(readiness)
    });
    let conditions = readiness["conditions"].as_array().expect("conditions");
    let lost = conditions.iter().filter(|condition| condition["ok"] == false);
    assert_eq!(
        lost.map(|condition| &condition["name"]).collect::<Vec<_>>(),
        ["ring"],
        "{readiness}"
    );
}

/// What the store does while the provider is silent.
enum Store {
    Silent,
    Answers,
}

/// The life of a sealed ring: it is created, the provider becomes silent, the replicas restart, and the keys rotate.
fn lives(name: &str, at: &Place, provider: &[&dyn Fails], store: Store) {
    let specs = replicas(at);
    let running = specs.each_ref().map(|spec| spec.clone().set_all(STILL).start());
    all_accept(&running);
    let ring = running[0].ring();
    assert_eq!(kids(&ring).len(), 1, "one key, no matter who was first: {ring}");
    let first = kid_in_phase(&ring, "active").expect("an active key");

    provider.iter().for_each(|server| server.fail());
    let start = instant();
    let mut signed = 0;
    while start.elapsed() < OUTAGE {
        all_accept(&running);
        assert_eq!(running[1].jwks_kids(), [first.as_str()]);
        signed += 2;
    }
    match store {
        Store::Silent => ring_alone_is_too_old(&running[0]),
        // The ring can be read all the time, because its key is known.
        Store::Answers => wait_for("readiness, which is not lost", PATIENCE, || {
            (running[0].readiness().0 == 200).then_some(())
        }),
    }
    provider.iter().for_each(|server| server.recover());

    let before = running[0].sign_for("from before");
    running.into_iter().for_each(Sidecar::stop);
    let running = specs.each_ref().map(Spec::start);
    let mut verifiers = vec![verifier(&running[0], 0), verifier(&running[1], 300)];
    verifiers[0].verify(&before.token, &before.kid).expect("a good token");
    assert_eq!(before.kid, first, "the key is the same after a restart");
    let both: Vec<&Sidecar> = running.iter().collect();
    let mut traffic = Traffic::resumed(&both, verifiers, vec![before], Vec::new());
    traffic.run_until(PATIENCE, |traffic| traffic.signers.len() == 2);
    let until = instant() + Duration::from_secs(1);
    traffic.run_until(PATIENCE, |_| instant() > until);
    say(format!(
        "{name}, sealed: {signed} tokens signed during an outage; {} tokens checked {} times through a rotation, none refused",
        traffic.tokens, traffic.checks
    ));
    drop(running);

    let stranger = specs[0].clone().set("SIGNET_ISSUER", "https://other.test");
    let refused = stranger.run(&["keys", "list"]);
    assert_eq!(refused.code, 76, "{}{}", refused.stdout, refused.stderr);
    for word in ["https://other.test", crate::harness::ISSUER] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}

#[test]
fn a_ring_sealed_by_vault_in_its_own_store_lives_through_an_outage_and_a_rotation() {
    let bao = Openbao::start();
    lives("vault", &bao.sealed("sealed"), &[bao.outage()], Store::Silent);
}

#[test]
fn a_ring_sealed_by_aws_kms_in_s3_lives_through_an_outage_and_a_rotation() {
    let aws = Aws::start();
    lives("aws-kms", &aws.sealed("sealed"), &[aws.outage()], Store::Silent);
}

#[test]
fn a_ring_sealed_by_google_in_cloud_storage_lives_through_an_outage_and_a_rotation() {
    let gcp = Gcp::start();
    lives("gcp-kms", &gcp.sealed("sealed"), &[gcp.outage()], Store::Silent);
}

#[test]
fn a_ring_sealed_by_azure_in_a_file_lives_through_an_outage_and_a_rotation() {
    let (azure, shared) = (Azure::start(), Home::new());
    std::fs::create_dir(shared.data()).expect("a directory");
    let store = format!("file:{}", shared.ring_file().display());
    let at = azure.sealed("sealed", &store);
    lives("azure-key-vault", &at, &[azure.outage()], Store::Answers);
}

#[test]
fn a_ring_sealed_by_vault_in_s3_lives_through_an_outage_of_both_and_a_rotation() {
    let (bao, aws) = (Openbao::start(), Aws::start());
    let at = bao
        .sealed("mixed")
        .knowing(&aws.remote("unused"))
        .sealing(&aws.bucket("mixed"));
    lives("vault with s3", &at, &[bao.outage(), aws.outage()], Store::Silent);
}

#[test]
fn with_the_provider_silent_the_key_that_waits_signs_at_its_instant_and_no_token_is_refused() {
    let bao = Openbao::start();
    // A ring may be 1.6 s old, so a replica that reads it 0.8 s before an activation starts to sign, whatever happens.
    let policy = [("SIGNET_ROTATION_PERIOD", "6s"), ("SIGNET_PUBLISH_LEAD", "3s")];
    let specs = replicas(&bao.sealed("silent")).map(|spec| spec.set_all(&policy));
    let running = specs.each_ref().map(Spec::start);
    let both: Vec<&Sidecar> = running.iter().collect();
    let verifiers = vec![verifier(&running[0], 0), verifier(&running[1], 300)];
    let mut traffic = Traffic::new(&both, verifiers);
    let waits = |sidecar: &Sidecar| kid_in_phase(&sidecar.ring(), "pending").is_some();
    traffic.run_until(PATIENCE, |_| running.iter().all(waits));
    let start = instant();
    traffic.run_until(PATIENCE, |_| start.elapsed() > Duration::from_millis(2200));
    bao.outage().fail();
    // The outage may last as long as it likes, because the time of the activation is in the ring.
    traffic.run_until(PATIENCE, |traffic| {
        traffic.signers.len() == 2 && start.elapsed() > Duration::from_secs(7)
    });
    let late = traffic.signers[1].first_seen - start;
    bao.outage().recover();
    assert!(
        late < Duration::from_secs(4),
        "activated {late:?} after it was seen to wait"
    );
    wait_for("the ring to be read again", PATIENCE, || {
        let (status, conditions) = running[0].readiness();
        (status == 200 && !conditions.to_string().contains("failing_since")).then_some(())
    });
}

#[test]
fn a_ring_that_was_deleted_in_vault_is_missed_by_every_command_beside_a_sidecar_that_serves_it() {
    let bao = Openbao::start();
    let spec = bao.sealed("deleted").configure(&Spec::new(&Home::new()), None);
    let sidecar = spec.start();
    let kid = sidecar.sign_for("client").kid;
    bao.delete_sealed("deleted");
    for arguments in [
        &["keys", "list"][..],
        &["keys", "rotate"],
        &["keys", "revoke", &kid],
        &["keys", "prune"],
        &["check"],
    ] {
        let ran = spec.run(arguments);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 78, "{arguments:?}: {text}");
        for word in [
            &kid,
            "has no keys",
            "SIGNET_STORE",
            "deleted-ring",
            "nothing was changed",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    assert_eq!(sidecar.sign_for("client").kid, kid, "the sidecar goes on");
}

/// In a shell without the sidecar's variables, the provider is `local` and has a new ring.
#[test]
fn a_command_without_the_settings_of_the_sidecar_beside_makes_no_ring_of_the_default_provider() {
    let bao = Openbao::start();
    let home = Home::new();
    let bare = Spec::new(&home);
    let at = bao.remote("bare");
    let sidecar = at.configure(&bare, None).start();
    for arguments in [&["keys", "rotate"][..], &["keys", "list"], &["check"]] {
        let ran = bare.run(arguments);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 78, "{arguments:?}: {text}");
        assert!(text.contains("SIGNET_PROVIDER is vault there"), "{text}");
    }
    assert!(!home.ring_file().exists());
    // A switch begins with the first key of another ring, which is named explicitly.
    let ran = bare.set("SIGNET_PROVIDER", "local").run(&["keys", "rotate"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    drop(sidecar);
}
