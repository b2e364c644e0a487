//! What happens to the ring if somebody sets the wall clock: the real keeper in virtual time, and the binary.

mod binary;
mod machine;

use signet_harness as harness;

use std::sync::Arc;
use std::time::Duration;

use signet_api::NewKey;
use signet_base::Clock as _;
use signet_clock_watch::Against;
use signet_core::algorithm::RsaBits;
use signet_core::{KeyState, Revocation};
use signet_sealed::MemoryStore;

use crate::machine::{Clocks, DAY_AND_AN_HOUR, Disk, HOUR, MINUTE, Sidecar, policy, ring};

fn is_enabled(key: &signet_core::KeyRecord) -> bool {
    key.state == KeyState::Enabled && key.revoked.is_none()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_day_ahead_for_five_hours_changes_nothing_in_the_ring() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::default());
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(HOUR).await;
    let first = sidecar.keys().await;
    for off in [DAY_AND_AN_HOUR, -DAY_AND_AN_HOUR, 10 * 365 * DAY_AND_AN_HOUR] {
        clocks.set_off_by(off);
        sidecar.signs_for(5 * HOUR).await;
        let doubt = sidecar.watch.doubt().expect("it is in doubt");
        assert_eq!((doubt.against, doubt.is_ahead), (Against::Running, off > 0));
        assert_eq!(doubt.off, Duration::from_millis(off.unsigned_abs()));
        let keys = sidecar.keys().await;
        assert_eq!(keys.len(), 1, "no key was created");
        assert!(is_enabled(&keys[0]), "and none erased");
        assert!(sidecar.publishes(&first[0]));
        clocks.set_off_by(0);
        sidecar.signs_for(10 * MINUTE).await;
        assert_eq!(sidecar.watch.doubt(), None);
    }
    // It continues as if nothing had happened.
    sidecar.signs_for(9 * HOUR).await;
    let keys = sidecar.keys().await;
    assert_eq!(
        (keys.len(), &sidecar.signer().expect("one signs")),
        (2, &keys[1].kid().to_string())
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_retiring_outlives_a_clock_that_is_set_ahead() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::default());
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    // The second key signs from the 24th hour on. For 63 minutes, tokens of the first key may exist.
    sidecar.signs_for(24 * HOUR + 10 * MINUTE).await;
    let keys = sidecar.keys().await;
    for off in [DAY_AND_AN_HOUR, -DAY_AND_AN_HOUR] {
        clocks.set_off_by(off);
        sidecar.signs_for(10 * MINUTE).await;
        assert!(keys.iter().all(|key| sidecar.publishes(key)), "off by {off}");
        assert_eq!(sidecar.signer().expect("one signs"), keys[1].kid().to_string());
        assert!(sidecar.keys().await.iter().all(is_enabled));
    }
    clocks.set_off_by(0);
    sidecar.signs_for(2 * HOUR).await;
    assert!(!sidecar.publishes(&keys[0]));
    assert!(
        !is_enabled(&sidecar.keys().await[0]),
        "what has surely expired is erased"
    );
}

