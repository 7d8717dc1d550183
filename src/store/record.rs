use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Result, Ttl, Version};
use crate::{State, schema};

use super::envelope::Limit;
use super::{Codec, Freshness};

/// A stored value with what the store says of it. `Debug` does not show the value.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<T> {
    /// The value.
    pub value: T,
    /// The version of the write that made it.
    pub version: Version,
    /// Time since it was written, on the store's clock.
    pub age: Duration,
    /// Time to live, never overstated; `None` if it does not expire.
    pub left: Option<Duration>,
    /// How long ago, at most, the store had it so.
    pub freshness: Freshness,
}

impl<T> fmt::Debug for Record<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("version", &self.version)
            .field("age", &self.age)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The library's own part of a record, before the user's value.
pub(crate) trait Head: Serialize + DeserializeOwned {
    /// Kind in the high byte, version in the low one.
    const LAYOUT: u16;
}

/// A record of the library's. The value is decoded when it is asked for: not every reader needs
/// it, and not every record has one.
#[derive(Clone)]
pub(crate) struct Opened<H> {
    pub(crate) head: H,
    pub(super) codec: Codec,
    pub(super) value: Bytes,
    pub(crate) version: Version,
    pub(crate) written_us: u64,
    /// The store's time when it was read, as early as that may have been.
    pub(crate) now_us: u64,
    pub(crate) age: Duration,
    pub(crate) left: Option<Duration>,
    /// Time to its absolute deadline, whatever touches and updates do; `None` if it has none.
    pub(crate) limit_left: Option<Duration>,
    pub(crate) carried: Carried,
}

impl<H> Opened<H> {
    /// # Errors
    ///
    /// `Corrupt` if it is not a `T` of a version that this build reads.
    pub(crate) fn value<T: State>(&self) -> Result<T> {
        schema::read(self.codec, self.carried.schema, &self.value)
    }
}

/// What the next write of a record takes over from the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    /// The absolute deadline.
    pub(crate) limit: Option<Limit>,
    /// The version its value has: it is not written under an earlier one again.
    pub(super) schema: u16,
}

impl<H> Opened<H> {
    /// The library's own part, and the rest.
    pub(crate) fn take(self) -> (H, Opened<()>) {
        let (rest, head) = self.replace(());
        (head, rest)
    }

    fn replace<N>(self, head: N) -> (Opened<N>, H) {
        let Self {
            head: old,
            codec,
            value,
            version,
            written_us,
            now_us,
            age,
            left,
            limit_left,
            carried,
        } = self;
        let new = Opened {
            head,
            codec,
            value,
            version,
            written_us,
            now_us,
            age,
            left,
            limit_left,
            carried,
        };
        (new, old)
    }
}

impl Opened<()> {
    pub(crate) fn with<H>(self, head: H) -> Opened<H> {
        self.replace(head).0
    }
}

impl Carried {
    /// For a new record whose life is limited.
    pub(crate) fn limited(limit: Limit) -> Self {
        Self { limit: Some(limit), schema: 0 }
    }

    /// The same, with a life that begins with the write that carries it.
    pub(crate) fn limited_anew(self, life: Ttl) -> Self {
        Self { limit: Some(Limit::from_now(life)), ..self }
    }
}
