//! All states of the breaker, and a storm of calls.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{call, failure, millis, scene, seconds};
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::{Jitter, chain};
use signet_guards::{Breaking, Breaks, Guard as _};
use signet_testkit::Fault;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep, timeout};

const LIST: Operation = Operation::List;

/// A breaker, with a count of the calls that it lets through.
struct Subject {
    guard: Breaking,
    made: AtomicUsize,
}

impl Subject {
    fn new(seed: u64) -> Self {
        Self {
            guard: Breaking::new(Breaks::default(), Jitter::seeded(seed)),
            made: AtomicUsize::new(0),
        }
    }

    /// Makes a call with this result.
    async fn ends(&self, operation: Operation, kind: Option<ErrorKind>) -> Result<(), ProviderError> {
        self.ends_after(operation, Duration::ZERO, kind).await
    }

    async fn ends_after(
        &self,
        operation: Operation,
        span: Duration,
        kind: Option<ErrorKind>,
    ) -> Result<(), ProviderError> {
        let attempt = || async move {
            self.made.fetch_add(1, Ordering::SeqCst);
            sleep(span).await;
            kind.map_or(Ok(()), |kind| Err(failure(kind)))
        };
        self.guard.run(call(operation), attempt).await
    }

    fn made(&self) -> usize {
        self.made.swap(0, Ordering::SeqCst)
    }

    async fn opened(seed: u64) -> Self {
        let subject = Self::new(seed);
        for _ in 0..5 {
            subject
                .ends(LIST, Some(ErrorKind::Unavailable))
                .await
                .expect_err("down");
        }
        assert_eq!(subject.made(), 5);
        subject
    }

    /// The time until the next probe.
    async fn pause(&self) -> Duration {
        let error = self.ends(LIST, None).await.expect_err("open");
        assert_eq!((self.made(), error.kind), (0, ErrorKind::Unavailable));
        error.retry_after.expect("when to come back")
    }
}

