use std::fmt;
use std::time::Duration;

use crate::backend::Version;

use super::envelope::Limit;

/// A stored value with what the store says of it. `Debug` does not show the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// The value.
    pub value: T,
    /// The version of the write that made it.
    pub version: Version,
    /// Time since it was written, on the store's clock.
    pub age: Duration,
    /// Time to live, never overstated; `None` if it does not expire.
    pub left: Option<Duration>,
    /// Time to its absolute deadline, whatever touches and updates do; `None` if it has none.
    pub limit_left: Option<Duration>,
    /// The absolute deadline itself, to be carried over to the next write of this record.
    pub(crate) limit: Option<Limit>,
}

impl<T> fmt::Debug for Record<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("version", &self.version)
            .field("age", &self.age)
            .field("left", &self.left)
            .field("limit_left", &self.limit_left)
            .finish_non_exhaustive()
    }
}
