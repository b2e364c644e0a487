//! Proves that the simulation can fail: faults in the tested code are switched on one by one,
//! and each must be detected.

use signet_core::faults;

use crate::documents;
use crate::fleet::run;
use crate::plan::{Plan, Size};

/// The names of the faults, as in the code.
const FAULTS: [&str; 16] = [
    "no lead",
    "a lead one second short",
    "a lead by the policy of today",
    "a key counts from when it was first seen",
    "a retention without the clocks",
    "a retention without the life of tokens",
    "a cache outlives its key",
    "a stale ring is ready for ever",
    "a stale ring is judged without caches",
    "keys are unsealed when they sign",
    "the claim is ignored",
    "nobody waits in a race",
    "a successor beside one that waits",
    "expired keys are left",
    "what follows a revoked key waits its lead",
    "a revocation is not shared",
];
/// More than the usual number of seeds, because some faults appear in few.
const SEEDS: u64 = 400;

/// The first seed in which a fault is detected, and the check that detects it.
fn caught(fault: &'static str) -> Option<(u64, &'static str)> {
    faults::switch_on(Some(fault));
    // A fault of a second appears only if there is no slack anywhere else.
    let size = if fault == "a lead one second short" {
        Size::Edge
    } else {
        Size::Usual
    };
    let caught = (0..SEEDS).find_map(|seed| {
        let outcome = run(Plan::drawn(seed, size), false);
        outcome.violation.map(|violation| (seed, violation.check))
    });
    faults::switch_on(None);
    documents::print(format_args!("{fault}: {caught:?}"));
    caught
}

#[test]
fn every_deliberate_fault_is_seen() {
    let (left, right) = FAULTS.split_at(FAULTS.len() / 2);
    let look = |faults: &[&'static str]| faults.iter().map(|fault| (*fault, caught(fault))).collect::<Vec<_>>();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let halves: Vec<_> = [left.to_vec(), right.to_vec()]
            .into_iter()
            .map(|half| scope.spawn(move || look(&half)))
            .collect();
        for half in halves {
            seen.extend(half.join().expect("no panic"));
        }
    });
    let mut table = String::from("| fault | seen by the check | at seed |\n|---|---|---|\n");
    for (fault, caught) in &seen {
        let (check, seed) = caught.map_or(("NOT SEEN", String::new()), |(seed, check)| (check, seed.to_string()));
        table.push_str(&format!("| {fault} | {check} | {seed} |\n"));
    }
    documents::print(&table);
    let missed: Vec<&str> = seen
        .iter()
        .filter(|(_, caught)| caught.is_none())
        .map(|(fault, _)| *fault)
        .collect();
    assert!(missed.is_empty(), "not seen: {missed:?}");
    documents::holds("faults", &table);
}
