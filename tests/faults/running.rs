//! The ring file becomes bad while a sidecar is running. The sidecar continues, says why, and recovers by itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::harness::time::wait_for;
use crate::harness::{FAST, Home, PATIENCE, Sidecar, Spec, kids};

pub(crate) fn condition(readiness: &Value, name: &str) -> Value {
    let conditions = readiness["conditions"].as_array().expect("conditions");
    conditions
        .iter()
        .find(|condition| condition["name"] == name)
        .expect(name)
        .clone()
}

/// Checks everything that the data path promises while the provider is down.
fn serves(sidecar: &Sidecar, earlier: &str, kid: &str) {
    assert_eq!(sidecar.verify(earlier)["active"], true, "validation goes on");
    assert_eq!(sidecar.jwks_kids(), [kid], "the JWKS goes on");
    let fresh = sidecar.sign_for("client");
    assert_eq!(fresh.kid, kid, "signing goes on");
    assert_eq!(sidecar.verify(&fresh.token)["active"], true);
    assert_eq!(
        sidecar.admin().get("/livez").expect("an answer").status,
        200,
        "liveness does not depend on it"
    );
}

/// A reading every 200 ms, and a lead that is safe for 1.6 s without a reading.
fn steady() -> Spec {
    Spec::new(&Home::new())
        .set_all(FAST)
        .set("SIGNET_ROTATION_PERIOD", "1h")
        .set("SIGNET_TOKEN_MAX_TTL", "10m")
        .set("SIGNET_TOKEN_TTL", "10m")
}

type Fault = fn(&Path, &[u8]);

fn truncate(ring: &Path, good: &[u8]) {
    fs::write(ring, &good[..good.len() / 2]).expect("written");
}

fn tamper(ring: &Path, good: &[u8]) {
    let text = std::str::from_utf8(good)
        .expect("JSON")
        .replace("\"enabled\"", "\"disabled\"");
    assert_ne!(text.as_bytes(), good);
    fs::write(ring, text).expect("written");
}

fn put_a_directory(ring: &Path, _: &[u8]) {
    fs::remove_file(ring).expect("removed");
    fs::create_dir(ring).expect("made");
}

fn restore(ring: &Path, good: &[u8]) {
    if ring.is_dir() {
        fs::remove_dir(ring).expect("removed");
    }
    put(ring, good);
}

/// Replaces the file in one step, like a sidecar.
pub(crate) fn put(ring: &Path, content: &[u8]) {
    let next = ring.with_extension("next");
    fs::write(&next, content).expect("written");
    fs::set_permissions(&next, Permissions::from_mode(0o600)).expect("set");
    fs::rename(&next, ring).expect("in its place");
}

#[test]
fn a_ring_file_that_goes_bad_stops_nothing_and_is_taken_up_when_it_is_restored() {
    let faults: [(&str, Fault, &str); 6] = [
        ("truncated", truncate, "Restore it from a backup"),
        ("tampered with", tamper, "treat it as an attack"),
        (
            "emptied",
            |ring, _| fs::write(ring, "").expect("written"),
            "Restore it from a backup",
        ),
        ("removed", |ring, _| fs::remove_file(ring).expect("removed"), "Restore"),
        ("a directory", put_a_directory, "there is a directory instead of a file"),
        (
            "open to everybody",
            |ring, _| fs::set_permissions(ring, Permissions::from_mode(0o666)).expect("set"),
            "mode 0600",
        ),
    ];
    let spec = steady();
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    let ring = spec.home().ring_file();
    let good = fs::read(&ring).expect("the ring");
    for (name, fault, advice) in faults {
        fault(&ring, &good);
        let (_, readiness) = wait_for(name, PATIENCE, || {
            let (status, readiness) = sidecar.readiness();
            condition(&readiness, "ring")["failing_since"]
                .is_string()
                .then_some((status, readiness))
        });
        let detail = condition(&readiness, "ring")["detail"].to_string();
        assert!(detail.contains(advice), "{name}: {detail}");
        serves(&sidecar, &signed.token, &signed.kid);

        // By now another replica could sign with a key that is not in this ring.
        let readiness = wait_for("readiness to be lost", PATIENCE, || {
            let (status, readiness) = sidecar.readiness();
            (status == 503).then_some(readiness)
        });
        assert_eq!(
            (&readiness["ready"], &condition(&readiness, "signing")["ok"]),
            (&false.into(), &true.into())
        );
        assert!(
            condition(&readiness, "ring")["detail"].to_string().contains(advice),
            "{name}: {readiness}"
        );
        serves(&sidecar, &signed.token, &signed.kid);
        let metrics = sidecar.admin().get("/metrics").expect("an answer").text();
        assert!(metrics.contains("signet_refresh_failing 1"), "{name}: {metrics}");

        restore(&ring, &good);
        wait_for("readiness to return", PATIENCE, || {
            (sidecar.readiness().0 == 200).then_some(())
        });
        serves(&sidecar, &signed.token, &signed.kid);
    }
    assert_eq!(sidecar.logged("the provider answers again").len(), 6);
    assert!(sidecar.logged("created a new key").len() == 1, "no ring was made anew");
}

