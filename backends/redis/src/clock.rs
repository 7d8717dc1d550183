//! The server's time, as far as it is known without asking.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The server's time now, in µs since the Unix epoch: it is no earlier and no later than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) earliest_us: u64,
    pub(crate) latest_us: u64,
}

impl Moment {
    /// As the server has just said.
    pub(crate) fn exactly(now_us: u64) -> Self {
        Self { earliest_us: now_us, latest_us: now_us }
    }
}

/// Carries on what the server said last by this machine's monotonic clock, and notices when that
/// stood still: a machine that slept must ask again.
#[derive(Debug)]
pub(crate) struct ServerClock {
    started: Instant,
    /// Server time less time since `started`: as an upper bound and as a lower one.
    latest_us: AtomicI64,
    earliest_us: AtomicI64,
    /// Wall time less time since `started`, when the server was last asked.
    wall_ms: AtomicI64,
}

/// The wall clock and the monotonic one may drift apart that far between two questions.
const DRIFT_MS: u64 = 1_000;

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            latest_us: AtomicI64::new(0),
            earliest_us: AtomicI64::new(0),
            wall_ms: AtomicI64::new(i64::MIN / 2),
        }
    }

    /// The server said that it was `now_us` at some time between `asked` and now.
    pub(crate) fn learn(&self, now_us: u64, asked: Instant) {
        let now_us = i64::try_from(now_us).unwrap_or(i64::MAX);
        let asked_us = micros(asked.saturating_duration_since(self.started));
        let heard_us = micros(self.started.elapsed());
        self.latest_us.store(now_us - asked_us, Ordering::Relaxed);
        self.earliest_us.store(now_us - heard_us, Ordering::Relaxed);
        self.wall_ms.store(self.wall_lead_ms(), Ordering::Relaxed);
    }

    /// `None` if that can no longer be told.
    pub(crate) fn now(&self) -> Option<Moment> {
        let lead_ms = self.wall_lead_ms();
        if lead_ms.abs_diff(self.wall_ms.load(Ordering::Relaxed)) > DRIFT_MS {
            return None;
        }
        let elapsed_us = micros(self.started.elapsed());
        let at = |lead: &AtomicI64| {
            u64::try_from(lead.load(Ordering::Relaxed).saturating_add(elapsed_us)).unwrap_or(0)
        };
        Some(Moment { earliest_us: at(&self.earliest_us), latest_us: at(&self.latest_us) })
    }

    fn wall_lead_ms(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "compared with itself, to notice a sleep")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (micros(wall) - micros(self.started.elapsed())) / 1_000
    }
}

/// Saturates after 292,000 years.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_told_knows_nothing() {
        assert_eq!(ServerClock::new().now(), None);
    }

    #[test]
    fn the_truth_lies_between_the_bounds() {
        let clock = ServerClock::new();
        let asked = Instant::now();
        clock.learn(1_000_000, asked);
        let heard = Instant::now();
        let before = heard.elapsed();
        let now = clock.now().unwrap();
        let after = asked.elapsed();
        assert!(now.earliest_us >= 1_000_000 + u64::try_from(before.as_micros()).unwrap() - 1);
        assert!(now.latest_us <= 1_000_000 + u64::try_from(after.as_micros()).unwrap() + 1);
        assert!(now.earliest_us <= now.latest_us);
    }

    #[test]
    fn a_clock_that_stood_still_asks_again() {
        let clock = ServerClock::new();
        clock.learn(1_000_000, Instant::now());
        // As if the monotonic clock had lost two seconds.
        clock.wall_ms.fetch_sub(2_000, Ordering::Relaxed);
        assert_eq!(clock.now(), None);
    }
}
