//! 200 kills at random moments: promise 7 of the design holds, and no key that has signed a token is lost.
//!
//! A new key is made every 80 ms, so something is being written nearly all the time. Half of the kills hit an existing
//! ring, and half hit a first start in an empty directory.
//!
//! Keys stay published a second longer than the tokens that are signed here need. A key gets its creation time before
//! it is written, and its predecessor signs until it is written. With a lead of 20 ms, a disk that is busy for longer
//! than that would therefore make a key expire before its last token.

use signet_harness as harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::http::Connection;
use harness::seed::Random;
use harness::time::{instant, unix_millis, wait_for};
use harness::{AUDIENCE, Home, PATIENCE, Sidecar, Signed, Spec, kid_in_phase, kids, say};
use serde_json::{Value, json};

const KILLS_OF_A_LIVING_RING: u32 = 120;
const KILLS_OF_FIRST_STARTS: u32 = 80;

const FASTEST: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "80ms"),
    ("SIGNET_PUBLISH_LEAD", "20ms"),
    ("SIGNET_REFRESH_INTERVAL", "20ms"),
    ("SIGNET_JWKS_MAX_AGE", "0s"),
    ("SIGNET_VERIFIER_CACHE", "0s"),
    ("SIGNET_CLOCK_SKEW", "0s"),
    ("SIGNET_TOKEN_TTL", "1s"),
    ("SIGNET_TOKEN_MAX_TTL", "2s"),
    ("SIGNET_EXPIRED_KEYS", "destroy"),
];

/// The kids of the tokens signed so far, and when the tokens expire.
type Record = Mutex<BTreeMap<String, i64>>;

/// How long to watch for a file.
const MOMENT: Duration = Duration::from_millis(300);

/// When to kill the process.
#[derive(Clone, Copy)]
enum After {
    Start(Duration),
    FirstToken(Duration),
    /// After this file appeared in the data directory, in the middle of a write or of a first start.
    File(&'static str, Duration),
}

/// Signs as soon as the socket answers, until it stops answering.
fn sign_until_it_dies(spec: &Spec, record: &Record, signed_one: &AtomicBool, killed: &AtomicBool) {
    let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE } }).to_string();
    while !killed.load(Ordering::Relaxed) {
        let Ok(mut open) = Connection::unix(&spec.socket_path()) else {
            std::thread::yield_now();
            continue;
        };
        while let Ok(answer) = open.post("/v1/sign", request.as_bytes()) {
            assert_eq!(answer.status, 200, "{}", answer.text());
            let signed = Signed::from_json(&answer.json());
            record.lock().expect("no panic").insert(signed.kid, signed.exp * 1000);
            signed_one.store(true, Ordering::Relaxed);
        }
    }
}

fn run_and_kill(spec: &Spec, record: &Record, after: After) {
    let (signed_one, killed) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut sidecar = spec.spawn();
    std::thread::scope(|scope| {
        scope.spawn(|| sign_until_it_dies(spec, record, &signed_one, &killed));
        let delay = match after {
            After::Start(delay) => delay,
            After::FirstToken(delay) => {
                wait_for("a token", PATIENCE, || signed_one.load(Ordering::Relaxed).then_some(()));
                delay
            }
            After::File(name, delay) => {
                let (file, start) = (spec.home().data().join(name), instant());
                // A file in memory may appear and disappear unnoticed. The kill then happens at a random moment.
                while !file.exists() && start.elapsed() < MOMENT {
                    std::hint::spin_loop();
                }
                delay
            }
        };
        // This is a sleep on purpose, because the test is about kills at any moment.
        std::thread::sleep(delay);
        sidecar.kill();
        killed.store(true, Ordering::Relaxed);
    });
    assert!(!sidecar.log_text().contains("\"ERROR\""), "{}", sidecar.log_text());
}

/// Reads the ring with a command that changes nothing, and compares it with the tokens that were signed.
fn check_ring(spec: &Spec, record: &Record) -> Value {
    let asked = unix_millis();
    let ran = spec.run(&["keys", "list", "--json"]);
    assert_eq!(ran.code, 0, "the ring does not load: {}", ran.stderr);
    let ring = ran.json();
    let now = unix_millis();
    let published: BTreeSet<&str> = keys(&ring)
        .filter(|key| matches!(key["phase"].as_str(), Some("pending" | "active" | "retiring")))
        .filter_map(|key| key["kid"].as_str())
        .collect();
    let record = record.lock().expect("no panic");
    for (kid, dies_at) in record.iter().filter(|(_, dies_at)| **dies_at > now) {
        assert!(
            published.contains(kid.as_str()),
            "{kid} signed a token that lives for {} ms, and is not published: {ring}",
            dies_at - asked
        );
    }
    assert!(count(&ring, "pending") <= 1, "{ring}");
    ring
}

