//! When to try again to connect.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(50);
/// Short enough that a server that is back is in use again within two seconds.
const LONGEST: Duration = Duration::from_millis(500);
/// A wrong password does not become right by being repeated, and may lock the account.
pub(crate) const REJECTED: Duration = Duration::from_secs(5);
/// A connection that lived for less is counted as one more failure.
const SETTLED: Duration = Duration::from_secs(5);

/// Pauses of random length up to a bound that grows ("full jitter"), so that many clients of a
/// server that comes back do not all come at once.
#[derive(Debug)]
pub(crate) struct Pace {
    failures: u32,
    due: Instant,
    connected: Option<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { failures: 0, due: Instant::now(), connected: None }
    }

    /// Whether an attempt may be made now.
    pub(crate) fn is_due(&mut self) -> bool {
        if let Some(connected) = self.connected.take() {
            if connected.elapsed() >= SETTLED {
                self.failures = 0;
            } else {
                self.pause();
            }
        }
        Instant::now() >= self.due
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn connected(&mut self) {
        self.connected = Some(Instant::now());
    }

    pub(crate) fn failed(&mut self, rejected: bool) {
        self.pause();
        if rejected {
            self.due = Instant::now() + REJECTED;
        }
    }

    fn pause(&mut self) {
        let bound = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now() + bound.mul_f64(random());
    }
}

/// A number from 0 to 1.
fn random() -> f64 {
    let number = RandomState::new().build_hasher().finish();
    #[expect(clippy::cast_precision_loss, reason = "chance needs no precision")]
    let share = number as f64 / u64::MAX as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_after(failures: u32) -> Duration {
        let mut pace = Pace::new();
        for _failure in 0..failures {
            pace.failed(false);
        }
        pace.due().saturating_duration_since(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_bound_and_are_spread() {
        let longest = |failures| (0..200).map(|_| pause_after(failures)).max().unwrap();
        assert!(longest(1) <= FIRST);
        assert!(longest(3) > FIRST && longest(3) <= FIRST * 4);
        assert!(longest(30) > LONGEST / 2 && longest(30) <= LONGEST);
        let shortest = (0..200).map(|_| pause_after(30)).min().unwrap();
        assert!(shortest < LONGEST / 4, "{shortest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_attempt_after_a_long_life_is_made_at_once() {
        let mut pace = Pace::new();
        pace.failed(false);
        pace.connected();
        tokio::time::advance(SETTLED).await;
        assert!(pace.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_die_young_are_not_a_storm() {
        let mut pace = Pace::new();
        for _life in 0..100 {
            pace.connected();
            let _ = pace.is_due();
        }
        assert_eq!(pace.failures, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_login_is_not_repeated_soon() {
        let mut pace = Pace::new();
        pace.failed(true);
        tokio::time::advance(REJECTED / 2).await;
        assert!(!pace.is_due());
    }
}
