use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Version;

/// Where an in-process backend reads the time from; tests bring a [`ManualClock`].
pub trait Clock: Debug + Send + Sync + 'static {
    /// Microseconds since the Unix epoch. A store's clock never goes back while it is open.
    fn now_us(&self) -> u64;
}

/// The wall clock as it was at the start, carried on by the monotonic clock: a step of the wall
/// clock neither expires nor revives anything. While the machine sleeps, it may stand still.
///
/// ```
/// use steadfast_backend::{Clock, SystemClock};
///
/// let clock = SystemClock::start();
/// assert!(clock.now_us() <= clock.now_us());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    wall_at_start: Duration,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall clock once. A wall clock before 1970 counts as 1970.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that others inject")]
        let wall = SystemTime::now();
        Self {
            wall_at_start: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        micros(self.wall_at_start + self.started.elapsed())
    }
}

/// A clock that moves only when told to. Clones share the same time.
///
/// ```
/// use std::time::Duration;
/// use steadfast_backend::{Clock, ManualClock};
///
/// let clock = ManualClock::at_us(1_000);
/// clock.advance(Duration::from_millis(1));
/// assert_eq!(clock.now_us(), 2_000);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Starts at a number of microseconds since the Unix epoch.
    pub fn at_us(now_us: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_us)))
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The store time of an in-process backend: a [`Clock`] that starts no earlier than the last time
/// the store saw, and the source of its [`Version`]s.
///
/// ```
/// use steadfast_backend::{ManualClock, StoreClock};
///
/// // The machine's clock was set back while the store was closed: time goes on from the floor.
/// let clock = StoreClock::new(ManualClock::at_us(5), 1_000);
/// assert_eq!(clock.now_us(), 1_000);
/// assert!(clock.next_version() < clock.next_version());
/// assert!(clock.floor_us() > clock.now_us()); // versions ran ahead of the time
/// ```
#[derive(Debug)]
pub struct StoreClock {
    clock: Box<dyn Clock>,
    /// How far the floor was ahead of the clock at the start.
    lead_us: u64,
    last_version: AtomicU64,
}

impl StoreClock {
    /// Goes on from `floor_us`, the latest time or version the store has recorded (0: none).
    pub fn new(clock: impl Clock, floor_us: u64) -> Self {
        let lead_us = floor_us.saturating_sub(clock.now_us());
        Self { clock: Box::new(clock), lead_us, last_version: AtomicU64::new(floor_us) }
    }

    /// The store's time: microseconds since the Unix epoch.
    pub fn now_us(&self) -> u64 {
        self.clock.now_us().saturating_add(self.lead_us)
    }

    /// The latest time or version given out until now: what a durable store records, to go on from
    /// it when it is opened again.
    pub fn floor_us(&self) -> u64 {
        self.now_us().max(self.last_version.load(Ordering::SeqCst))
    }

    /// A version that no write of this store has had: the store's time, or the last version + 1.
    pub fn next_version(&self) -> Version {
        let now_us = self.now_us();
        let next = |last: u64| now_us.max(last.saturating_add(1));
        let last = self
            .last_version
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        // The closure always answers `Some`, so both arms carry the value it was given.
        let last = last.unwrap_or_else(|last| last);
        Version::new(next(last)).unwrap_or(MIN_VERSION)
    }
}

const MIN_VERSION: Version = match Version::new(1) {
    Some(version) => version,
    None => unreachable!(),
};

/// Saturates in the year 586,000.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
