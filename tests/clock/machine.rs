//! A machine whose wall clock can be set, with the real keeper and a sealed ring in memory.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use signet::keeper::{Dependencies, Keeper, NamedRing, RingSettings, tolerance};
use signet::last_good::{LastGoodError, Remembered, Remembers};
use signet::published::Published;
use signet::telemetry::metrics::Metrics;
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, Operation, ProviderError, Trials};
use signet_base::{Clock, Jitter};
use signet_clock_watch::ClockWatch;
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, Durations, Issuer, KeyRecord, Policy, Timestamp};
use signet_sealed::{Context, MemoryStore, Sealed, Sealer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY_AND_AN_HOUR: i64 = 25 * 3600 * 1000;
/// The true time at which all tests begin.
const BEGINNING: Timestamp = Timestamp::from_secs(1_767_225_600);

pub(crate) fn policy() -> Policy {
    Policy::new(Durations::default(), Algorithm::EdDSA).expect("the defaults are safe")
}

/// The clocks of a machine. Tokio's paused time is the true time.
#[derive(Debug)]
pub(crate) struct Clocks {
    began: Instant,
    /// How far the wall clock is off.
    off: AtomicI64,
    /// How long the machine was suspended, while timers stopped.
    suspended: AtomicI64,
    /// How long a hypervisor paused the machine, while everything stopped.
    held_up: AtomicI64,
}

impl Clocks {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            off: AtomicI64::new(0),
            suspended: AtomicI64::new(0),
            held_up: AtomicI64::new(0),
        })
    }

    pub(crate) fn set_off_by(&self, millis: i64) {
        self.off.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn suspend(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).expect("short");
        self.suspended.fetch_add(millis, Ordering::SeqCst);
    }

    /// Pauses the machine, and corrects its wall clock afterwards.
    pub(crate) fn hold_up(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).expect("short");
        self.held_up.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Clocks {
    fn now(&self) -> Timestamp {
        let held_up = self.held_up.load(Ordering::SeqCst);
        let shown = BEGINNING.plus(self.running()).shifted(held_up);
        shown.shifted(self.off.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        let suspended = u64::try_from(self.suspended.load(Ordering::SeqCst)).expect("not negative");
        self.began.elapsed() + Duration::from_millis(suspended)
    }
}

/// A sealer that only puts the context in front, because nothing here is secret.
#[derive(Debug)]
struct Plain;

#[async_trait]
impl Sealer for Plain {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        Ok([&context.to_bytes(), plaintext].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let plaintext = wrapped.strip_prefix(context.to_bytes().as_slice());
        plaintext
            .map(|plaintext| Zeroizing::new(plaintext.to_vec()))
            .ok_or_else(|| {
                let text = "another context".to_owned();
                ProviderError::new("memory", Operation::Unseal, ErrorKind::BadAnswer, text)
            })
    }

    async fn check(&self, _: &mut Trials) {}
}

/// What a disk keeps from one process to the next.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<Option<Remembered>>);

#[async_trait]
impl Remembers for Disk {
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError> {
        Ok(self.0.lock().expect("no panic").clone())
    }

    async fn remember(&self, remembered: Remembered) -> Result<(), LastGoodError> {
        *self.0.lock().expect("no panic") = Some(remembered);
        Ok(())
    }
}

/// A handle to the ring in the store, for a process on this machine.
pub(crate) fn ring(store: &MemoryStore, clocks: &Arc<Clocks>) -> Arc<dyn KeyProvider> {
    let clock: Arc<dyn Clock> = Arc::clone(clocks) as _;
    Arc::new(Sealed::new("signet", "memory", Plain, store.clone(), clock))
}

/// A running sidecar.
pub(crate) struct Sidecar {
    pub(crate) published: Arc<Published>,
    pub(crate) watch: Arc<ClockWatch>,
    pub(crate) provider: Arc<dyn KeyProvider>,
    clocks: Arc<Clocks>,
    shutdown: CancellationToken,
}

impl Sidecar {
    pub(crate) async fn start(store: &MemoryStore, clocks: &Arc<Clocks>, disk: &Arc<Disk>) -> Self {
        let provider = ring(store, clocks);
        let watch = Arc::new(ClockWatch::new(Arc::clone(clocks) as _, tolerance(&policy())));
        let settings = RingSettings {
            issuer: Issuer::new("https://issuer.example"),
            policy: policy(),
            rsa_bits: RsaBits::B2048,
            expired_keys: Some(ExpiredKeys::Disable),
        };
        let dependencies = Dependencies {
            ring: NamedRing {
                name: "memory".to_owned(),
                provider: Arc::clone(&provider),
            },
            also: Vec::new(),
            clock_watch: Arc::clone(&watch),
            metrics: Arc::new(Metrics::default()),
            jitter: Jitter::seeded(1),
            memory: Some(Arc::clone(disk) as Arc<dyn Remembers>),
        };
        let keeper = Keeper::start(dependencies, settings).await.expect("a ring");
        let (published, shutdown) = (keeper.published(), CancellationToken::new());
        tokio::spawn(keeper.run(shutdown.clone()));
        tokio::spawn(Arc::clone(&watch).run(shutdown.clone()));
        Self {
            published,
            watch,
            provider,
            clocks: Arc::clone(clocks),
            shutdown,
        }
    }

    /// The kid of the key that signs, for a request that is made now.
    pub(crate) fn signer(&self) -> Result<String, String> {
        let snapshot = self.published.at(self.clocks.now());
        let signer = snapshot.signer.as_ref();
        let signer = signer.map_err(|none| none.outage.reason.clone())?;
        assert!(
            snapshot.published.contains_key(signer.public.kid()),
            "what signs is published"
        );
        Ok(signer.public.kid().to_string())
    }

    pub(crate) fn publishes(&self, key: &KeyRecord) -> bool {
        self.published.at(self.clocks.now()).published.contains_key(key.kid())
    }

    /// Lets this much time pass, and asks for the signing key every minute.
    pub(crate) async fn signs_for(&self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            tokio::time::sleep(MINUTE).await;
            if let Err(reason) = self.signer() {
                panic!("nothing signs at {:?}: {reason}", self.clocks.began.elapsed());
            }
        }
    }

    pub(crate) async fn keys(&self) -> Vec<KeyRecord> {
        let mut keys = self.provider.list().await.expect("it lists");
        keys.sort_by(KeyRecord::creation_order);
        keys
    }

    pub(crate) fn stop(self) {
        self.shutdown.cancel();
    }
}
