use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

/// One stored value, as the store answered it.
///
/// `age` and `left` are measured on the store's clock, so that no promise depends on two nodes'
/// clocks agreeing. `Debug` shows the value's length, never its bytes.
///
/// ```
/// use std::time::Duration;
/// use steadfast_backend::{Bytes, Entry, Version};
///
/// let entry = Entry {
///     value: Bytes::from_static(b"secret"),
///     version: Version::new(7).unwrap(),
///     written_us: 1_700_000_000_000_000,
///     age: Duration::from_secs(2),
///     left: Some(Duration::from_secs(58)),
/// };
/// assert!(!format!("{entry:?}").contains("secret"));
/// assert_eq!(entry.now_us(), 1_700_000_002_000_000);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes as they were put.
    pub value: Bytes,
    /// The version that the last put made.
    pub version: Version,
    /// When the value was written, in microseconds since the Unix epoch on the store's clock. With
    /// `age` it is off by no more than
    /// [`Capabilities::ttl_step`](crate::Capabilities::ttl_step).
    pub written_us: u64,
    /// Time since the value was written; a touch does not reset it. Never overstated.
    pub age: Duration,
    /// Time to live, never overstated; `None` if the entry does not expire.
    pub left: Option<Duration>,
}

impl Entry {
    /// The store's time when it answered with this entry, in microseconds since the Unix epoch:
    /// as late as the store can tell, and never later than it was.
    pub fn now_us(&self) -> u64 {
        let age_us = u64::try_from(self.age.as_micros()).unwrap_or(u64::MAX);
        self.written_us.saturating_add(age_us)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("value", &format_args!("{} bytes", self.value.len()))
            .field("version", &self.version)
            .field("written_us", &self.written_us)
            .field("age", &self.age)
            .field("left", &self.left)
            .finish()
    }
}

/// The number of a write: strictly increasing per key and never reused, across delete and
/// re-create too, as long as the store has not lost its data.
///
/// It is the compare-and-set token, the fencing token, the order of cached copies and the `ETag`.
/// Most backends make it from the store's clock: microseconds since the Unix epoch, at least the
/// previous + 1.
///
/// ```
/// use steadfast_backend::Version;
///
/// let version = Version::new(41).unwrap();
/// assert_eq!(version.get(), 41);
/// assert!(Version::new(0).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

impl Version {
    /// Older than the version of anything that is stored.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// The version with this number; `None` for zero.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}
