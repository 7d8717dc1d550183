use std::time::Instant as Moment;

use steadfast_backend::{Condition, Error, Key, Result, Ttl, Version, Write, Written};
use tokio::time::Instant;

use crate::client::{Guard, Item, Stored};
use crate::server::Server;
use crate::{error, expiry, record};

/// How often a change is tried while others change the key between its trips.
const ATTEMPTS_MAX: usize = 16;

impl Server {
    /// Makes one change if its condition holds.
    pub(crate) async fn write(&self, write: &Write, deadline: Instant) -> Result<Written> {
        let mut present = None;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(guard) = guard(write, present)
                && let Some(version) = self.change(write, guard, deadline).await?
            {
                return Ok(Written::Applied { version });
            }
            let current = self.get(write.key(), deadline).await?;
            present = current.as_ref().map(|entry| entry.version);
            if !write.admits(present) {
                return Ok(Written::Refused { current });
            }
            if changes_nothing(write) {
                return Ok(Written::Applied { version: present });
            }
            // What was in the way is gone.
        }
        Err(error::contended())
    }

    /// The version that the key has after the change, which is none after a delete; `None` if the
    /// guard refused.
    async fn change(
        &self,
        write: &Write,
        guard: Guard,
        deadline: Instant,
    ) -> Result<Option<Option<Version>>> {
        match write {
            Write::Put { key, value, ttl, .. } => {
                Ok(self.put(key, value, *ttl, guard, deadline).await?.map(Some))
            }
            Write::Touch { key, ttl, .. } => {
                Ok(self.touch(key, *ttl, guard, deadline).await?.map(Some))
            }
            Write::Delete { key, .. } => {
                let (client, _) = self.link()?;
                let delete = client.delete(key.as_str(), guard, deadline);
                let deleted = self.trip(deadline, delete).await?;
                Ok(deleted.then_some(None))
            }
            Write::Check { .. } => Ok(None),
        }
    }

    async fn put(
        &self,
        key: &Key,
        value: &[u8],
        ttl: Option<Ttl>,
        guard: Guard,
        deadline: Instant,
    ) -> Result<Option<Version>> {
        let (client, clock) = self.link()?;
        let now = clock.at(Moment::now());
        let stored = Stored {
            format: record::FORMAT,
            deadline: expiry::on_the_wire(ttl, now)?,
            value: record::encode(value, now),
        };
        let set = client.set(key.as_str(), stored, guard, deadline);
        let cas = self.trip(deadline, set).await?;
        cas.map(record::version_of_cas).transpose()
    }

    /// Memcached compares nothing when it sets a deadline, so this looks first, and afterwards at
    /// what was touched. If a put came between, that entry gets its own deadline back.
    async fn touch(
        &self,
        key: &Key,
        ttl: Option<Ttl>,
        guard: Guard,
        deadline: Instant,
    ) -> Result<Option<Version>> {
        let (client, clock) = self.link()?;
        let wanted = |item: &Item| match guard {
            Guard::Cas(cas) => item.cas == cas,
            Guard::Absent | Guard::None => true,
        };
        if guard != Guard::None {
            let seen = self.trip(deadline, client.look(key.as_str(), deadline)).await?;
            if !seen.as_ref().is_some_and(wanted) {
                return Ok(None);
            }
        }
        let wire = expiry::on_the_wire(ttl, clock.at(Moment::now()))?;
        let touch = client.touch(key.as_str(), wire, deadline);
        let Some(touched) = self.trip(deadline, touch).await? else {
            return Ok(None);
        };
        match record::version(&touched) {
            Ok(version) if wanted(&touched) => Ok(Some(version)),
            other => {
                self.restore(key, touched, deadline).await?;
                other.map(|_| None)
            }
        }
    }

    /// Gives an item that was touched by mistake its deadline back.
    async fn restore(&self, key: &Key, mut touched: Item, deadline: Instant) -> Result<()> {
        let (client, clock) = self.link().map_err(Error::ambiguous)?;
        for _ in 0..ATTEMPTS_MAX {
            let before = expiry::restored(touched.left_s, clock.at(Moment::now()));
            let before = before.map_err(Error::ambiguous)?;
            let touch = client.touch(key.as_str(), before, deadline);
            match self.trip(deadline, touch).await? {
                // Yet another put came between, with another deadline.
                Some(other) if other.cas != touched.cas && other.left_s != touched.left_s => {
                    touched = other;
                }
                _ => return Ok(()),
            }
        }
        Err(error::contended().ambiguous())
    }
}

/// What the server must compare, where `present` is the version that was seen last; `None` to look
/// before anything is sent.
fn guard(write: &Write, present: Option<Version>) -> Option<Guard> {
    match (write, write.condition()) {
        (Write::Check { .. }, _)
        | (Write::Touch { .. } | Write::Delete { .. }, Condition::Absent) => None,
        (_, Condition::Always) | (Write::Touch { .. }, Condition::Present) => Some(Guard::None),
        (_, Condition::Absent) => Some(Guard::Absent),
        // The server could do it in one trip, and might overwrite what this backend cannot read.
        (_, Condition::Present) => present.map(|version| Guard::Cas(version.get())),
        (_, Condition::VersionIs(version)) => Some(Guard::Cas(version.get())),
    }
}

/// True if a look is all it takes.
fn changes_nothing(write: &Write) -> bool {
    match write {
        Write::Check { .. } => true,
        Write::Delete { only_if, .. } => *only_if == Condition::Absent,
        Write::Put { .. } | Write::Touch { .. } => false,
    }
}
