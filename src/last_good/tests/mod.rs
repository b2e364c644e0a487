//! The file when it is written, read back, damaged and forged.

mod damage;
mod refusals;
mod round_trip;
mod writing;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use signet_core::{
    Algorithm, Issuer, KeyRecord, KeyState, Lapse, Lapses, Revocation, SigningKey, Terms, Timestamp, VerifyingKey,
};
use tempfile::TempDir;

use super::{LastGood, LastGoodError, Remembered, RememberedRing};

const ISSUER: &str = "https://issuer.test";

/// One key of each algorithm. They are made once, because RSA keys take long.
static KEYS: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| Algorithm::ALL.map(make).to_vec());

fn make(algorithm: Algorithm) -> VerifyingKey {
    let key = SigningKey::generate(algorithm, Default::default()).expect("a key");
    key.verifying_key().clone()
}

fn temporary() -> TempDir {
    tempfile::Builder::new()
        .prefix("signet")
        .tempdir()
        .expect("a directory")
}

fn in_directory(directory: &Path) -> LastGood {
    LastGood::new(directory, &Issuer::new(ISSUER))
}

fn record(public: &VerifyingKey, created_at: i64) -> KeyRecord {
    KeyRecord {
        public: public.clone(),
        created_at: Timestamp::from_millis(created_at),
        sequence: 7,
        predecessor: None,
        terms: Some(Terms::new(
            Duration::from_secs(3600),
            Duration::from_secs(3601),
            Duration::from_millis(3_720_001),
        )),
        state: KeyState::Enabled,
        revoked: None,
    }
}

fn remembered(records: Vec<KeyRecord>) -> Remembered {
    Remembered {
        refreshed_at: Timestamp::from_millis(1_790_000_000_000),
        rings: vec![RememberedRing {
            provider: "vault".to_owned(),
            records,
            lapses: Lapses::default(),
        }],
    }
}

/// Two rings with keys of all algorithms. One key is revoked, and one ring could not be read for a while.
fn sample() -> Remembered {
    let mut remembered = remembered((0..).zip(KEYS.iter()).map(|(at, key)| record(key, at)).collect());
    let records = &mut remembered.rings[0].records;
    records[1].predecessor = Some(records[0].kid().clone());
    records[1].revoked = Some(Revocation {
        at: Timestamp::from_millis(5),
        reason: "lost: \"Schlüssel\" 🔑 \u{0}\u{202e}\\ \n".to_owned(),
    });
    records[1].state = KeyState::Disabled;
    records[2].terms = None;
    remembered.rings.push(RememberedRing {
        provider: "local".to_owned(),
        records: vec![record(&KEYS[6], -1)],
        lapses: Lapses::new(vec![Lapse {
            from: Timestamp::from_secs(1_780_000_000),
            to: Some(Timestamp::from_secs(1_780_010_000)),
        }]),
    });
    remembered
}

/// The content of a file, as text to compare.
fn facts(remembered: &Remembered) -> String {
    format!("{remembered:?}")
}

/// Writes the sample file after `change` has changed its JSON.
fn forged(file: &LastGood, change: impl FnOnce(&mut Value)) {
    file.write(&sample()).expect("written");
    let text = fs::read(file.path()).expect("the file");
    let mut json: Value = serde_json::from_slice(&text).expect("JSON");
    change(&mut json);
    fs::write(file.path(), json.to_string()).expect("forged");
}

/// The text of the error with its sources. Checks that it names the path and what to do.
fn told(file: &LastGood, error: &LastGoodError) -> String {
    let text = signet_base::chain(error);
    let directory = file.path().parent().expect("a directory");
    assert!(text.contains(&directory.display().to_string()), "{text}");
    assert!(text.contains(error.refusal.advice()), "{text}");
    text
}
