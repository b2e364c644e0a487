//! What a start waits for, and what a shutdown leaves on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use signet_api::{ErrorKind, NewKey, Operation};
use signet_core::{Algorithm, Durations, Timestamp};
use signet_sealed::{Context, MemoryStore, Sealed, Sealer};
use signet_testkit::{Fault, FaultyProvider};
use tokio::time::{Instant, advance, sleep, timeout};
use zeroize::Zeroizing;

use super::*;
use crate::last_good::{LastGoodError, Refusal, Remembered};
use crate::snapshot::NoSignerCause;

/// A clock that follows the runtime's paused time.
#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_767_225_600).plus(self.running())
    }

    fn running(&self) -> Duration {
        self.0.elapsed()
    }
}

#[derive(Debug)]
struct Plain;

#[async_trait]
impl Sealer for Plain {
    async fn wrap(&self, plaintext: &[u8], _: &Context) -> Result<Vec<u8>, ProviderError> {
        Ok(plaintext.to_vec())
    }

    async fn unwrap(&self, wrapped: &[u8], _: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }

    async fn check(&self, _: &mut signet_api::Trials) {}
}

/// A disk that stores what is written, or hangs on every write.
#[derive(Debug, Default)]
struct Disk {
    written: Mutex<Option<Remembered>>,
    hangs: bool,
    fails: AtomicBool,
}

#[async_trait]
impl Remembers for Disk {
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError> {
        Ok(self.written.lock().clone())
    }

    async fn remember(&self, rings: Remembered) -> Result<(), LastGoodError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(LastGoodError {
                path: "/var/lib/signet/last-good.json".into(),
                refusal: Refusal::NoRing,
            });
        }
        *self.written.lock() = Some(rings);
        Ok(())
    }
}

fn policy() -> Policy {
    Policy::new(Durations::default(), Algorithm::EdDSA).expect("the defaults are safe")
}

struct Scene {
    clock: Arc<dyn Clock>,
    provider: FaultyProvider,
    disk: Arc<Disk>,
}

