use std::time::Duration;

use steadfast_backend::{Error, ErrorKind, Result, Ttl};

use crate::clock::{LAG, LAG_S, ServerClock};

/// The longest time to live that is not taken for a date: 30 days, in seconds.
const RELATIVE_MAX_S: u64 = 30 * 24 * 3_600;
/// Later dates wrap around, and what has one is gone at once.
const DATE_MAX_S: u64 = i32::MAX as u64;

/// What the server calls a deadline: 0 for none, seconds from now, or a date.
///
/// An entry dies as soon as the second that the server shows reaches its deadline. That second may
/// be [`LAG`] behind when the deadline is counted from it and exact when it ends the entry, so the
/// lag is added; nothing expires early.
pub(crate) fn on_the_wire(ttl: Option<Ttl>, clock: ServerClock) -> Result<u32> {
    let Some(ttl) = ttl else { return Ok(0) };
    let seconds = ttl.as_millis().div_ceil(1_000) + LAG_S;
    if seconds <= RELATIVE_MAX_S {
        return small(seconds);
    }
    // By the server's own clock: a date by the node's could be early.
    date((clock.latest_us() + ttl.as_millis() * 1_000).div_ceil(1_000_000))
}

/// The deadline that an entry had when the server answered that so many seconds were left of it.
pub(crate) fn restored(left_s: Option<u32>, clock: ServerClock) -> Result<u32> {
    match left_s.map(u64::from) {
        None => Ok(0),
        // 0 would mean for ever.
        Some(left_s) if left_s <= RELATIVE_MAX_S => small(left_s.max(1)),
        Some(left_s) => date(clock.latest_us().div_ceil(1_000_000) + left_s),
    }
}

/// What is surely left when the server answers with so many seconds: it counts them from a second
/// that may be [`LAG`] behind, and the answer took a while.
pub(crate) fn left(left_s: u32, took: Duration) -> Duration {
    Duration::from_secs(left_s.into()).saturating_sub(LAG).saturating_sub(took)
}

fn date(seconds: u64) -> Result<u32> {
    if seconds > DATE_MAX_S {
        let detail = "this deadline lies beyond January 2038, which is as far as Memcached \
                      counts; use a shorter TTL, or none";
        return Err(Error::new(ErrorKind::Invalid, detail));
    }
    small(seconds)
}

fn small(seconds: u64) -> Result<u32> {
    u32::try_from(seconds).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Within ten years of the end of Memcached's dates.
    const NOW_S: u64 = 2_000_000_000;

    fn clock() -> ServerClock {
        let now = Instant::now();
        ServerClock::shown(NOW_S, now, now)
    }

    fn wire(millis: u64) -> Result<u64> {
        let ttl = Ttl::new(Duration::from_millis(millis)).unwrap();
        on_the_wire(Some(ttl), clock()).map(u64::from)
    }

    #[test]
    fn short_ones_are_rounded_up_and_get_the_lag() {
        assert_eq!(on_the_wire(None, clock()).unwrap(), 0);
        for (millis, seconds) in [(1, 3), (999, 3), (1_000, 3), (1_001, 4), (60_000, 62)] {
            assert_eq!(wire(millis).unwrap(), seconds, "{millis} ms");
        }
        let days_30 = RELATIVE_MAX_S * 1_000;
        assert_eq!(wire(days_30 - 2_000).unwrap(), RELATIVE_MAX_S);
    }

    #[test]
    fn long_ones_are_dates_by_the_latest_time_it_may_be() {
        let days_30 = RELATIVE_MAX_S * 1_000;
        assert_eq!(wire(days_30 - 1_999).unwrap(), NOW_S + 2 + RELATIVE_MAX_S - 1);
        assert_eq!(wire(days_30 + 1).unwrap(), NOW_S + 2 + RELATIVE_MAX_S + 1);
    }

    #[test]
    fn a_date_that_would_wrap_around_is_refused() {
        assert_eq!(wire((DATE_MAX_S - NOW_S - 2) * 1_000).unwrap(), DATE_MAX_S);
        let error = wire((DATE_MAX_S - NOW_S - 1) * 1_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn what_is_left_is_never_overstated() {
        let took = Duration::from_millis(5);
        assert_eq!(left(62, took), Duration::from_millis(59_995));
        assert_eq!(left(1, took), Duration::ZERO);
    }

    #[test]
    fn a_deadline_is_restored_to_the_second() {
        assert_eq!(restored(None, clock()).unwrap(), 0);
        assert_eq!(restored(Some(7), clock()).unwrap(), 7);
        assert_eq!(restored(Some(0), clock()).unwrap(), 1);
        let year_s = 366 * 24 * 3_600;
        assert_eq!(
            u64::from(restored(Some(year_s), clock()).unwrap()),
            NOW_S + 2 + u64::from(year_s)
        );
    }
}
