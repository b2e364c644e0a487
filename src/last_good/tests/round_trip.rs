//! What is written can be read back.

use std::fs;

use proptest::prelude::*;
use signet_core::{Kid, Policy, schedule};
use signet_files::cache::FileFault;

use super::*;
use crate::last_good::{LONGEST, MOST_KEYS, Refusal};

#[test]
fn there_is_nothing_before_the_first_write() {
    let directory = temporary();
    assert!(in_directory(directory.path()).read().expect("no error").is_none());
    let missing = in_directory(&directory.path().join("a/b"));
    assert!(missing.read().expect("no error").is_none());
    missing.write(&sample()).expect("the directory is made");
    assert!(missing.read().expect("reads").is_some());
}

#[test]
fn rings_of_every_algorithm_come_back_as_they_were() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let read = file.read().expect("reads").expect("there");
    assert_eq!(facts(&read), facts(&sample()));
    for (read, written) in read.rings[0].records.iter().zip(KEYS.iter()) {
        assert_eq!(read.public.public(), written.public());
    }
}

#[test]
fn what_is_written_next_replaces_all_of_it() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let next = remembered(vec![record(&KEYS[6], 1)]);
    file.write(&next).expect("written");
    assert_eq!(facts(&file.read().expect("reads").expect("there")), facts(&next));
}

#[test]
fn the_text_holds_public_members_only() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let json: Value = serde_json::from_slice(&fs::read(file.path()).expect("the file")).expect("JSON");
    for key in json["rings"][0]["keys"].as_array().expect("keys") {
        for (name, _) in key["public"].as_object().expect("a JWK") {
            let public = ["kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"];
            assert!(public.contains(&name.as_str()), "{name}");
        }
    }
}

#[test]
fn of_too_many_keys_the_newest_are_kept_and_the_schedule_stays() {
    let directory = temporary();
    let file = in_directory(directory.path());
    let day = 24 * 3600 * 1000;
    let ring: Vec<KeyRecord> = (0..MOST_KEYS as i64 + 30)
        .map(|n| record(&make(Algorithm::EdDSA), n * day))
        .collect();
    let mut shuffled = ring.clone();
    shuffled.reverse();
    file.write(&remembered(shuffled)).expect("written");
    let read = file.read().expect("reads").expect("there");
    let kept = &read.rings[0].records;
    let expected: Vec<&Kid> = ring[30..].iter().map(KeyRecord::kid).collect();
    assert_eq!(kept.iter().map(KeyRecord::kid).collect::<Vec<_>>(), expected);

    let policy = Policy::new(Default::default(), Algorithm::EdDSA).expect("the default policy");
    let now = Timestamp::from_millis((MOST_KEYS as i64 + 29) * day + 1000);
    let published = |records: &[KeyRecord]| {
        let schedule = schedule(records, &policy, now);
        schedule
            .keys
            .into_iter()
            .filter(|key| key.phase.is_published())
            .collect::<Vec<_>>()
    };
    assert_eq!(published(kept), published(&ring));
    assert!(!published(kept).is_empty());
}

#[test]
fn the_fullest_rings_of_five_providers_fit() {
    let directory = temporary();
    let file = in_directory(directory.path());
    let mut rings = remembered(Vec::new());
    // The length of a full ring of RSA-4096 keys, estimated from ES512 keys, which are faster to make.
    let key = (0..MOST_KEYS as i64).map(|n| record(&make(Algorithm::ES512), n));
    rings.rings = vec![
        RememberedRing {
            provider: "azure-key-vault".to_owned(),
            records: key.collect(),
            lapses: Lapses::default(),
        };
        5
    ];
    file.write(&rings).expect("written");
    let found = fs::metadata(file.path()).expect("the file").len();
    // A JWK of RSA-4096 has a modulus of 683 characters instead of two coordinates of 88.
    let with_rsa = found + 5 * MOST_KEYS as u64 * (683 - 2 * 88);
    assert!(with_rsa < LONGEST as u64, "{with_rsa}");
}

#[test]
fn what_would_be_refused_when_read_is_not_written() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let mut endless = sample();
    endless.rings[0].records[1].revoked = Some(Revocation {
        at: Timestamp::from_millis(0),
        reason: "a".repeat(LONGEST),
    });
    let error = file.write(&endless).expect_err("too long");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::TooLongToWrite { octets, .. }) if octets > LONGEST),
        "{}",
        told(&file, &error)
    );
    let mut none = sample();
    none.rings.clear();
    let error = file.write(&none).expect_err("no ring");
    assert!(matches!(error.refusal, Refusal::NoRing), "{}", told(&file, &error));
    let error = file
        .write(&remembered(vec![record(&KEYS[6], 1), record(&KEYS[6], 2)]))
        .expect_err("twice");
    assert!(
        matches!(error.refusal, Refusal::KeyTwice { .. }),
        "{}",
        told(&file, &error)
    );
    assert_eq!(
        facts(&file.read().expect("reads").expect("there")),
        facts(&sample()),
        "the last one stays"
    );
}

fn any_record() -> impl Strategy<Value = KeyRecord> {
    let terms = (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(lead, life, retention)| {
        Terms::new(
            Duration::from_millis(lead.into()),
            Duration::from_millis(life.into()),
            Duration::from_millis(retention),
        )
    });
    let revoked = (any::<i64>(), any::<String>()).prop_map(|(at, reason)| Revocation {
        at: Timestamp::from_millis(at),
        reason,
    });
    let predecessor = proptest::option::of(any::<String>().prop_map(Kid::new));
    (
        0..KEYS.len(),
        any::<i64>(),
        any::<u64>(),
        predecessor,
        proptest::option::of(terms),
        any::<bool>(),
        proptest::option::of(revoked),
    )
        .prop_map(|(key, at, sequence, predecessor, terms, enabled, revoked)| KeyRecord {
            public: KEYS[key].clone(),
            created_at: Timestamp::from_millis(at),
            sequence,
            predecessor,
            terms,
            state: if enabled { KeyState::Enabled } else { KeyState::Disabled },
            revoked,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_ring_comes_back_whatever_it_is_told(
        records in proptest::collection::vec(any_record(), 0..6),
        provider in any::<String>(),
        at in any::<i64>(),
        lapses in prop::collection::vec(any::<(i64, Option<i64>)>(), 0..3),
    ) {
        let lapses = lapses.into_iter().map(|(from, to)| Lapse {
            from: Timestamp::from_millis(from),
            to: to.map(Timestamp::from_millis),
        });
        let lapses = Lapses::new(lapses.collect());
        let mut records = records;
        records.sort_by(|a, b| a.kid().cmp(b.kid()));
        records.dedup_by(|a, b| a.kid() == b.kid());
        records.sort_by(KeyRecord::creation_order);
        let rings = Remembered {
            refreshed_at: Timestamp::from_millis(at),
            rings: vec![RememberedRing { provider, records, lapses }],
        };
        let issuer = Issuer::new(ISSUER);
        let text = crate::last_good::document::compose(&rings, &issuer).expect("composed");
        let back = crate::last_good::document::parse(&text, &issuer).expect("parsed");
        prop_assert_eq!(facts(&back), facts(&rings));
    }
}
