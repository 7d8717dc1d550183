//! What writes do to a group, and what their caller is told once the group is committed.

use steadfast_backend::{StoreClock, Transacted, Version, Write, Written};

use crate::Fault;
use crate::frame::Record;
use crate::group::Group;

/// How a transaction ended within its group. A write alone is a transaction of one.
pub(crate) enum Decided {
    /// The version that each key has now.
    Applied(Vec<Option<Version>>),
    /// Which write was not admitted, and what stood in its way.
    Refused(usize, Option<Record>),
}

impl Decided {
    /// The same if the group was committed. A fault means less for what was refused: that was
    /// certainly not applied.
    pub(crate) fn committed(self, fate: &Result<(), Fault>) -> Result<Self, Fault> {
        match (fate, &self) {
            (Ok(()), _) => Ok(self),
            (Err(fault), Self::Applied(_)) => Err(fault.clone()),
            (Err(fault), Self::Refused(..)) => Err(fault.clone().sure()),
        }
    }

    /// The answer, at the time when it is given: what expired meanwhile is not shown.
    pub(crate) fn transacted(self, now_us: u64) -> Transacted {
        match self {
            Self::Applied(versions) => Transacted::Applied { versions },
            Self::Refused(index, record) => {
                let current = record.and_then(|record| record.into_entry(now_us));
                Transacted::Refused { index, current }
            }
        }
    }

    /// The answer to a write alone.
    pub(crate) fn written(self, now_us: u64) -> Written {
        match self.transacted(now_us) {
            Transacted::Applied { versions } => {
                Written::Applied { version: versions.into_iter().next().flatten() }
            }
            Transacted::Refused { current, .. } => Written::Refused { current },
        }
    }
}

impl Group {
    /// Makes all changes if all conditions hold of the state before.
    pub(crate) fn decide(
        &mut self,
        writes: &[Write],
        clock: &StoreClock,
    ) -> Result<Decided, Fault> {
        let now_us = clock.now_us();
        for (index, write) in writes.iter().enumerate() {
            let live = self.live(write.key(), now_us)?;
            if !write.admits(live.map(|record| record.version)) {
                return Ok(Decided::Refused(index, live.cloned()));
            }
        }
        if writes.iter().any(|write| matches!(write, Write::Put { .. } | Write::Touch { .. })) {
            self.check_room()?;
        }
        let changed = writes.iter().map(|write| self.change(write, clock, now_us));
        changed.collect::<Result<_, _>>().map(Decided::Applied)
    }

    /// Makes a change that was admitted. All keys were found readable before, so that a
    /// transaction cannot fail half way.
    fn change(
        &mut self,
        write: &Write,
        clock: &StoreClock,
        now_us: u64,
    ) -> Result<Option<Version>, Fault> {
        let deadline_us = write
            .ttl()
            .map_or(0, |ttl| now_us.saturating_add(ttl.as_millis().saturating_mul(1_000)));
        let key = write.key();
        let record = match write {
            Write::Put { value, .. } => {
                Some(Record { version: clock.next_version(), deadline_us, value: value.clone() })
            }
            Write::Touch { .. } => {
                let live = self.live(key, now_us)?.cloned();
                live.map(|record| Record { deadline_us, ..record })
            }
            Write::Delete { .. } => None,
            Write::Check { .. } => {
                return Ok(self.live(key, now_us)?.map(|record| record.version));
            }
        };
        let version = record.as_ref().map(|record| record.version);
        self.set(key.clone(), record);
        Ok(version)
    }
}