fn keys(ring: &Value) -> impl Iterator<Item = &Value> {
    ring["keys"].as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn count(ring: &Value, phase: &str) -> usize {
    keys(ring).filter(|key| key["phase"] == phase).count()
}

/// Checks the files in the data directory, and returns those that exist only for a moment.
fn passing_files(home: &Home) -> Vec<String> {
    let Ok(directory) = std::fs::read_dir(home.data()) else {
        return Vec::new();
    };
    let names = directory.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
    names
        .filter(|name| match name.as_str() {
            "ring.json" | "ring.json.lock" | "local.key" | "start.lock" => false,
            "last-good.json" | "last-good.json.lock" => false,
            "ring.json.tmp" | "local.key.new" | "local.key.new.tmp" | "last-good.json.tmp" => true,
            other => panic!("a stray file: {other}"),
        })
        .collect()
}

/// Lets a sidecar run until it has written, and checks which files it left.
fn recovers(spec: &Spec) -> Sidecar {
    let sidecar = spec.start();
    let before = kids(&sidecar.ring());
    wait_for("a rotation", PATIENCE, || {
        (kids(&sidecar.ring()) != before).then_some(())
    });
    sidecar
}

#[test]
fn after_120_kills_of_a_rotating_ring_it_loads_with_every_key_that_signed_and_at_most_one_unused() {
    let mut random = Random::seeded("kills of a living ring");
    // On disk, where a write takes time.
    let home = Home::new();
    let spec = Spec::new(&home).set_all(FASTEST);
    let record = Record::default();
    let (mut unfinished, mut keys_seen) = (0, BTreeSet::new());
    // A first start leaves other temporary files; the next test kills those.
    spec.start().stop();
    let start = instant();
    let mut kills = 0;
    // A write takes less than a millisecond, so it may take more kills to hit one.
    while kills < KILLS_OF_A_LIVING_RING || (unfinished == 0 && kills < 3 * KILLS_OF_A_LIVING_RING) {
        kills += 1;
        let delay = Duration::from_millis(random.below(120));
        let after = match random.below(4) {
            0 => After::Start(delay),
            1 => After::File("ring.json.tmp", delay / 60),
            _ => After::FirstToken(delay),
        };
        run_and_kill(&spec, &record, after);
        let passing = passing_files(&home);
        // One file of the ring, and one of the data that is stored about it.
        assert!(passing.len() <= 2, "{passing:?}");
        unfinished += usize::from(passing.iter().any(|name| name == "ring.json.tmp"));
        keys_seen.extend(kids(&check_ring(&spec, &record)));
    }
    let elapsed = start.elapsed();
    recovers(&spec).stop();
    let ring = check_ring(&spec, &record);
    let signed = record.lock().expect("no panic").len();
    assert!(signed > 30, "{signed} keys signed: the sidecar was hardly ever up");
    assert!(unfinished > 0, "no kill hit a write");
    // At most one key per period was created, however often the sidecar was started.
    let most = elapsed.as_millis() / 80 + 2;
    assert!(
        keys_seen.len() as u128 <= most,
        "{} keys in {elapsed:?}",
        keys_seen.len()
    );
    say(format!(
        "{kills} kills in {elapsed:.1?}: {signed} keys signed a token, none was lost; an unfinished \
         write stood there after {unfinished} kills; at the end {} pending, {} keys in all",
        count(&ring, "pending"),
        kids(&ring).len()
    ));
}

#[test]
fn after_80_kills_of_a_first_start_a_second_one_goes_on_from_what_is_there() {
    let mut random = Random::seeded("kills of first starts");
    let (mut empty, mut unnamed, mut whole) = (0, 0, 0);
    let start = instant();
    for _ in 0..KILLS_OF_FIRST_STARTS {
        let home = if random.below(2) == 0 {
            Home::new()
        } else {
            Home::in_memory()
        };
        let spec = Spec::new(&home).set_all(FASTEST);
        let record = Record::default();
        let delay = Duration::from_micros(random.below(60_000));
        let after = match random.below(6) {
            0 => After::FirstToken(delay),
            1 => After::File("local.key.new", delay / 60),
            2 => After::File("ring.json.tmp", delay / 60),
            3 => After::File("ring.json", delay / 60),
            _ => After::Start(delay),
        };
        run_and_kill(&spec, &record, after);
        match (home.ring_file().exists(), home.data().join("local.key").exists()) {
            (false, false) => empty += 1,
            (true, false) => unnamed += 1,
            (true, true) => whole += 1,
            (false, true) => panic!("the key file has its name, and the ring is not there"),
        }
        let passing = passing_files(&home);
        assert!(passing.len() <= 3, "{passing:?}");
        let before = check_ring(&spec, &record);

        let sidecar = recovers(&spec);
        let ring = sidecar.ring();
        assert!(count(&ring, "active") == 1 && count(&ring, "pending") <= 1, "{ring}");
        if let Some(signer) = kid_in_phase(&before, "active") {
            assert!(kids(&ring).contains(&signer), "its key is lost: {before} {ring}");
        }
        sidecar.stop();
    }
    say(format!(
        "{KILLS_OF_FIRST_STARTS} kills of first starts in {:.1?}: {empty} before there was a ring, {unnamed} before its key \
         file had its name, {whole} after",
        start.elapsed()
    ));
    assert!(
        empty > 0 && whole > 0,
        "the delays miss the start: {empty} {unnamed} {whole}"
    );
}
