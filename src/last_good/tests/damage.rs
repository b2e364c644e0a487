//! Files that a crash or a disk damaged: they are refused or give good keys only, and never cause a panic.

use signet_core::{Algorithm, Issuer};
use signet_files::cache::FileFault;

use super::*;
use crate::last_good::document::{compose, parse};
use crate::last_good::{LastGood, Refusal};

/// A small file with a key of each type, which makes it possible to try every byte.
fn text() -> Vec<u8> {
    let mut remembered = sample();
    let wanted = [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA];
    remembered.rings[0]
        .records
        .retain(|record| wanted.contains(&record.public.algorithm()));
    compose(&remembered, &Issuer::new(ISSUER)).expect("composed")
}

/// Checks that all keys have their own kid and match their algorithm.
fn only_good_keys(remembered: &Remembered) {
    for record in remembered.rings.iter().flat_map(|ring| &ring.records) {
        let public = record.public.public();
        assert_eq!(*record.kid(), public.kid());
        public.for_algorithm(record.public.algorithm()).expect("fits");
    }
}

#[test]
fn a_file_cut_short_at_any_octet_is_refused() {
    let (text, issuer) = (text(), Issuer::new(ISSUER));
    assert!(parse(&text, &issuer).is_ok());
    for length in 0..text.len() {
        let refusal = parse(&text[..length], &issuer).expect_err("cut short");
        assert!(
            matches!(
                refusal,
                Refusal::File(FileFault::NotJson(_)) | Refusal::File(FileFault::NotText(_))
            ),
            "{length} octets: {refusal}"
        );
    }
    // The same with a real file.
    let directory = temporary();
    let file: LastGood = in_directory(directory.path());
    for length in [0, 1, text.len() / 2, text.len() - 1] {
        fs::write(file.path(), &text[..length]).expect("written");
        let error = file.read().expect_err("cut short");
        assert!(told(&file, &error).contains("damaged"));
    }
}

#[test]
fn no_octet_can_be_changed_so_that_a_key_has_another_name_than_its_own() {
    let (text, issuer) = (text(), Issuer::new(ISSUER));
    let good = parse(&text, &issuer).expect("good");
    let kids = |remembered: &Remembered| -> Vec<_> {
        let records = remembered.rings.iter().flat_map(|ring| &ring.records);
        records.map(|record| record.kid().clone()).collect()
    };
    let known = kids(&good);
    let (mut refused, mut read) = (0, 0);
    for at in 0..text.len() {
        for flip in [0x01, 0x02, 0x10, 0x20, 0x80, 0xff] {
            let mut damaged = text.clone();
            damaged[at] ^= flip;
            match parse(&damaged, &issuer) {
                Ok(remembered) => {
                    read += 1;
                    only_good_keys(&remembered);
                    // Moreover, a changed byte never results in a key that was not there before.
                    assert!(
                        kids(&remembered).iter().all(|kid| known.contains(kid)),
                        "octet {at} ^ {flip:#x}"
                    );
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > read, "{refused} refused, {read} read");
}

#[test]
fn no_octet_can_be_lost_or_put_in_so_that_a_key_has_another_name_than_its_own() {
    let (text, issuer) = (text(), Issuer::new(ISSUER));
    for at in 0..text.len() {
        let mut lost = text.clone();
        lost.remove(at);
        let mut more = text.clone();
        more.insert(at, b'0');
        for damaged in [lost, more] {
            if let Ok(remembered) = parse(&damaged, &issuer) {
                only_good_keys(&remembered);
            }
        }
    }
}