#[test]
fn an_older_ring_is_not_taken_for_the_ring() {
    let spec = steady();
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    let ring = spec.home().ring_file();
    let old = fs::read(&ring).expect("the ring");
    // This is the revocation that a rollback would undo.
    assert_eq!(spec.run(&["keys", "revoke", &signed.kid]).code, 0);
    wait_for("the revocation", PATIENCE, || {
        (sidecar.verify(&signed.token)["active"] == false).then_some(())
    });
    let new = fs::read(&ring).expect("the ring");
    restore(&ring, &old);
    wait_for("the rollback to be noticed", PATIENCE, || {
        let (_, readiness) = sidecar.readiness();
        condition(&readiness, "ring")["detail"]
            .as_str()?
            .contains("was rolled back")
            .then_some(())
    });
    assert_eq!(sidecar.verify(&signed.token)["active"], false, "the key stays revoked");
    assert!(!sidecar.jwks_kids().contains(&signed.kid));
    restore(&ring, &new);
    wait_for("readiness to return", PATIENCE, || {
        let (status, readiness) = sidecar.readiness();
        (status == 200 && condition(&readiness, "ring")["failing_since"].is_null()).then_some(())
    });
}

#[test]
fn a_rotation_that_cannot_be_written_is_made_good_when_it_can() {
    let spec = Spec::new(&Home::new()).set_all(FAST);
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    // A directory in place of the temporary file makes every write fail, even for root.
    let obstacle = spec.home().data().join("ring.json.tmp");
    fs::create_dir(&obstacle).expect("made");
    let detail = wait_for("the rotation to fail", PATIENCE, || {
        let (status, readiness) = sidecar.readiness();
        assert_eq!(
            status, 200,
            "the ring itself is read, and nothing is lost yet: {readiness}"
        );
        let ring = condition(&readiness, "ring");
        ring["failing_since"].is_string().then(|| ring["detail"].to_string())
    });
    assert!(
        detail.contains("create failed") && detail.contains("ring.json.tmp"),
        "{detail}"
    );
    assert!(detail.contains("there is a directory instead of a file"), "{detail}");
    // Later than the time at which the successor would have started to sign.
    wait_for("the period to pass", PATIENCE, || {
        (crate::harness::time::unix_millis() > (signed.exp + 4) * 1000).then_some(())
    });
    let late = sidecar.sign_for("client");
    assert_eq!(
        late.kid, signed.kid,
        "the key goes on signing while it has no successor"
    );
    assert_eq!(sidecar.verify(&late.token)["active"], true);
    assert_eq!(sidecar.jwks_kids(), [signed.kid.as_str()]);
    assert_eq!(sidecar.readiness().0, 200);

    fs::remove_dir(&obstacle).expect("removed");
    let next = wait_for("the rotation", PATIENCE, || {
        let mut kids = kids(&sidecar.ring());
        (kids.len() == 2).then(|| kids.remove(1))
    });
    assert_eq!(
        sidecar.sign_for("client").kid,
        signed.kid,
        "the lead is kept, however late the key came"
    );
    wait_for("the successor to sign", PATIENCE, || {
        (sidecar.sign_for("client").kid == next).then_some(())
    });
    assert_eq!(sidecar.logged("the provider answers again").len(), 1);
}