#[tokio::test(start_paused = true)]
async fn it_opens_after_five_silent_calls_in_a_row_and_not_before() {
    for silence in [ErrorKind::Unavailable, ErrorKind::TimedOut] {
        let subject = Subject::new(1);
        for answer in [None, Some(ErrorKind::PermissionDenied)] {
            for _ in 0..4 {
                subject.ends(LIST, Some(silence)).await.expect_err("down");
            }
            drop(subject.ends(LIST, answer).await);
        }
        assert_eq!(
            subject.made(),
            10,
            "an answer in between starts the count again, even if it is a refusal"
        );
        for _ in 0..10 {
            subject.ends(LIST, Some(silence)).await.expect_err("down");
        }
        assert_eq!(subject.made(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_of_the_provider_opens_it() {
    for kind in ErrorKind::ALL {
        let subject = Subject::new(1);
        for _ in 0..20 {
            subject.ends(LIST, Some(kind)).await.expect_err("an error");
        }
        let silent = matches!(kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
        assert_eq!(subject.made(), if silent { 5 } else { 20 }, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_calls_fail_at_once_and_say_since_when_and_why() {
    let subject = Subject::opened(1).await;
    advance(millis(400)).await;
    let began = Instant::now();
    let error = subject.ends(LIST, None).await.expect_err("open");
    assert_eq!((subject.made(), began.elapsed()), (0, Duration::ZERO));
    let wait = error.retry_after.expect("when to come back").as_millis();
    assert_eq!(
        chain(&error),
        format!(
            "test: list failed (unavailable): test has not answered for 400 ms, so this call was not made; the next \
             attempt is in {wait} ms, and calls resume as soon as it succeeds. The last error was: test: \
             list failed (unavailable): the test says so"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_half_a_minute_and_are_spread_over_their_later_half() {
    let mut firsts = Vec::new();
    for seed in 0..50 {
        let subject = Subject::opened(seed).await;
        for whole in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let pause = subject.pause().await;
            assert!(
                pause >= millis(whole / 2) && pause <= millis(whole),
                "seed {seed}: {pause:?} of {whole} ms"
            );
            if whole == 1000 {
                firsts.push(pause);
            }
            advance(pause - Duration::from_nanos(1)).await;
            subject.ends(LIST, None).await.expect_err("not yet");
            assert_eq!(subject.made(), 0);
            advance(Duration::from_nanos(1)).await;
            subject
                .ends(LIST, Some(ErrorKind::TimedOut))
                .await
                .expect_err("still down");
            assert_eq!(subject.made(), 1, "the probe");
        }
    }
    assert!(firsts.iter().any(|first| *first < millis(600)) && firsts.iter().any(|first| *first > millis(900)));
}

#[tokio::test(start_paused = true)]
async fn however_long_the_outage_was_signing_is_back_within_five_seconds_of_the_provider() {
    for seed in 0..20 {
        let subject = Subject::new(seed);
        let down_until = Instant::now() + seconds(600 + seed);
        while Instant::now() < down_until {
            subject
                .ends(Operation::Sign, Some(ErrorKind::Unavailable))
                .await
                .expect_err("down");
            advance(millis(100)).await;
        }
        let back = Instant::now();
        while subject.ends(Operation::Sign, None).await.is_err() {
            advance(millis(100)).await;
        }
        assert!(back.elapsed() <= seconds(5), "seed {seed}: {:?}", back.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_probes_and_its_success_lets_all_through() {
    let subject = Subject::opened(1).await;
    advance(seconds(1)).await;
    let others = async {
        for _ in 0..100 {
            let error = subject.ends(LIST, None).await.expect_err("only one probes");
            assert!(
                chain(&error).contains("one attempt is in progress"),
                "{}",
                chain(&error)
            );
            assert_eq!(error.retry_after, Some(seconds(1)));
        }
    };
    let (probe, ()) = tokio::join!(subject.ends_after(LIST, seconds(3), None), others);
    probe.expect("it is back");
    assert_eq!(subject.made(), 1);
    for _ in 0..10 {
        subject.ends(LIST, None).await.expect("closed");
    }
    for _ in 0..4 {
        subject
            .ends(LIST, Some(ErrorKind::Unavailable))
            .await
            .expect_err("down");
    }
    subject.ends(LIST, None).await.expect("the count began anew");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_answered_with_a_refusal_closes_it() {
    for kind in [
        ErrorKind::PermissionDenied,
        ErrorKind::NotFound,
        ErrorKind::Throttled,
        ErrorKind::BadAnswer,
    ] {
        let subject = Subject::opened(1).await;
        advance(seconds(1)).await;
        let error = subject.ends(LIST, Some(kind)).await.expect_err("refused");
        assert_eq!(error.kind, kind, "as it came");
        subject.ends(LIST, None).await.expect("closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_makes_way_for_another() {
    let subject = Subject::opened(1).await;
    for _ in 0..20 {
        advance(seconds(1)).await;
        let probe = subject.ends_after(LIST, seconds(60), None);
        timeout(millis(1), probe).await.expect_err("given up");
        assert_eq!(subject.made(), 1);
        let pause = subject.pause().await;
        assert!(pause <= seconds(1), "neither wedged nor punished: {pause:?}");
    }
    advance(seconds(1)).await;
    subject.ends(LIST, None).await.expect("it is back");
    subject.ends(LIST, None).await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn what_began_before_the_outage_neither_ends_nor_prolongs_it() {
    for late in [None, Some(ErrorKind::TimedOut)] {
        let subject = Subject::new(1);
        let slow = subject.ends_after(LIST, millis(100), late);
        let outage = async {
            for _ in 0..5 {
                subject
                    .ends(LIST, Some(ErrorKind::Unavailable))
                    .await
                    .expect_err("down");
            }
            subject.made();
            subject.pause().await
        };
        let (_, before) = tokio::join!(slow, outage);
        assert_eq!(subject.pause().await, before - millis(100));
    }
}

#[tokio::test(start_paused = true)]
async fn signing_and_the_rest_break_apart() {
    let subject = Subject::opened(1).await;
    subject
        .ends(Operation::Sign, None)
        .await
        .expect("signing is not broken");
    for operation in [
        Operation::Create,
        Operation::Unseal,
        Operation::Retire,
        Operation::Revoke,
    ] {
        subject.ends(operation, None).await.expect_err("open");
    }
    for _ in 0..5 {
        subject
            .ends(Operation::Sign, Some(ErrorKind::TimedOut))
            .await
            .expect_err("down");
    }
    subject.ends(Operation::Sign, None).await.expect_err("now it is");
}

/// A thousand callers try again and again for a minute, through all guards. Returns the number of
/// calls that reach the provider.
async fn storm(fault: Fault, operation: Operation) -> usize {
    let (scene, _, key) = scene().with_two_keys().await;
    let before = scene.calls(operation);
    scene.faulty.script(operation, std::iter::repeat_n(fault, 100_000));
    let end = Instant::now() + seconds(60);
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let (provider, kid) = (Arc::clone(&scene.provider), key.kid().clone());
        callers.spawn(async move {
            let mut refused = 0_usize;
            while Instant::now() < end {
                match operation {
                    LIST => drop(provider.list().await.expect_err("down")),
                    _ => drop(provider.sign(&kid, b"message").await.expect_err("down")),
                }
                refused += 1;
                sleep(millis(250)).await;
            }
            refused
        });
    }
    let refused: usize = callers.join_all().await.into_iter().sum();
    assert!(refused > 2000, "the callers went on: {refused}");
    let made = scene.calls(operation) - before;

    scene.faulty.heal();
    advance(seconds(31)).await;
    scene.provider.list().await.expect("it recovers by itself");
    scene
        .provider
        .sign(key.kid(), b"message")
        .await
        .expect("it recovers by itself");
    made
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_few_calls_to_a_provider_that_is_down() {
    // Five failures open the breaker. Probes follow after at least 0.5, 1, 2, 4, 8, 15, 15 and 15 s; for
    // signing, every 2.5 s at most.
    for (operation, few) in [(LIST, 6..=13), (Operation::Sign, 16..=31)] {
        let made = storm(Fault::Fails(ErrorKind::Unavailable), operation).await;
        assert!(few.contains(&made), "{operation:?}: {made} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_no_more_than_the_pace_to_a_provider_that_hangs() {
    // Until the first five calls reach their deadline of 10 s, the pace applies: a burst of 40, then 20 per second.
    let made = storm(Fault::Hangs, LIST).await;
    assert!((40..=40 + 200 + 8).contains(&made), "{made} calls");
}
