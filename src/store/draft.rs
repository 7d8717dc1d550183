use std::fmt;
use std::time::Duration;

use crate::backend::{Result, Ttl};

use super::Limit;
use super::typed::Unwrapped;

/// A record as a closure of [`Store::update_with`](super::Store::update_with) gets and leaves it.
/// `Debug` does not show the value.
#[non_exhaustive]
pub struct Draft<T> {
    /// The value; `None` if there is none, or if it is to be removed.
    pub value: Option<T>,
    /// What becomes of the record's time to live: [`Keep`](TtlChange::Keep), unless the closure
    /// says otherwise.
    pub ttl: TtlChange,
    /// Time since the record was written, on the store's clock; `None` if there is none.
    pub age: Option<Duration>,
    /// Time to live that is left to it, never overstated; `None` if it does not expire, or if there
    /// is none.
    pub left: Option<Duration>,
}

/// What a change does to a record's time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlChange {
    /// The record ends when it would have ended, whatever the change takes. A record without an
    /// end, and a new one, have none.
    #[default]
    Keep,
    /// It lives for so long from now.
    Set(Ttl),
    /// It lives until it is removed.
    Remove,
}

impl TtlChange {
    /// A time to live from now, or none.
    pub(super) fn from_now(ttl: Option<Ttl>) -> Self {
        ttl.map_or(Self::Remove, Self::Set)
    }

    /// For a record that was found so: its time to live, and the end that it keeps.
    pub(super) fn over(self, found: Option<&Unwrapped>) -> Result<(Option<Ttl>, Option<Limit>)> {
        match self {
            Self::Set(ttl) => Ok((Some(ttl), None)),
            Self::Remove => Ok((None, None)),
            Self::Keep => {
                let Some((end, left)) = found.and_then(Unwrapped::end) else {
                    return Ok((None, None));
                };
                Ok((Some(Ttl::new(left.max(SHORTEST))?), Some(end)))
            }
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(1);

impl<T> fmt::Debug for Draft<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("ttl", &self.ttl)
            .field("age", &self.age)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
