mod bugs;
mod model;
mod transitions;

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{Breaker, BreakerConfig, BreakerState, Open, Permit};

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_millis(250);

/// Without chance: open times are exact.
fn config() -> BreakerConfig {
    BreakerConfig::default().timeout(TIMEOUT).slow_after(SLOW).chance(|| 200)
}

fn breaker() -> Breaker {
    Breaker::new(config()).unwrap()
}

fn permit(breaker: &Breaker) -> Permit<'_> {
    breaker.admit().unwrap()
}

fn succeed(breaker: &Breaker, calls: u32) {
    (0..calls).for_each(|_| permit(breaker).success());
}

fn fail(breaker: &Breaker, calls: u32) {
    (0..calls).for_each(|_| permit(breaker).failure());
}

/// Calls that take so long, one beside the other.
async fn slowly(breaker: &Breaker, calls: u32, took: Duration) {
    let permits: Vec<_> = (0..calls).map(|_| permit(breaker)).collect();
    advance(took).await;
    permits.into_iter().for_each(Permit::success);
}

/// A breaker that has just opened.
fn opened() -> Breaker {
    let breaker = breaker();
    fail(&breaker, 20);
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

fn refused(breaker: &Breaker) -> Duration {
    let Open { retry_after } = breaker.admit().map(drop).unwrap_err();
    retry_after
}

/// Opens again and again without a success, and tells for how long each time.
async fn open_times(breaker: &Breaker, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        let left = refused(breaker);
        advance(left).await;
        times.push(started.elapsed());
        permit(breaker).failure();
    }
    times
}