impl Scene {
    fn new(disk: Disk) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Paused(Instant::now()));
        let ring = Sealed::new("signet", "memory", Plain, MemoryStore::default(), Arc::clone(&clock));
        Self {
            clock,
            provider: FaultyProvider::new(Arc::new(ring)),
            disk: Arc::new(disk),
        }
    }

    /// A ring with one key that is old enough to need a successor.
    async fn with_a_successor_due() -> Self {
        let scene = Self::new(Disk::default());
        let new = NewKey::under(&policy(), RsaBits::B2048, None);
        scene.provider.create(&new).await.expect("a key");
        advance(Duration::from_secs(23 * 3600 + 60)).await;
        scene
    }

    async fn start(&self) -> Keeper {
        let clock_watch = Arc::new(ClockWatch::new(Arc::clone(&self.clock), tolerance(&policy())));
        let dependencies = Dependencies {
            ring: NamedRing {
                name: "memory sealed signet".to_owned(),
                provider: Arc::new(self.provider.clone()),
            },
            also: Vec::new(),
            clock_watch,
            metrics: Arc::default(),
            jitter: Jitter::seeded(1),
            memory: Some(Arc::clone(&self.disk) as Arc<dyn Remembers>),
        };
        let settings = RingSettings {
            issuer: Issuer::new("https://issuer.example"),
            policy: policy(),
            rsa_bits: RsaBits::B2048,
            expired_keys: None,
        };
        Keeper::start(dependencies, settings).await.expect("a ring")
    }

    /// The number of published keys, and whether one signs.
    fn serves(&self, published: &Published) -> (usize, Result<(), NoSignerCause>) {
        let snapshot = published.at(self.clock.now());
        let signs = snapshot.signer.as_ref().map(|_| ()).map_err(|none| none.cause);
        (snapshot.published.len(), signs)
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_serves_the_ring_that_it_read_while_the_create_of_the_successor_hangs_or_fails() {
    for fault in [
        Fault::Slow(Duration::from_secs(30)),
        Fault::Fails(ErrorKind::Unavailable),
    ] {
        let scene = Scene::with_a_successor_due().await;
        scene.provider.script(Operation::Create, [fault]);
        let started = timeout(Duration::from_secs(1), scene.start()).await;
        let keeper = started.expect("it waits for no successor");
        let published = keeper.published();
        assert_eq!(scene.serves(&published), (1, Ok(())), "{fault:?}");
        tokio::spawn(keeper.run(CancellationToken::new()));
        while scene.serves(&published).0 < 2 {
            assert_eq!(scene.serves(&published), (1, Ok(())), "{fault:?}");
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(scene.serves(&published), (2, Ok(())), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_key_of_a_ring_is_there_before_the_start_is_done() {
    let scene = Scene::new(Disk::default());
    let slow = Duration::from_secs(30);
    scene.provider.script(Operation::Create, [Fault::Slow(slow)]);
    let began = Instant::now();
    let keeper = scene.start().await;
    assert!(began.elapsed() >= slow);
    assert_eq!(scene.serves(&keeper.published()), (1, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_private_key_that_is_long_in_coming_delays_neither_jwks_nor_validation() {
    let scene = Scene::with_a_successor_due().await;
    scene.provider.script(Operation::Unseal, [Fault::Hangs]);
    let keeper = timeout(Duration::from_secs(3), scene.start()).await;
    let keeper = keeper.expect("it does not wait for ever");
    let published = keeper.published();
    assert_eq!(scene.serves(&published), (1, Err(NoSignerCause::Sealed)));
    tokio::spawn(keeper.run(CancellationToken::new()));
    while scene.serves(&published).1.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_turn_publishes_once() {
    let scene = Scene::new(Disk::default());
    let keeper = scene.start().await;
    let (changes, published) = (keeper.shared.follow(), keeper.published());
    let (begun, read) = (*changes.borrow(), scene.provider.calls(Operation::List));
    tokio::spawn(keeper.run(CancellationToken::new()));
    sleep(Duration::from_secs(600)).await;
    let turns = scene.provider.calls(Operation::List) - read;
    assert!(turns >= 10, "{turns} in ten minutes");
    assert_eq!(*changes.borrow() - begun, turns as u64);

    // A turn that ends an outage also publishes that.
    scene
        .provider
        .script(Operation::List, [Fault::Fails(ErrorKind::Unavailable)]);
    while published.latest().refresh_failure.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    let begun = *changes.borrow();
    while published.latest().refresh_failure.is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(*changes.borrow() - begun, 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_stopped_as_soon_as_it_has_started_leaves_its_ring_for_the_next_start() {
    let scene = Scene::new(Disk::default());
    let (keeper, shutdown) = (scene.start().await, CancellationToken::new());
    shutdown.cancel();
    keeper.run(shutdown).await;
    let written = scene.disk.written.lock().take();
    assert_eq!(written.expect("it was written").rings[0].records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_holds_up_no_end() {
    let scene = Scene::new(Disk {
        hangs: true,
        ..Disk::default()
    });
    let (keeper, shutdown) = (scene.start().await, CancellationToken::new());
    shutdown.cancel();
    let ended = timeout(Duration::from_secs(2), keeper.run(shutdown)).await;
    ended.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_the_ring_is_told_of_until_it_takes_it() {
    let scene = Scene::new(Disk::default());
    scene.disk.fails.store(true, Ordering::Relaxed);
    let keeper = scene.start().await;
    let published = keeper.published();
    let began = scene.clock.now();
    tokio::spawn(keeper.run(CancellationToken::new()));
    sleep(Duration::from_secs(600)).await;
    let outage = published.latest().unwritten.clone().expect("it is told");
    assert!(outage.reason.contains("/var/lib/signet/last-good.json"), "{outage:?}");
    assert!(outage.since.since(began) < Duration::from_secs(1), "{outage:?}");
    assert!(scene.disk.written.lock().is_none());
    scene.disk.fails.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(published.latest().unwritten, None);
    assert!(scene.disk.written.lock().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_told_of() {
    let scene = Scene::new(Disk {
        hangs: true,
        ..Disk::default()
    });
    let keeper = scene.start().await;
    let published = keeper.published();
    tokio::spawn(keeper.run(CancellationToken::new()));
    sleep(Duration::from_secs(11)).await;
    let outage = published.latest().unwritten.clone().expect("it is told");
    assert!(outage.reason.contains("has not ended within 10s"), "{outage:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_was_lost_is_not_begun_again_by_who_remembers_it() {
    let scene = Scene::new(Disk::default());
    let (keeper, shutdown) = (scene.start().await, CancellationToken::new());
    shutdown.cancel();
    keeper.run(shutdown).await;
    let lost = Scene::new(Disk {
        written: Mutex::new(scene.disk.written.lock().take()),
        ..Disk::default()
    });
    let keeper = lost.start().await;
    let published = keeper.published();
    tokio::spawn(keeper.run(CancellationToken::new()));
    for _ in 0..10 {
        sleep(Duration::from_secs(60)).await;
        assert_eq!(lost.serves(&published), (1, Err(NoSignerCause::Sealed)));
        assert!(lost.provider.list().await.expect("it lists").is_empty());
    }
    let failure = published.latest().refresh_failure.clone().expect("it is told");
    assert!(failure.outage.reason.contains("the ring is empty"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_read_while_the_create_of_a_successor_hangs() {
    let scene = Scene::with_a_successor_due().await;
    scene
        .provider
        .script(Operation::Create, [Fault::Slow(Duration::from_secs(600))]);
    let keeper = scene.start().await;
    let published = keeper.published();
    tokio::spawn(keeper.run(CancellationToken::new()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.serves(&published), (1, Ok(())));
    let kid = scene.provider.list().await.expect("it lists")[0].kid().clone();
    let revocation = signet_core::Revocation {
        at: scene.clock.now(),
        reason: "leaked".to_owned(),
    };
    scene.provider.revoke(&kid, &revocation).await.expect("revoked");
    sleep(policy().durations().refresh_interval + Duration::from_secs(1)).await;
    assert_eq!(scene.serves(&published), (0, Err(NoSignerCause::NoKey)));
}
