use std::fmt;

use crate::State;
use crate::backend::{Condition, Entry, Key, Result, Version, Write, Written};
use crate::store;

use super::record::{ClaimRecord, Phase};
use super::{Fingerprint, Idempotency};

/// Each round moves the record on; a holder meets its own renewals, a successor, or nothing.
const ROUNDS_MAX: usize = 8;

/// The right to execute, as long as the lease lasts. Dropping it leaves the key to lapse.
pub struct Claim<A> {
    pub(super) idempotency: Idempotency<A>,
    pub(super) key: Key,
    pub(super) effect_id: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) owner: [u8; 16],
    pub(super) attempt: u16,
    pub(super) fence: Version,
    /// The version of our last write: what every further write depends on.
    pub(super) version: Version,
}

/// How [`Claim::complete`] ended.
#[derive(Debug)]
#[must_use = "a fenced holder must serve the winner's answer, not its own"]
pub enum Completion<A> {
    /// The answer is kept; every retry gets it.
    Completed,
    /// The lease was lost and somebody else took over: what this holder did does not count.
    Fenced {
        /// The answer of the one who took over, if it is there already.
        winner: Option<A>,
    },
}

/// How [`Claim::renew`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a holder that lost its lease should stop"]
pub enum Renewal {
    /// The lease runs anew from now.
    Renewed,
    /// The claim is somebody else's, or gone.
    Lost,
}

impl<A: State> Claim<A> {
    /// A name for what this execution makes, the same for every attempt at this key: derive order
    /// numbers and downstream idempotency keys from it, and a second execution makes nothing new.
    pub fn effect_id(&self) -> String {
        self.effect_id.clone()
    }

    /// 1 for the first holder, +1 for each take-over.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// The fencing token: greater for each later holder of this key. A resource that refuses a
    /// smaller token than it has seen is safe from holders that lost their lease.
    pub fn fence(&self) -> Version {
        self.fence
    }

    /// Keeps the answer for all retries. One trip. It may be repeated, for instance after an
    /// error: an answer that is already kept is not kept twice. A claim whose record the store
    /// has lost is completed all the same, unless somebody else has begun anew.
    ///
    /// # Errors
    ///
    /// What the store says; the answer may be kept or not.
    pub async fn complete(&self, answer: &A) -> Result<Completion<A>> {
        let record = self.record(Phase::Completed { answer });
        let mut only_if = Condition::VersionIs(self.version);
        for _round in 0..ROUNDS_MAX {
            let current = match self.idempotency.put(&self.key, &record, only_if).await? {
                Written::Applied { .. } => return Ok(Completion::Completed),
                Written::Refused { current } => current,
            };
            let Some(entry) = current else {
                only_if = Condition::Absent;
                continue;
            };
            let (mine, phase) = self.read(&entry)?;
            match phase {
                Some(Phase::Completed { .. }) if mine => return Ok(Completion::Completed),
                Some(Phase::Completed { answer }) => {
                    return Ok(Completion::Fenced { winner: Some(answer) });
                }
                // A renewal of ours whose reply was lost.
                Some(Phase::Running { .. }) if mine => {
                    only_if = Condition::VersionIs(entry.version);
                }
                _ => return Ok(Completion::Fenced { winner: None }),
            }
        }
        Err(store::contended())
    }

    /// Lets the lease run anew from now. Call it well before the lease is over, for instance each
    /// third of it. One trip.
    ///
    /// # Errors
    ///
    /// What the store says; an error is not a loss, so try again while the lease lasts.
    pub async fn renew(&mut self) -> Result<Renewal> {
        let record = self.record(self.idempotency.running());
        let mut only_if = Condition::VersionIs(self.version);
        for _round in 0..ROUNDS_MAX {
            match self.idempotency.put(&self.key, &record, only_if).await? {
                Written::Applied { version } => {
                    self.version = version.unwrap_or(self.version);
                    return Ok(Renewal::Renewed);
                }
                Written::Refused { current: Some(entry) } => match self.read(&entry)? {
                    (true, Some(Phase::Running { .. })) => {
                        only_if = Condition::VersionIs(entry.version);
                    }
                    _ => return Ok(Renewal::Lost),
                },
                Written::Refused { current: None } => return Ok(Renewal::Lost),
            }
        }
        Err(store::contended())
    }

    /// Gives the key back as if it had never been claimed: only when nothing was executed. One
    /// trip. If the lease was lost meanwhile, nothing changes.
    ///
    /// # Errors
    ///
    /// What the store says; the claim then lapses by itself.
    pub async fn release(self) -> Result<()> {
        let delete = Write::delete(self.key.clone());
        let delete = delete.only_if(Condition::VersionIs(self.version));
        // Refused means that it is not ours any more, and then there is nothing to give back.
        self.idempotency.store.write(delete).await.map(|_written| ())
    }

    fn record<'a>(&self, phase: Phase<&'a A>) -> ClaimRecord<&'a A> {
        ClaimRecord {
            owner: self.owner,
            fingerprint: self.fingerprint.0,
            attempt: self.attempt,
            phase,
        }
    }

    /// Whether a record under our key is ours, and where it stands.
    fn read(&self, entry: &Entry) -> Result<(bool, Option<Phase<A>>)> {
        let record = self.idempotency.store.decode::<ClaimRecord<A>>(entry)?;
        Ok(record.map_or((false, None), |record| {
            (record.value.owner == self.owner, Some(record.value.phase))
        }))
    }
}

impl<A> fmt::Debug for Claim<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