/// Nothing reveals that the clock is ahead, so the machine creates a key and erases the previous one. When the clock is
/// right again, the ring must still sign.
#[tokio::test(start_paused = true)]
async fn a_ring_that_was_kept_by_a_clock_ahead_signs_when_the_clock_is_right() {
    let store = MemoryStore::default();
    let (right, wrong) = (Clocks::new(), Clocks::new());
    let (other, disk) = (Arc::new(Disk::default()), Arc::new(Disk::default()));
    let fleet = Sidecar::start(&store, &right, &other).await;
    fleet.signs_for(HOUR).await;
    wrong.set_off_by(DAY_AND_AN_HOUR);
    let sidecar = Sidecar::start(&store, &wrong, &disk).await;
    for _ in 0..30 {
        sidecar.signs_for(10 * MINUTE).await;
        fleet.signer().expect("the others sign all the while");
    }
    let keys = fleet.keys().await;
    assert_eq!(keys.len(), 2);
    assert!(
        !is_enabled(&keys[0]) && is_enabled(&keys[1]),
        "it did what its clock said"
    );

    wrong.set_off_by(0);
    sidecar.signs_for(20 * MINUTE).await;
    let again = Sidecar::start(&store, &right, &other).await;
    for replica in [&fleet, &sidecar, &again] {
        replica.signs_for(MINUTE).await;
        assert_eq!(replica.signer().expect("one signs"), keys[1].kid().to_string());
    }
    let told = again.published.latest().from_the_future.clone();
    assert_eq!(told, Some((keys[1].kid().clone(), keys[1].created_at)));
    // Its successor is created at the right time, by a correct clock.
    sidecar.stop();
    again.stop();
    fleet.signs_for(50 * HOUR).await;
    let keys = fleet.keys().await;
    assert_eq!(keys.len(), 3);
    assert_eq!(fleet.signer().expect("one signs"), keys[2].kid().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_future_that_is_revoked_is_followed_by_one_of_today() {
    let store = MemoryStore::default();
    let (right, wrong) = (Clocks::new(), Clocks::new());
    wrong.set_off_by(DAY_AND_AN_HOUR);
    let ahead = ring(&store, &wrong);
    let future = ahead
        .create(&NewKey::under(&policy(), RsaBits::B2048, None))
        .await
        .expect("a key");
    let sidecar = Sidecar::start(&store, &right, &Arc::default()).await;
    assert_eq!(sidecar.signer().expect("one signs"), future.kid().to_string());
    let revocation = Revocation {
        at: right.now(),
        reason: "its clock was ahead".to_owned(),
    };
    sidecar
        .provider
        .revoke(future.kid(), &revocation)
        .await
        .expect("revoked");
    tokio::time::sleep(2 * MINUTE).await;
    let keys = sidecar.keys().await;
    assert_eq!(keys.len(), 2);
    let today = keys.iter().find(|key| is_enabled(key)).expect("a key of today");
    assert!(today.created_at <= right.now(), "it was not made in the future");
    assert_eq!(sidecar.signer().expect("it signs at once"), today.kid().to_string());
    // Each later key is the successor of the one before.
    sidecar.signs_for(30 * HOUR).await;
    let keys = sidecar.keys().await;
    assert_eq!(keys.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_look_at_a_clock_erases_nothing() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::new(Disk::default()));
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(24 * HOUR + 10 * MINUTE).await;
    let keys = sidecar.keys().await;
    sidecar.stop();
    // A machine starts with a clock that is two hours ahead and is corrected ten minutes later.
    clocks.set_off_by(2 * 3600 * 1000);
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(10 * MINUTE).await;
    assert!(is_enabled(&sidecar.keys().await[0]));
    clocks.set_off_by(0);
    sidecar.signs_for(10 * MINUTE).await;
    assert!(sidecar.publishes(&keys[0]));
    assert!(is_enabled(&sidecar.keys().await[0]));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_held_up_is_in_doubt_until_a_provider_says_that_its_clock_is_right() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::default());
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(HOUR).await;
    clocks.hold_up(30 * HOUR);
    sidecar.signs_for(HOUR).await;
    assert_eq!(sidecar.watch.doubt().map(|doubt| doubt.off), Some(30 * HOUR));
    assert_eq!(sidecar.keys().await.len(), 1);
    sidecar.watch.on_provider_time("vault", clocks.now());
    assert_eq!(sidecar.watch.doubt(), None);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(sidecar.keys().await.len(), 2, "the successor was due long ago");
    // From now on, the clock is also compared with the provider's.
    sidecar.watch.on_provider_time("vault", clocks.now().plus(HOUR));
    let doubt = sidecar.watch.doubt().expect("one of the two is wrong");
    assert_eq!(
        (doubt.against, doubt.off, doubt.is_ahead),
        (Against::Provider("vault"), HOUR, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_suspended_reads_its_ring_at_once_and_doubts_nothing() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::default());
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(HOUR).await;
    clocks.suspend(30 * HOUR);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sidecar.watch.doubt(), None);
    let age = clocks.now().since(sidecar.published.latest().refreshed_at);
    assert!(age <= Duration::from_secs(3), "read {age:?} ago");
    sidecar.signer().expect("it signs");
    assert_eq!(sidecar.keys().await.len(), 2, "the successor was due");
}

#[tokio::test(start_paused = true)]
async fn steps_that_clocks_may_be_apart_are_borne_and_forgotten_after_a_period() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::default());
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    let two_minutes = 120 * 1000;
    clocks.set_off_by(two_minutes);
    sidecar.signs_for(HOUR).await;
    assert_eq!(sidecar.watch.doubt(), None);
    clocks.set_off_by(two_minutes + 2000);
    assert!(sidecar.watch.doubt().is_some(), "more than 2S and a second");
    clocks.set_off_by(two_minutes);
    sidecar.signs_for(24 * HOUR).await;
    clocks.set_off_by(2 * two_minutes);
    assert_eq!(sidecar.watch.doubt(), None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_the_last_reading_before_a_restart_is_in_doubt_until_it_has_caught_up() {
    let (store, clocks, disk) = (MemoryStore::default(), Clocks::new(), Arc::new(Disk::default()));
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    sidecar.signs_for(10 * MINUTE).await;
    sidecar.stop();
    clocks.set_off_by(-3600 * 1000);
    let sidecar = Sidecar::start(&store, &clocks, &disk).await;
    let doubt = sidecar.watch.doubt().expect("it is behind");
    assert_eq!((doubt.against, doubt.is_ahead), (Against::LastGood, false));
    sidecar.signs_for(HOUR).await;
    assert_eq!(sidecar.watch.doubt(), None);
}
