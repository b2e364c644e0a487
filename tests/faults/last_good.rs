//! Starts while the ring cannot be read, with a last good ring on disk. It is used for validation and publishing;
//! signing waits for the ring. A file that somebody else could have written is ignored.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, STRANGER, Signed, Spec, say};
use crate::published;

/// A home with a ring that has been served, and a token of its key.
fn former() -> (Spec, Signed) {
    let spec = Spec::new(&Home::new());
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    wait_for("the ring to be remembered", PATIENCE, || {
        file(spec.home()).exists().then_some(())
    });
    sidecar.stop();
    (spec, signed)
}

fn file(home: &Home) -> PathBuf {
    home.data().join("last-good.json")
}

type Fault = fn(&Path);

#[test]
fn a_start_with_a_ring_that_cannot_be_read_serves_the_last_good_one_and_signs_when_it_is_back() {
    let faults: [(&str, Fault); 3] = [
        ("cut short", |ring| fs::write(ring, "{").expect("written")),
        ("emptied", |ring| fs::write(ring, "").expect("written")),
        ("open to everybody", |ring| {
            fs::set_permissions(ring, Permissions::from_mode(0o666)).expect("set");
        }),
    ];
    for (name, fault) in faults {
        let (spec, signed) = former();
        let ring = spec.home().ring_file();
        let good = fs::read(&ring).expect("the ring");
        fault(&ring);
        let sidecar = spec.spawn();
        assert_eq!(published(&spec), [signed.kid.as_str()], "{name}");
        assert_eq!(sidecar.verify(&signed.token)["active"], true, "{name}");
        let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE } });
        let refused = sidecar.post("/v1/sign", &request);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (503, "signing_unavailable"),
            "{name}: {}",
            refused.text()
        );
        assert!(refused.text().contains("since 20"), "{name}: {}", refused.text());
        let (status, readiness) = sidecar.readiness();
        assert_eq!(status, 503, "{name}: {readiness}");
        assert_eq!(sidecar.admin().get("/livez").expect("an answer").status, 200);
        let told = sidecar.logged("the last good ring stays in use");
        assert!(!told.is_empty(), "{name}: {}", sidecar.log_text());

        fs::write(&ring, &good).expect("restored");
        fs::set_permissions(&ring, Permissions::from_mode(0o600)).expect("set");
        wait_for("signing to go on by itself", PATIENCE, || {
            (sidecar.post("/v1/sign", &request).status == 200).then_some(())
        });
        assert_eq!(
            sidecar.sign_for("client").kid,
            signed.kid,
            "{name}: no new ring was made"
        );
        wait_for("readiness", PATIENCE, || {
            (sidecar.try_ready() == Some(200)).then_some(())
        });
    }
}

/// Checks that the start fails as it does without the file, and says why the file was ignored.
fn is_as_good_as_none(name: &str, spec: &Spec, words: &[&str]) {
    let refused = spec.run(&["serve"]);
    assert_eq!(refused.code, 76, "{name}: {}", refused.stderr);
    for word in words.iter().chain(&["last-good.json", "WARN"]) {
        assert!(refused.stderr.contains(word), "{name}, {word}: {}", refused.stderr);
    }
    let _ = fs::remove_file(file(spec.home()));
    let without = spec.run(&["serve"]);
    assert_eq!(without.code, 76, "{name}: {}", without.stderr);
    assert!(!without.stderr.contains("last-good.json"), "{name}: {}", without.stderr);
}

#[test]
fn the_last_good_ring_of_another_issuer_is_refused_with_both_names() {
    let (spec, _) = former();
    fs::write(spec.home().ring_file(), "").expect("written");
    let other = spec.set("SIGNET_ISSUER", "https://other.test");
    is_as_good_as_none(
        "another issuer",
        &other,
        &[
            crate::harness::ISSUER,
            "https://other.test",
            "set another SIGNET_DATA_DIR for one of them; with the provider local",
        ],
    );
}

#[test]
fn a_last_good_ring_that_somebody_else_could_have_put_there_is_refused() {
    let faults: [(&str, Fault, &str); 3] = [
        (
            "writable",
            |file| fs::set_permissions(file, Permissions::from_mode(0o622)).expect("set"),
            "other users may write to it (mode 0622)",
        ),
        (
            "a link",
            |file| {
                let aside = file.with_extension("aside");
                fs::rename(file, &aside).expect("moved");
                symlink(&aside, file).expect("a link");
            },
            "is a symbolic link",
        ),
        (
            "foreign",
            |file| chown(file, Some(STRANGER), None).expect("given away"),
            "belongs to user 65534",
        ),
    ];
    for (name, fault, word) in faults {
        if name == "foreign" && !rustix::process::geteuid().is_root() {
            say("LEFT OUT: only root can give a file to another user; run this test as root");
            continue;
        }
        let (spec, _) = former();
        fs::write(spec.home().ring_file(), "").expect("written");
        fault(&file(spec.home()));
        is_as_good_as_none(name, &spec, &[word, "find out"]);
    }
}
