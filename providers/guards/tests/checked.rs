//! Which answers are accepted, and which are refused. The wrong answers themselves are in `faults.rs`.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Scene, ed25519, mark, millis, scene, sealed, seconds};
use signet_api::{Custody, ErrorKind, ExpiredKeys, KeyProvider, Operation, SETTLING, Trials};
use signet_base::ManualClock;
use signet_base::chain;
use signet_core::{KeyRecord, Kid, Timestamp};
use signet_guards::Checked;
use signet_sealed::MemoryStore;
use signet_testkit::{Fault, FaultyProvider};

async fn kids(provider: &dyn KeyProvider) -> Vec<Kid> {
    let listed = provider.list().await.expect("lists");
    listed.iter().map(|key| key.kid().clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_without_asking_the_provider() {
    let (scene, old, _) = scene().with_two_keys().await;
    for error in [
        scene.provider.sign(old.kid(), b"m").await.expect_err("revoked"),
        scene.provider.unseal(old.kid()).await.expect_err("revoked"),
    ] {
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
        assert!(
            chain(&error).contains("is revoked and cannot be used again"),
            "{}",
            chain(&error)
        );
    }
    assert_eq!((scene.calls(Operation::Sign), scene.calls(Operation::Unseal)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_mark_outlives_the_provider_that_lost_it() {
    let (scene, old, new) = scene().with_two_keys().await;
    scene
        .faulty
        .script(Operation::List, [Fault::MarksRemoved, Fault::MarksRemoved]);
    for _ in 0..2 {
        let error = scene.provider.list().await.expect_err("the mark is gone");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
    let refused = scene.provider.sign(old.kid(), b"m").await.expect_err("revoked");
    assert_eq!(refused.kind, ErrorKind::KeyUnusable);
    scene.provider.sign(new.kid(), b"m").await.expect("others go on");
    scene
        .provider
        .list()
        .await
        .expect("and when the mark is back, all is well");
}

#[tokio::test(start_paused = true)]
async fn a_mark_outlives_the_listing_of_its_key() {
    let (scene, old, new) = scene().with_two_keys().await;
    scene.faulty.script(Operation::List, [Fault::OldestMissing]);
    assert_eq!(
        kids(&*scene.provider).await,
        [new.kid().clone()],
        "destroyed, for all we know"
    );
    let refused = scene.provider.sign(old.kid(), b"m").await.expect_err("revoked");
    assert_eq!(
        (refused.kind, scene.calls(Operation::Sign)),
        (ErrorKind::KeyUnusable, 0)
    );
    scene.faulty.script(Operation::List, [Fault::MarksRemoved]);
    let error = scene.provider.list().await.expect_err("back without its mark");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    scene.provider.list().await.expect("lists");
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_slow_to_show_is_put_back_for_a_while() {
    let scene = scene();
    let key = scene.provider.create(&ed25519(None)).await.expect("a key");
    scene.provider.list().await.expect("lists");
    scene.provider.revoke(key.kid(), &mark()).await.expect("revoked");
    scene.faulty.script(Operation::List, [Fault::MarksRemoved; 2]);
    scene.clock.advance(SETTLING - seconds(1));
    let listed = scene.provider.list().await.expect("lists");
    assert_eq!(listed[0].revoked, Some(mark()));
    scene.clock.advance(seconds(1));
    assert_eq!(
        scene.provider.list().await.expect_err("too slow").kind,
        ErrorKind::BadAnswer
    );
}

#[tokio::test(start_paused = true)]
async fn a_revocation_reaches_a_signature_that_is_being_made() {
    let (scene, _, key) = scene().with_two_keys().await;
    scene.faulty.script(Operation::Sign, [Fault::SlowAnswer(millis(500))]);
    let revoke = async {
        tokio::time::sleep(millis(100)).await;
        scene.provider.revoke(key.kid(), &mark()).await.expect("revoked");
    };
    let (signed, ()) = tokio::join!(scene.provider.sign(key.kid(), b"m"), revoke);
    assert_eq!(signed.expect_err("revoked meanwhile").kind, ErrorKind::KeyUnusable);
}

#[tokio::test(start_paused = true)]
async fn a_created_key_that_a_list_lacks_is_added_for_a_while() {
    let scene = scene();
    let first = scene.provider.create(&ed25519(None)).await.expect("a key");
    let second = scene.provider.create(&ed25519(Some(first.kid()))).await.expect("a key");
    scene.faulty.script(Operation::List, [Fault::NewestMissing; 3]);
    assert!(kids(&*scene.provider).await.contains(second.kid()));
    scene.clock.advance(SETTLING - seconds(1));
    assert!(kids(&*scene.provider).await.contains(second.kid()));
    scene.clock.advance(seconds(1));
    assert!(
        !kids(&*scene.provider).await.contains(second.kid()),
        "then the provider is believed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_listed_once_and_is_gone_is_gone() {
    let scene = scene();
    let first = scene.provider.create(&ed25519(None)).await.expect("a key");
    let second = scene.provider.create(&ed25519(Some(first.kid()))).await.expect("a key");
    assert!(kids(&*scene.provider).await.contains(second.kid()));
    scene.faulty.script(Operation::List, [Fault::NewestMissing]);
    assert!(
        !kids(&*scene.provider).await.contains(second.kid()),
        "another replica may have destroyed it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_destroyed_here_before_any_list_is_not_added() {
    let scene = scene();
    let first = scene.provider.create(&ed25519(None)).await.expect("a key");
    let second = scene.provider.create(&ed25519(Some(first.kid()))).await.expect("a key");
    scene
        .provider
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    assert_eq!(kids(&*scene.provider).await, [second.kid().clone()]);
}

#[tokio::test(start_paused = true)]
async fn the_twin_of_a_lost_race_is_no_exchange() {
    // Another handle created a key at the same instant, and it is listed before ours.
    let (inner, twin) = (sealed(MemoryStore::default()), sealed(MemoryStore::default()));
    let ours = inner.create(&ed25519(None)).await.expect("a key");
    let theirs = twin.create(&ed25519(None)).await.expect("a key");
    assert_eq!(ours.created_at, theirs.created_at);
    let switched = Arc::new(Switched {
        providers: [inner, twin],
        at: Mutex::new(0),
        custody: Custody::Sealed,
    });
    let checked = Checked::new(
        Arc::clone(&switched) as Arc<dyn KeyProvider>,
        Arc::new(ManualClock::default()),
        common::SKEW,
    );
    checked.create(&ed25519(None)).await.expect("ours");
    *switched.at.lock().expect("no panic") = 1;
    assert_eq!(kids(&checked).await.len(), 2, "theirs, and ours that is not listed yet");
}

/// A provider that the test can replace by another.
#[derive(Debug)]
struct Switched {
    providers: [Arc<dyn KeyProvider>; 2],
    at: Mutex<usize>,
    /// The custody that it declares.
    custody: Custody,
}

impl Switched {
    fn now(&self) -> &dyn KeyProvider {
        &*self.providers[*self.at.lock().expect("no panic")]
    }
}

#[signet_api::async_trait]
impl KeyProvider for Switched {
    fn capabilities(&self) -> signet_api::Capabilities {
        signet_api::Capabilities {
            custody: self.custody,
            ..self.now().capabilities()
        }
    }
    async fn list(&self) -> Result<Vec<KeyRecord>, signet_api::ProviderError> {
        self.now().list().await
    }
    async fn create(&self, new: &signet_api::NewKey) -> Result<KeyRecord, signet_api::ProviderError> {
        self.now().create(new).await
    }
    async fn sign(
        &self,
        kid: &Kid,
        message: &[u8],
    ) -> Result<signet_core::signing_key::Signature, signet_api::ProviderError> {
        self.now().sign(kid, message).await
    }
    async fn unseal(&self, kid: &Kid) -> Result<Option<signet_core::SigningKey>, signet_api::ProviderError> {
        self.now().unseal(kid).await
    }
    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), signet_api::ProviderError> {
        self.now().retire(kid, action).await
    }
    async fn revoke(&self, kid: &Kid, mark: &signet_core::Revocation) -> Result<(), signet_api::ProviderError> {
        self.now().revoke(kid, mark).await
    }
    async fn check(&self, trials: &mut Trials) {
        self.now().check(trials).await;
    }
    async fn prune(&self) -> Result<Vec<String>, signet_api::ProviderError> {
        self.now().prune().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_key_never_leaves_a_remote_provider_unnoticed() {
    let inner = sealed(MemoryStore::default());
    let key = inner.create(&ed25519(None)).await.expect("a key");
    let loose = Switched {
        providers: [Arc::clone(&inner), inner],
        at: Mutex::new(0),
        custody: Custody::Remote,
    };
    let checked = Checked::new(Arc::new(loose), Arc::new(ManualClock::default()), common::SKEW);
    let error = checked.unseal(key.kid()).await.expect_err("it left");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(chain(&error).contains("which must never leave it"), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn a_successor_is_not_older_than_its_predecessor() {
    let (scene, _, key) = scene().with_two_keys().await;
    scene.faulty.set_clock_behind(seconds(10));
    let error = scene.provider.create(&ed25519(Some(key.kid()))).await;
    let error = error.expect_err("the clock was set back");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(
        chain(&error).contains("clock may have been set back"),
        "{}",
        chain(&error)
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_never_listed_is_between_the_provider_and_the_caller() {
    let faulty = FaultyProvider::new(sealed(MemoryStore::default()));
    let key = faulty.create(&ed25519(None)).await.expect("a key");
    let checked = Checked::new(Arc::new(faulty.clone()), Arc::new(ManualClock::default()), common::SKEW);
    checked.sign(key.kid(), b"m").await.expect("signed");
    let error = checked.sign(&Kid::new("unknown"), b"m").await.expect_err("unknown");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(faulty.calls(Operation::Sign), 2);
    faulty.script(Operation::Unseal, [Fault::ForeignPrivateKey]);
    let error = checked
        .unseal(key.kid())
        .await
        .expect_err("its kid gives it away even so");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Captures the log for as long as the guard lives.
    fn start() -> (Self, impl Sized) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

async fn clock_line(scene: &Scene) -> Option<String> {
    let checks = Trials::of(async |trials| scene.provider.check(trials).await).await;
    let line = checks
        .into_iter()
        .find(|check| check.permission == "a clock that agrees with this machine's")?;
    Some(chain(line.answer.error().expect("only there if it does not")))
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_is_told_once_and_refuses_nothing() {
    let (log, _guard) = Log::start();
    let scene = scene();
    scene.faulty.set_clock_ahead(seconds(60));
    let key = scene.provider.create(&ed25519(None)).await.expect("a key");
    scene.provider.list().await.expect("lists");
    assert_eq!(
        (log.lines().len(), clock_line(&scene).await),
        (0, None),
        "within the skew"
    );

    let ahead = common::scene();
    ahead.faulty.set_clock_ahead(seconds(150));
    let late = ahead.provider.create(&ed25519(None)).await.expect("a key");
    for _ in 0..3 {
        assert_eq!(kids(&*ahead.provider).await, [late.kid().clone()]);
    }
    let says = format!(
        "the clock of test is 2 min ahead of the clock of this machine, by the creation time of key {}, but \
         SIGNET_CLOCK_SKEW allows only 60 s. Its keys start to sign later than the policy says. Check the \
         clock of this machine (NTP). If it is right, the clock of the provider is wrong, or the clock of the machine \
         that created the key was: correct that clock. Do not just raise SIGNET_CLOCK_SKEW: expired tokens would be \
         accepted for that much longer",
        late.kid()
    );
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    assert!(log.lines()[0].contains(&says), "{:?}", log.lines());
    assert_eq!(
        clock_line(&ahead).await,
        Some(format!("test: check failed (bad_answer): {says}"))
    );
    ahead.provider.sign(late.kid(), b"m").await.expect("signed");
    ahead.clock.advance(seconds(90));
    assert_eq!(clock_line(&ahead).await, None, "its instant has come near");
    drop(key);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_is_told_when_a_key_is_created() {
    let (log, _guard) = Log::start();
    let scene = scene();
    scene.provider.list().await.expect("lists");
    scene.faulty.set_clock_behind(seconds(61));
    let key = scene.provider.create(&ed25519(None)).await.expect("a key");
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    let says = format!(
        "the clock of test is 61 s behind the clock of this machine, by the creation time of key {}",
        key.kid()
    );
    assert!(log.lines()[0].contains(&says), "{:?}", log.lines());
    assert!(log.lines()[0].contains("may sign before every verifier has them"));
    assert_eq!(kids(&*scene.provider).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_adopted_says_nothing_about_the_clock() {
    let (log, _guard) = Log::start();
    let scene = scene();
    scene.provider.list().await.expect("lists");
    scene.clock.advance(seconds(300));
    // Another replica has created the key, before this call but after the last list.
    let theirs = scene.faulty.create(&ed25519(None)).await.expect("a key");
    assert_eq!(theirs.created_at, Timestamp::from_secs(1_767_225_600));
    let adopted = scene.provider.create(&ed25519(None)).await.expect("a key");
    assert_eq!(adopted.kid(), theirs.kid());
    assert_eq!(log.lines(), Vec::<String>::new());
}
