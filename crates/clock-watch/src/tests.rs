use signet_base::ManualClock;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn watch() -> (Arc<ManualClock>, Arc<ClockWatch>) {
    let tolerance = Tolerance {
        apart: Duration::from_secs(121),
        forgotten_after: 24 * HOUR,
    };
    let clock = Arc::new(ManualClock::default());
    let watch = ClockWatch::new(Arc::clone(&clock) as _, tolerance);
    (clock, Arc::new(watch))
}

/// Sets the wall clock by this many milliseconds.
fn set(clock: &ManualClock, by: i64) {
    clock.set(clock.now().shifted(by));
}

#[test]
fn the_doubt_says_what_is_off_by_how_much_and_against_what() {
    let (clock, watch) = watch();
    clock.advance(HOUR);
    assert_eq!(watch.doubt(), None);
    set(&clock, 25 * 3_600_000);
    let doubt = watch.doubt().expect("it was set");
    assert!(doubt.to_string().contains("it is 1d 1h ahead of its value"), "{doubt}");
    assert!(doubt.advice().contains("restart this sidecar"), "{}", doubt.advice());
    assert_eq!(watch.set_by(), 25 * 3_600_000);
    set(&clock, -26 * 3_600_000);
    let doubt = watch.doubt().expect("it was set back");
    assert!(doubt.to_string().contains("it is 1h behind its value"), "{doubt}");
    watch.on_provider_time("vault", clock.now().shifted(-1000));
    assert_eq!((watch.doubt(), watch.set_by()), (None, 0), "the provider agrees");
    clock.advance(HOUR);
    set(&clock, 3_600_000);
    watch.on_provider_time("vault", clock.now().shifted(-3_600_000));
    set(&clock, -3_600_000);
    assert_eq!(
        watch.doubt(),
        None,
        "set right, and held against what the provider shows by now"
    );
    watch.on_provider_time("vault", clock.now().shifted(-7_200_000));
    let doubt = watch.doubt().expect("one of the two is wrong");
    assert_eq!(doubt.to_string(), "the wall clock is 2h ahead of the clock of vault");
    let advice = doubt.advice();
    for word in [
        "date -u",
        "NTP",
        "the clock of vault or of a proxy in front of it is wrong",
        "a restart does not help",
    ] {
        assert!(advice.contains(word), "{word}: {advice}");
    }
    assert_eq!(watch.set_by(), 0, "whose clock is wrong nobody knows");
}

#[test]
fn what_depends_on_an_age_is_asked_by_the_time_that_nobody_set() {
    let (clock, watch) = watch();
    let until = clock.now().plus(HOUR);
    let ask = |at: Timestamp| if at < until { Ok(()) } else { Err(()) };
    // Nobody has checked the clock since.
    set(&clock, 2 * 3_600_000);
    assert_eq!(watch.by_age(clock.now(), ask), Ok(()));
    clock.advance(HOUR);
    assert_eq!(watch.by_age(clock.now(), ask), Err(()), "an hour has gone by");
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_hears_of_suspends_and_of_steps_in_either_direction_and_of_nothing_else() {
    let (clock, watch) = watch();
    let shutdown = CancellationToken::new();
    let mut jumps = watch.follow();
    let running = tokio::spawn(Arc::clone(&watch).run(shutdown.clone()));
    let look = async || {
        for _ in 0..3 {
            tokio::time::sleep(LOOK_INTERVAL).await;
            clock.advance(LOOK_INTERVAL);
        }
    };
    look().await;
    assert!(!jumps.has_changed().expect("it watches"));
    let happenings: [&dyn Fn(); 3] = [&|| clock.advance(HOUR), &|| set(&clock, 6000), &|| {
        set(&clock, -25 * 3_600_000)
    }];
    for happens in happenings {
        happens();
        look().await;
        assert!(jumps.has_changed().expect("it watches"));
        jumps.mark_unchanged();
        look().await;
        assert!(!jumps.has_changed().expect("it watches"), "once");
    }
    shutdown.cancel();
    running.await.expect("it ends");
}
