//! The mistakes of other breakers, one by one.

use super::super::window::{Count, Counts, Window};
use super::*;

use BreakerState::{Closed, HalfOpen, Open as Opened};

#[tokio::test(start_paused = true)]
async fn half_open_does_not_stick_when_a_probe_is_cancelled() {
    let breaker = opened();
    advance(SECOND).await;
    for _ in 0..1_000 {
        drop(permit(&breaker));
    }
    assert_eq!(breaker.state(), HalfOpen);
    succeed(&breaker, 7);
    assert_eq!(breaker.state(), Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_does_not_stick_when_a_probe_is_never_heard_of_again() {
    let breaker = opened();
    advance(SECOND).await;
    std::mem::forget(permit(&breaker));
    assert_eq!(refused(&breaker), TIMEOUT * 2, "its place is taken, until then");
    advance(TIMEOUT * 2).await;
    assert_eq!(refused(&breaker), SECOND * 2, "it has failed");
    advance(SECOND * 2).await;
    succeed(&breaker, 7);
    assert_eq!(breaker.state(), Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_is_not_flooded() {
    let breaker = opened();
    advance(SECOND).await;
    let admitted: Vec<_> = (0..10_000).filter_map(|_| breaker.admit().ok()).collect();
    assert_eq!(admitted.len(), 1);
    // What is given back is free again, and no more than that.
    drop(admitted);
    let admitted: Vec<_> = (0..10_000).filter_map(|_| breaker.admit().ok()).collect();
    assert_eq!(admitted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_success_from_before_the_opening_does_not_close_it() {
    let breaker = breaker();
    let early: Vec<_> = (0..100).map(|_| permit(&breaker)).collect();
    fail(&breaker, 20);
    advance(SECOND).await;
    let probe = permit(&breaker);
    early.into_iter().for_each(Permit::success);
    assert_eq!(breaker.state(), HalfOpen);
    probe.failure();
    assert_eq!(breaker.state(), Opened);
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_it_closed_does_not_open_it_again() {
    let breaker = breaker();
    let early: Vec<_> = (0..100).map(|_| permit(&breaker)).collect();
    fail(&breaker, 20);
    advance(SECOND).await;
    succeed(&breaker, 7);
    early.into_iter().for_each(Permit::failure);
    assert_eq!((breaker.state(), breaker.snapshot().calls), (Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_half_open_tells_nothing_of_this_one() {
    let breaker = opened();
    advance(SECOND).await;
    let forgotten = permit(&breaker);
    advance(TIMEOUT * 2).await;
    advance(refused(&breaker)).await;
    let probe = permit(&breaker);
    forgotten.success();
    assert!(breaker.admit().is_err(), "the first stage is still under way");
    probe.success();
    succeed(&breaker, 6);
    assert_eq!(breaker.state(), Closed);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_does_not_hide_a_hang() {
    for (took, expected) in [
        (TIMEOUT, Opened),                   // failed
        (TIMEOUT / 5, Opened),               // slow
        (Duration::from_millis(99), Closed), // nobody waits for so short a time
    ] {
        let breaker = breaker();
        let permits: Vec<_> = (0..20).map(|_| permit(&breaker)).collect();
        advance(took).await;
        drop(permits);
        assert_eq!(breaker.state(), expected, "cancelled after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let breaker = breaker();
    succeed(&breaker, 1_000_000);
    advance(SECOND * 5).await;
    fail(&breaker, 100);
    assert_eq!(breaker.state(), Closed, "most calls of the window were good");
    advance(SECOND * 5).await;
    fail(&breaker, 1);
    assert_eq!(breaker.state(), Opened, "none of the last ten seconds was");
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_window_does_not_count() {
    for (age, expected) in [(SECOND * 9, Opened), (SECOND * 10, Closed), (SECOND * 1_000, Closed)] {
        let breaker = breaker();
        fail(&breaker, 10);
        advance(age).await;
        fail(&breaker, 10);
        assert_eq!(breaker.state(), expected, "ten failures, and ten more after {age:?}");
    }
}

/// A bucket of a window of a day has hours to fill.
#[test]
fn no_counter_runs_over_into_another() {
    const GOOD: u64 = 1 << 24;
    const BAD: u64 = 1 << 20;
    let window = Window::new(u64::MAX);
    for (count, times) in [(Count::Good, GOOD), (Count::Failed, BAD), (Count::Slow, BAD)] {
        (0..times).for_each(|_| window.add(count, 0));
    }
    assert_eq!(window.sum(0), Counts { calls: GOOD + 2 * BAD, failed: BAD, slow: BAD });
}

#[tokio::test(start_paused = true)]
async fn what_never_got_there_tells_nothing() {
    let breaker = breaker();
    (0..1_000).for_each(|_| permit(&breaker).neutral());
    assert_eq!((breaker.state(), breaker.snapshot().calls), (Closed, 0));
    let breaker = opened();
    advance(SECOND).await;
    permit(&breaker).neutral();
    assert_eq!(breaker.state(), HalfOpen);
}
