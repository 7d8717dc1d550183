//! What a write does to a group, and what its caller is told once the group is committed.

use steadfast_backend::{StoreClock, Transacted, Version, Write, Written};

use crate::Fault;
use crate::frame::Record;
use crate::group::Group;

/// How one write ended within its group.
pub(crate) enum Decided {
    Applied(Option<Version>),
    Refused(Option<Record>),
}

impl Decided {
    /// The answer, at the time when it is given: what expired meanwhile is not shown.
    pub(crate) fn answer(self, now_us: u64) -> Written {
        match self {
            Self::Applied(version) => Written::Applied { version },
            Self::Refused(record) => {
                Written::Refused { current: record.and_then(|record| record.into_entry(now_us)) }
            }
        }
    }

    /// What a commit that failed means for this write: a refused one was certainly not applied.
    pub(crate) fn failed(&self, fault: &Fault) -> Fault {
        match self {
            Self::Applied(_) => fault.clone(),
            Self::Refused(_) => fault.clone().sure(),
        }
    }
}

/// How a transaction ended within its group.
pub(crate) enum DecidedAll {
    Applied(Vec<Option<Version>>),
    Refused(usize, Option<Record>),
}

impl DecidedAll {
    pub(crate) fn answer(self, now_us: u64) -> Transacted {
        match self {
            Self::Applied(versions) => Transacted::Applied { versions },
            Self::Refused(index, record) => {
                let current = record.and_then(|record| record.into_entry(now_us));
                Transacted::Refused { index, current }
            }
        }
    }

    pub(crate) fn failed(&self, fault: &Fault) -> Fault {
        match self {
            Self::Applied(_) => fault.clone(),
            Self::Refused(..) => fault.clone().sure(),
        }
    }
}

impl Group {
    /// Makes one change if its condition holds.
    pub(crate) fn write(&mut self, write: Write, clock: &StoreClock) -> Result<Decided, Fault> {
        let now_us = clock.now_us();
        let live = self.live(write.key(), now_us)?;
        if !write.admits(live.map(|record| record.version)) {
            return Ok(Decided::Refused(live.cloned()));
        }
        self.change(write, clock, now_us).map(Decided::Applied)
    }

    /// Makes all changes if all conditions hold of the state before.
    pub(crate) fn transact(
        &mut self,
        writes: Vec<Write>,
        clock: &StoreClock,
    ) -> Result<DecidedAll, Fault> {
        let now_us = clock.now_us();
        for (index, write) in writes.iter().enumerate() {
            let live = self.live(write.key(), now_us)?;
            if !write.admits(live.map(|record| record.version)) {
                return Ok(DecidedAll::Refused(index, live.cloned()));
            }
        }
        let changed = writes.into_iter().map(|write| self.change(write, clock, now_us));
        changed.collect::<Result<_, _>>().map(DecidedAll::Applied)
    }

    /// Makes a change that was admitted. All keys were found readable before, so that a
    /// transaction cannot fail half way.
    fn change(
        &mut self,
        write: Write,
        clock: &StoreClock,
        now_us: u64,
    ) -> Result<Option<Version>, Fault> {
        let deadline_us = write
            .ttl()
            .map_or(0, |ttl| now_us.saturating_add(ttl.as_millis().saturating_mul(1_000)));
        let (key, record) = match write {
            Write::Put { key, value, .. } => {
                (key, Some(Record { version: clock.next_version(), deadline_us, value }))
            }
            Write::Touch { key, .. } => {
                let live = self.live(&key, now_us)?.cloned();
                (key, live.map(|record| Record { deadline_us, ..record }))
            }
            Write::Delete { key, .. } => (key, None),
            Write::Check { key, .. } => {
                return Ok(self.live(&key, now_us)?.map(|record| record.version));
            }
        };
        let version = record.as_ref().map(|record| record.version);
        self.set(key, record);
        Ok(version)
    }
}
