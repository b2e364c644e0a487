//! Which calls are repeated, how often and how soon.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{call, ed25519, failure, millis, scene, seconds};
use signet_api::{ErrorKind, ExpiredKeys, Operation, ProviderError};
use signet_base::{Jitter, chain};
use signet_core::Kid;
use signet_guards::{Guard as _, Invocation, Retries, Retrying};
use signet_testkit::Fault;
use tokio::time::Instant;

fn retrying(seed: u64) -> Retrying {
    Retrying::new(Retries::default(), Jitter::seeded(seed))
}

/// Makes a call that always fails, and returns the time of each attempt and the final error.
async fn fails(
    guard: &Retrying,
    call: Invocation<'_>,
    error: impl Fn() -> ProviderError + Send + Sync,
) -> (Vec<Duration>, ProviderError) {
    let (began, attempts) = (Instant::now(), Mutex::new(Vec::new()));
    let attempt = || async {
        attempts.lock().expect("no panic").push(began.elapsed());
        Err::<(), _>(error())
    };
    let error = guard.run(call, attempt).await.expect_err("fails");
    (attempts.into_inner().expect("no panic"), error)
}

#[tokio::test(start_paused = true)]
async fn only_transient_kinds_are_tried_again() {
    for kind in ErrorKind::ALL {
        for operation in [
            Operation::List,
            Operation::Create,
            Operation::Unseal,
            Operation::Retire,
            Operation::Revoke,
        ] {
            let (attempts, error) = fails(&retrying(1), call(operation), || failure(kind)).await;
            assert_eq!(error.kind, kind);
            assert_eq!(attempts.len() > 1, kind.is_transient(), "{kind:?} {operation:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_succeeds_as_soon_as_an_attempt_does() {
    let attempts = AtomicUsize::new(0);
    let attempt = || async {
        match attempts.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(failure(ErrorKind::Unavailable)),
            attempt => Ok(attempt),
        }
    };
    let answer = retrying(1).run(call(Operation::List), attempt).await;
    assert_eq!(answer.expect("the third succeeds"), 2);
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn pauses_are_spread_up_to_a_bound_that_doubles_and_attempts_end_with_the_budget() {
    let mut firsts = Vec::new();
    for seed in 0..200 {
        let (attempts, error) = fails(&retrying(seed), call(Operation::List), || {
            failure(ErrorKind::Unavailable)
        })
        .await;
        assert!(
            attempts.last().is_some_and(|last| *last <= seconds(20)),
            "seed {seed}: {attempts:?}"
        );
        // The pauses are at most 5 s, so attempts continue to the end of the budget.
        assert!(
            attempts.last().is_some_and(|last| *last > seconds(15) - millis(1)),
            "seed {seed}: {attempts:?}"
        );
        for (index, pair) in attempts.windows(2).enumerate() {
            let bound = millis(200 << index).min(seconds(5));
            // The runtime's timer has a resolution of one millisecond.
            assert!(pair[1] - pair[0] <= bound + millis(1), "seed {seed}: {attempts:?}");
        }
        firsts.push(attempts[1]);
        let says = format!("tried {} times in ", attempts.len());
        assert!(chain(&error).contains(&says), "{}", chain(&error));
    }
    let below = |bound: Duration| firsts.iter().filter(|first| **first < bound).count();
    assert!(
        (60..140).contains(&below(millis(100))),
        "half of the first pauses are below half"
    );
    assert!(
        below(millis(20)) > 5 && below(millis(180)) < 195,
        "from nothing to the whole"
    );
}

#[tokio::test(start_paused = true)]
async fn a_signature_is_tried_once_more_and_soon() {
    for seed in 0..100 {
        let (attempts, _) = fails(&retrying(seed), call(Operation::Sign), || {
            failure(ErrorKind::Unavailable)
        })
        .await;
        assert_eq!(attempts.len(), 2);
        assert!(attempts[1] <= millis(201), "{attempts:?}");
    }
    // After a deadline of two seconds, no time is left for another attempt.
    let guard = retrying(1);
    let attempts = AtomicUsize::new(0);
    let attempt = || async {
        attempts.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(seconds(2)).await;
        Err::<(), _>(failure(ErrorKind::TimedOut))
    };
    guard.run(call(Operation::Sign), attempt).await.expect_err("fails");
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

fn throttled(after: Duration) -> impl Fn() -> ProviderError {
    move || {
        let mut error = failure(ErrorKind::Throttled);
        error.retry_after = Some(after);
        error
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_before_the_time_that_the_provider_named() {
    for seed in 0..100 {
        let (attempts, error) = fails(&retrying(seed), call(Operation::List), throttled(seconds(4))).await;
        for pair in attempts.windows(2) {
            let pause = pair[1] - pair[0];
            assert!(
                pause >= seconds(4) && pause <= seconds(4) + millis(201),
                "seed {seed}: {attempts:?}"
            );
        }
        assert!((4..=6).contains(&attempts.len()), "{attempts:?}");
        assert_eq!(error.retry_after, Some(seconds(4)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_beyond_the_budget_is_handed_on_at_once() {
    for (operation, after) in [(Operation::List, seconds(21)), (Operation::Sign, millis(501))] {
        let began = Instant::now();
        let (attempts, error) = fails(&retrying(1), call(operation), throttled(after)).await;
        assert_eq!((attempts.len(), began.elapsed()), (1, Duration::ZERO));
        assert_eq!(error.retry_after, Some(after));
        assert_eq!(
            chain(&error),
            "test: list failed (throttled): the test says so",
            "and as it came"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_just_created_may_not_be_found_for_a_while() {
    let (fresh, other) = (Kid::new("fresh"), Kid::new("other"));
    let not_found = || failure(ErrorKind::NotFound);
    for operation in [Operation::Sign, Operation::Unseal] {
        let guard = retrying(1);
        guard.on_created(&fresh);
        let of = |kid| Invocation {
            kid: Some(kid),
            ..call(operation)
        };
        let (attempts, error) = fails(&guard, of(&fresh), not_found).await;
        assert!(attempts.len() > 3, "{attempts:?}");
        assert!(attempts.last().is_some_and(|last| *last <= seconds(10)), "{attempts:?}");
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(
            fails(&guard, of(&other), not_found).await.0.len(),
            1,
            "another key is not"
        );
        tokio::time::advance(seconds(60)).await;
        assert_eq!(
            fails(&guard, of(&fresh), not_found).await.0.len(),
            1,
            "nor is it after a minute"
        );
    }
    let guard = retrying(1);
    guard.on_created(&fresh);
    guard.on_retired(&fresh);
    let of_fresh = Invocation {
        kid: Some(&fresh),
        ..call(Operation::Sign)
    };
    assert_eq!(
        fails(&guard, of_fresh, not_found).await.0.len(),
        1,
        "nor once it was retired"
    );
    for operation in [Operation::Retire, Operation::Revoke, Operation::List] {
        let guard = retrying(1);
        guard.on_created(&fresh);
        let of_fresh = Invocation {
            kid: Some(&fresh),
            ..call(operation)
        };
        assert_eq!(fails(&guard, of_fresh, not_found).await.0.len(), 1, "{operation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_create_returns_the_key_whose_answer_was_lost() {
    let scene = scene();
    scene
        .faulty
        .script(Operation::Create, [Fault::AnswerLost, Fault::AnswerLost]);
    let key = scene.provider.create(&ed25519(None)).await.expect("a key");
    let listed = scene.provider.list().await.expect("lists");
    assert_eq!((listed.len(), listed[0].kid()), (1, key.kid()));
    assert_eq!(scene.calls(Operation::Create), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_destroyed_is_not_waited_for() {
    let scene = scene();
    let old = scene.provider.create(&ed25519(None)).await.expect("a key");
    scene.provider.create(&ed25519(Some(old.kid()))).await.expect("a key");
    scene
        .provider
        .retire(old.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    let error = scene.provider.sign(old.kid(), b"m").await.expect_err("gone");
    assert_eq!((error.kind, scene.calls(Operation::Sign)), (ErrorKind::NotFound, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_destroyed_without_an_answer_is_destroyed() {
    let scene = scene();
    let old = scene.provider.create(&ed25519(None)).await.expect("a key");
    scene.provider.create(&ed25519(Some(old.kid()))).await.expect("a key");
    scene.faulty.script(Operation::Retire, [Fault::AnswerLost]);
    scene
        .provider
        .retire(old.kid(), ExpiredKeys::Destroy)
        .await
        .expect("it is gone");
    let again = scene.provider.retire(old.kid(), ExpiredKeys::Destroy).await;
    assert_eq!(
        again.expect_err("not found").kind,
        ErrorKind::NotFound,
        "a first attempt that finds none says so"
    );
}
