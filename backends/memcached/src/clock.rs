use std::time::{Duration, Instant};

/// By how much the second that a server shows may be behind its clock.
///
/// Memcached looks at its clock from a timer, once a second, and keeps the whole seconds. The timer
/// runs a little slower than once a second, so the shown second is up to nearly two seconds old,
/// and every few minutes it skips one.
pub(crate) const LAG: Duration = Duration::from_secs(LAG_S);
pub(crate) const LAG_S: u64 = 2;

/// Two clocks drift apart by at most one part in a thousand: each may be slewed by half of that.
const DRIFT_DIVISOR: u64 = 1_000;

/// What is known of a server's clock at a moment: that it stood in between. In microseconds since
/// the Unix epoch.
///
/// The node's own wall clock has no part in it: it is read from the server, and carried on by the
/// node's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    at: Instant,
    earliest_us: u64,
    latest_us: u64,
}

impl ServerClock {
    /// The server showed this second at some moment between the two.
    pub(crate) fn shown(second: u64, asked: Instant, answered: Instant) -> Self {
        let earliest_us = second.saturating_mul(1_000_000);
        let latest_us = earliest_us + micros(LAG) + micros(answered.duration_since(asked));
        Self { at: answered, earliest_us, latest_us }
    }

    /// The clock at a later moment; less exactly known, since clocks drift.
    pub(crate) fn at(self, now: Instant) -> Self {
        let passed_us = micros(now.saturating_duration_since(self.at));
        let drift_us = passed_us / DRIFT_DIVISOR;
        Self {
            at: now,
            earliest_us: self.earliest_us + passed_us - drift_us,
            latest_us: self.latest_us + passed_us + drift_us,
        }
    }

    /// What is known after another look at the same clock. If the two cannot both be true, the
    /// server's clock was set, and the later look counts.
    pub(crate) fn and(self, later: Self) -> Self {
        let carried = self.at(later.at);
        let earliest_us = carried.earliest_us.max(later.earliest_us);
        let latest_us = carried.latest_us.min(later.latest_us);
        if earliest_us > latest_us {
            return later;
        }
        Self { at: later.at, earliest_us, latest_us }
    }

    /// It is no earlier than this.
    pub(crate) fn earliest_us(self) -> u64 {
        self.earliest_us
    }

    /// It is no later than this.
    pub(crate) fn latest_us(self) -> u64 {
        self.latest_us
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_shown_second_is_up_to_two_seconds_old() {
        let asked = Instant::now();
        let clock = ServerClock::shown(100, asked, asked + 3 * MS);
        assert_eq!((clock.earliest_us(), clock.latest_us()), (100_000_000, 102_003_000));
    }

    #[test]
    fn it_goes_on_with_the_node_s_monotonic_clock_and_gets_less_exact() {
        let asked = Instant::now();
        let clock = ServerClock::shown(100, asked, asked).at(asked + 10_000 * MS);
        assert_eq!((clock.earliest_us(), clock.latest_us()), (109_990_000, 112_010_000));
        // A moment before it was read counts as that moment.
        let clock = ServerClock::shown(100, asked, asked + 5 * MS).at(asked);
        assert_eq!(clock.earliest_us(), 100_000_000);
    }

    #[test]
    fn every_look_narrows_it() {
        let start = Instant::now();
        // The clock stands at 100.9, and the second is shown 1.3 s late; then 0.4 s late.
        let clock = ServerClock::shown(99, start, start);
        let later = start + 1_000 * MS;
        let clock = clock.and(ServerClock::shown(101, later, later));
        assert_eq!((clock.earliest_us(), clock.latest_us()), (101_000_000, 102_001_000));
        let later = later + 600 * MS;
        let clock = clock.and(ServerClock::shown(101, later, later));
        assert_eq!((clock.earliest_us(), clock.latest_us()), (101_599_400, 102_601_600));
    }

    #[test]
    fn the_later_look_counts_when_the_clock_was_set() {
        let start = Instant::now();
        let set = ServerClock::shown(5_000, start + MS, start + MS);
        for before in [100, 10_000] {
            let clock = ServerClock::shown(before, start, start).and(set);
            assert_eq!(clock.earliest_us(), 5_000_000_000);
        }
    }
}
