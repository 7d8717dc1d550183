//! What changes the state, and what does not.

use std::sync::{Arc, Mutex};

use super::*;

use BreakerState::{Closed, HalfOpen, Open as Opened};

#[tokio::test(start_paused = true)]
async fn it_opens_where_the_calls_go_too_badly() {
    // Good, failed and slow ones in the window, and what it is then.
    let table = [
        (0, 19, 0, Closed), // too few to tell
        (0, 20, 0, Opened),
        (10, 10, 0, Opened),
        (11, 10, 0, Closed),
        (0, 0, 19, Closed),
        (0, 0, 20, Opened),
        (5, 0, 20, Opened),
        (6, 0, 20, Closed),
        (1_000_000, 999_999, 0, Closed),
    ];
    for (good, failed, slow, expected) in table {
        let breaker = breaker();
        succeed(&breaker, good);
        fail(&breaker, failed);
        slowly(&breaker, slow, SLOW + Duration::from_millis(1)).await;
        assert_eq!(breaker.state(), expected, "{good} good, {failed} failed, {slow} slow");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_alone_never_opens_it() {
    let breaker = breaker();
    fail(&breaker, 19);
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), Closed, "19 of 20 failed, and the last one did not");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), Opened);
}

#[tokio::test(start_paused = true)]
async fn what_is_just_in_time_is_not_slow() {
    let breaker = breaker();
    slowly(&breaker, 20, SLOW).await;
    assert_eq!(breaker.snapshot().slow, 0);
}

#[tokio::test(start_paused = true)]
async fn it_lets_nothing_through_while_it_is_open_and_says_for_how_long() {
    let breaker = opened();
    assert_eq!(refused(&breaker), SECOND);
    advance(SECOND * 2 / 5).await;
    assert_eq!(refused(&breaker), SECOND * 3 / 5);
    assert_eq!(breaker.snapshot().retry_after, SECOND * 3 / 5);
    advance(SECOND * 3 / 5).await;
    assert_eq!(breaker.state(), Opened, "until somebody asks");
    let probe = permit(&breaker);
    assert_eq!(breaker.state(), HalfOpen);
    probe.success();
}

#[tokio::test(start_paused = true)]
async fn it_closes_after_one_then_two_then_four_good_calls_with_an_empty_window() {
    let breaker = opened();
    advance(SECOND).await;
    for stage in [1, 2, 4] {
        let probes: Vec<_> = (0..stage).map(|_| permit(&breaker)).collect();
        assert!(breaker.admit().is_err(), "one more than {stage}");
        for probe in probes {
            assert_eq!(breaker.state(), HalfOpen);
            probe.success();
        }
    }
    assert_eq!(breaker.state(), Closed);
    assert_eq!(breaker.snapshot().calls, 0);
    fail(&breaker, 19);
    assert_eq!(breaker.state(), Closed, "what was before is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_or_is_slow_opens_it_again() {
    for stage in [0, 1, 3] {
        for slow in [false, true] {
            let breaker = opened();
            advance(SECOND).await;
            succeed(&breaker, stage);
            let probe = permit(&breaker);
            if slow {
                advance(SLOW + Duration::from_millis(1)).await;
                probe.success();
            } else {
                probe.failure();
            }
            assert_eq!(breaker.state(), Opened, "after {stage} good probes; slow: {slow}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_twice_as_long_each_time_up_to_the_most() {
    let breaker = opened();
    let times = open_times(&breaker, 7).await;
    assert_eq!(times, [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn the_growth_is_forgotten_only_when_it_was_closed_for_as_long() {
    for (calm, expected) in [(SECOND * 3, SECOND * 8), (SECOND * 4, SECOND)] {
        let breaker = opened();
        // The last one was for 4 seconds.
        open_times(&breaker, 2).await;
        advance(refused(&breaker)).await;
        succeed(&breaker, 7);
        assert_eq!(breaker.state(), Closed);
        advance(calm).await;
        fail(&breaker, 20);
        assert_eq!(refused(&breaker), expected, "after {calm:?} of calm");
    }
}

#[tokio::test(start_paused = true)]
async fn the_open_time_varies_by_a_fifth() {
    let mut times = Vec::new();
    for _ in 0..200 {
        let breaker = Breaker::new(BreakerConfig::default()).unwrap();
        fail(&breaker, 20);
        times.push(refused(&breaker));
    }
    assert!(times.iter().all(|time| (SECOND * 4 / 5..=SECOND * 6 / 5).contains(time)));
    assert!(times.iter().any(|time| *time != times[0]));
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_in_their_order_and_outside_of_any_lock() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sink, this) = (Arc::clone(&told), Arc::new(Mutex::new(None::<Arc<Breaker>>)));
    let own = Arc::clone(&this);
    let config = config().on_change(move |change| {
        sink.lock().unwrap().push((change.from, change.to, change.generation));
        // A hook that asks the breaker must not wait for itself.
        let breaker = own.lock().unwrap().clone().unwrap();
        assert_eq!(breaker.snapshot().state, change.to);
        let _ = breaker.admit().map(Permit::neutral);
    });
    let breaker = Arc::new(Breaker::new(config).unwrap());
    *this.lock().unwrap() = Some(Arc::clone(&breaker));
    fail(&breaker, 20);
    advance(SECOND).await;
    succeed(&breaker, 7);
    let expected = [(Closed, Opened, 1), (Opened, HalfOpen, 2), (HalfOpen, Closed, 3)];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_a_reason() {
    let bad = [
        (config().window(Duration::ZERO), "1 ms"),
        (config().timeout(Duration::MAX), "1 day"),
        (config().open(SECOND * 2, SECOND), "up to its max"),
        (config().failure_rate(0.0), "failure_rate"),
        (config().slow_rate(1.1), "slow_rate"),
        (config().failure_rate(f64::NAN), "failure_rate"),
        (config().calls_min(0), "calls_min"),
        (config().probes(&[]), "probes"),
        (config().probes(&[1, 0]), "probes"),
    ];
    for (config, word) in bad {
        let error = Breaker::new(config).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}
