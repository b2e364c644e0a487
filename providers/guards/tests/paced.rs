//! How often calls are made.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{call, failure, millis, pace, seconds};
use proptest::prelude::*;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::chain;
use signet_guards::{Guard as _, Pace, Paced};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Makes a call and records its time.
async fn make(guard: &Paced, operation: Operation, made: &Mutex<Vec<Instant>>) -> Result<(), ProviderError> {
    let attempt = || async {
        made.lock().expect("no panic").push(Instant::now());
        Ok(())
    };
    guard.run(call(operation), attempt).await
}

fn paced(control: Pace) -> Paced {
    Paced::new(control, pace(1, 1, Duration::ZERO))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The calls in any interval never exceed the tokens for it, whatever callers arrive, wait or give up.
    #[test]
    fn never_more_calls_than_the_bucket_allows(
        per_second in 1..200_u32,
        burst in 1..20_u32,
        callers in prop::collection::vec((0..3000_u64, prop::option::of(0..1500_u64)), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let made = runtime.block_on(async {
            let (guard, made) = (Arc::new(paced(pace(per_second, burst, seconds(2)))), Arc::new(Mutex::default()));
            let mut running = JoinSet::new();
            for (comes, leaves) in callers {
                let (guard, made) = (Arc::clone(&guard), Arc::clone(&made));
                running.spawn(async move {
                    sleep(millis(comes)).await;
                    let make = make(&guard, Operation::List, &made);
                    match leaves {
                        Some(after) => drop(timeout(millis(after), make).await),
                        None => drop(make.await),
                    }
                });
            }
            running.join_all().await;
            made.lock().expect("no panic").clone()
        });
        let interval = seconds(1) / per_second;
        for (first, from) in made.iter().enumerate() {
            for (last, to) in made.iter().enumerate().skip(first) {
                let tokens = u128::from(burst) + (*to - *from).as_nanos() / interval.as_nanos();
                prop_assert!((last - first + 1) as u128 <= tokens, "calls {first} to {last}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_come_to_their_turn_at_the_pace_and_in_order() {
    let (guard, made, order) = (
        Arc::new(paced(pace(10, 5, seconds(10)))),
        Arc::new(Mutex::default()),
        Arc::new(Mutex::new(Vec::new())),
    );
    let began = Instant::now();
    let mut running = JoinSet::new();
    for caller in 0..50 {
        let (guard, made, order) = (Arc::clone(&guard), Arc::clone(&made), Arc::clone(&order));
        running.spawn(async move {
            make(&guard, Operation::List, &made).await.expect("its turn comes");
            order.lock().expect("no panic").push(caller);
        });
    }
    running.join_all().await;
    assert_eq!(*order.lock().expect("no panic"), (0..50).collect::<Vec<_>>());
    let spans: Vec<Duration> = made.lock().expect("no panic").iter().map(|at| *at - began).collect();
    assert_eq!(spans[4], Duration::ZERO, "five at once");
    for (index, span) in spans.iter().enumerate().skip(5) {
        assert_eq!(
            *span,
            millis(100) * u32::try_from(index - 4).expect("small"),
            "call {index}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_which_setting_holds_it_back() {
    let (guard, made) = (Arc::new(paced(pace(2, 1, seconds(3)))), Arc::new(Mutex::default()));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..20 {
        let (guard, made) = (Arc::clone(&guard), Arc::clone(&made));
        running.spawn(async move {
            let outcome = make(&guard, Operation::List, &made).await;
            (outcome, Instant::now() - began)
        });
    }
    let outcomes = running.join_all().await;
    let refused: Vec<_> = outcomes
        .iter()
        .filter_map(|(outcome, at)| Some((outcome.as_ref().err()?, at)))
        .collect();
    assert_eq!(
        outcomes.len() - refused.len(),
        7,
        "one at once, and six in three seconds"
    );
    assert!(
        refused.iter().filter(|(_, at)| at.is_zero()).count() >= 11,
        "who has no chance does not wait"
    );
    for (error, at) in refused {
        assert!(*at <= seconds(3), "nobody waits longer than the bound");
        assert_eq!(error.kind, ErrorKind::Throttled);
        assert!(error.retry_after.is_some());
        assert_eq!(
            chain(error),
            "test: list failed (throttled): this process delayed the call for 3 s, because it makes at most 2 calls \
             a second to test, 1 at once. Send fewer requests, or raise SIGNET_PROVIDER_RATE if the \
             provider's quota allows it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_frees_its_place() {
    let (guard, made) = (Arc::new(paced(pace(1, 1, seconds(2)))), Arc::new(Mutex::default()));
    make(&guard, Operation::List, &made).await.expect("at once");
    for _ in 0..20 {
        // The caller at the head of the queue, and the one behind it.
        let both = async {
            tokio::join!(
                make(&guard, Operation::List, &made),
                make(&guard, Operation::List, &made)
            )
        };
        timeout(millis(10), both).await.expect_err("not their turn yet");
    }
    let began = Instant::now();
    make(&guard, Operation::List, &made).await.expect("its turn comes");
    assert_eq!(began.elapsed(), millis(800), "as if nobody had waited before");
}

#[tokio::test(start_paused = true)]
async fn signing_has_a_bucket_of_its_own() {
    let guard = Paced::new(pace(1, 1, Duration::ZERO), pace(1, 1, Duration::ZERO));
    let made = Mutex::default();
    make(&guard, Operation::List, &made).await.expect("the one token");
    make(&guard, Operation::Unseal, &made).await.expect_err("none is left");
    make(&guard, Operation::Sign, &made).await.expect("its own token");
    make(&guard, Operation::Sign, &made).await.expect_err("none is left");
}

#[tokio::test(start_paused = true)]
async fn when_the_provider_names_a_time_nobody_calls_it_before() {
    let guard = paced(pace(1000, 1000, seconds(5)));
    let throttled = |span| {
        move || async move {
            let mut error = failure(ErrorKind::Throttled);
            error.retry_after = Some(span);
            Err::<(), _>(error)
        }
    };
    guard
        .run(call(Operation::List), throttled(seconds(4)))
        .await
        .expect_err("throttled");
    let (began, made) = (Instant::now(), Mutex::default());
    make(&guard, Operation::List, &made).await.expect("after the time");
    assert_eq!(began.elapsed(), seconds(4));

    guard
        .run(call(Operation::List), throttled(seconds(3600)))
        .await
        .expect_err("throttled");
    let began = Instant::now();
    let error = make(&guard, Operation::List, &made)
        .await
        .expect_err("too long to wait");
    assert_eq!(
        (began.elapsed(), error.retry_after),
        (Duration::ZERO, Some(seconds(60)))
    );
    assert_eq!(
        chain(&error),
        "test: list failed (throttled): test asked for fewer calls, so Signet makes no calls for another 60 s. Wait. \
         If this repeats, request a higher quota from the provider, or raise SIGNET_REFRESH_INTERVAL"
    );
    tokio::time::advance(seconds(60)).await;
    make(&guard, Operation::List, &made)
        .await
        .expect("an hour is not believed");
}

#[tokio::test(start_paused = true)]
async fn the_longest_of_the_times_that_the_provider_named_counts() {
    let guard = paced(pace(1000, 1000, seconds(5)));
    let throttled = |after, span| {
        let attempt = move || async move {
            sleep(after).await;
            let mut error = failure(ErrorKind::Throttled);
            error.retry_after = Some(span);
            Err::<(), _>(error)
        };
        guard.run(call(Operation::List), attempt)
    };
    let (first, second) = tokio::join!(throttled(millis(10), seconds(4)), throttled(millis(20), seconds(1)));
    assert!(first.is_err() && second.is_err());
    let (began, made) = (Instant::now(), Mutex::default());
    make(&guard, Operation::List, &made).await.expect("after the time");
    assert_eq!(began.elapsed(), seconds(4) - millis(10));
}
