use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// A time to live: whole milliseconds, from 1 ms to [`Ttl::MAX`].
///
/// A finer duration is rounded **up**, so that nothing expires early because of rounding.
///
/// ```
/// use std::time::Duration;
/// use steadfast_backend::Ttl;
///
/// assert_eq!(Ttl::new(Duration::from_micros(1_001))?.as_millis(), 2);
/// assert!(Ttl::new(Duration::ZERO).is_err());
/// assert!(Ttl::new(Ttl::MAX.as_duration() + Duration::from_millis(1)).is_err());
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u64);

impl Ttl {
    /// The longest time to live: ten years of 366 days. Keep longer-lived data without a TTL.
    pub const MAX: Self = Self(3_660 * 24 * 3_600 * 1_000);

    /// Rounds a duration up to whole milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for zero and for more than [`Ttl::MAX`].
    pub fn new(duration: Duration) -> Result<Self> {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        match u64::try_from(millis) {
            Ok(millis) if millis > 0 && millis <= Self::MAX.0 => Ok(Self(millis)),
            _ => {
                let detail = format!(
                    "a TTL is 1 ms to {} ms (ten years), not {millis} ms; leave the TTL out for \
                     data that must not expire",
                    Self::MAX.0
                );
                Err(Error::new(ErrorKind::Invalid, detail))
            }
        }
    }

    /// The number of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same span as a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}
