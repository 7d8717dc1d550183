use std::fmt;

use crate::State;
use crate::backend::{Condition, Entry, Result, Version, Write, Written};
use crate::store::{self, Opened};
use crate::text;

use super::Idempotency;
use super::begin::Bid;
use super::record::{ClaimHead, Phase};

/// Each round moves the record on; a holder meets its own renewals, a successor, or nothing.
const ROUNDS_MAX: usize = 8;

/// The right to execute, as long as the lease lasts. Dropping it leaves the key to lapse.
pub struct Claim<A> {
    idempotency: Idempotency<A>,
    bid: Bid,
    effect_id: String,
    fence: Version,
    /// The version of our last write: what every further write depends on.
    version: Version,
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
    pub(super) fn new(idempotency: Idempotency<A>, bid: Bid, version: Version) -> Self {
        let effect_id = text::encode(&bid.origin);
        Self { idempotency, bid, effect_id, fence: version, version }
    }

    /// A name for what this execution makes: 22 random characters that every attempt at this key
    /// shares. Derive order numbers and downstream idempotency keys from it, and a second attempt
    /// makes nothing new. Once the key is forgotten or released, it is another one.
    pub fn effect_id(&self) -> &str {
        &self.effect_id
    }

    /// 1 for the first holder, +1 for each take-over.
    pub fn attempt(&self) -> u16 {
        self.bid.attempt
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
        match self.rewrite(Phase::Completed, Some(answer)).await? {
            Rewritten::Done(_) | Rewritten::Completed => Ok(Completion::Completed),
            Rewritten::Lost(winner) => Ok(Completion::Fenced { winner }),
        }
    }

    /// Lets the lease run anew from now. Call it well before the lease is over, for instance each
    /// third of it. One trip.
    ///
    /// # Errors
    ///
    /// What the store says; an error is not a loss, so try again while the lease lasts.
    pub async fn renew(&mut self) -> Result<Renewal> {
        match self.rewrite(self.idempotency.running(), None).await? {
            Rewritten::Done(version) => {
                self.version = version;
                Ok(Renewal::Renewed)
            }
            Rewritten::Completed | Rewritten::Lost(_) => Ok(Renewal::Lost),
        }
    }

    /// Ends the lease now: the execution failed and may have had effects. The key is lapsed, and
    /// what comes next follows [`OnLapse`](super::OnLapse). One trip. If the lease was lost
    /// meanwhile, nothing changes.
    ///
    /// # Errors
    ///
    /// What the store says; the claim then lapses when its lease is over.
    pub async fn abandon(self) -> Result<()> {
        self.rewrite(Phase::Running { lease_ms: 0 }, None).await.map(|_rewritten| ())
    }

    /// Gives the key back as if it had never been claimed: only when nothing was executed, by
    /// this holder or one before. One trip. If the lease was lost meanwhile, nothing changes.
    ///
    /// # Errors
    ///
    /// What the store says; the claim then lapses by itself.
    pub async fn release(self) -> Result<()> {
        let mut version = self.version;
        for _round in 0..ROUNDS_MAX {
            let delete =
                Write::delete(self.bid.store_key.clone()).only_if(Condition::VersionIs(version));
            match self.idempotency.store.write(delete).await? {
                // A renewal of ours whose reply was lost.
                Written::Refused { current: Some(entry) } if self.is_running(&entry)? => {
                    version = entry.version;
                }
                // Or it is not ours any more, and then there is nothing to give back.
                _ => return Ok(()),
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    /// Replaces our record, whatever became of it meanwhile, unless it is somebody else's.
    async fn rewrite(&self, phase: Phase, answer: Option<&A>) -> Result<Rewritten<A>> {
        let head = self.bid.head(phase);
        let mut only_if = Condition::VersionIs(self.version);
        for _round in 0..ROUNDS_MAX {
            let current =
                match self.idempotency.put(&self.bid.store_key, &head, answer, only_if).await? {
                    Written::Applied { version } => {
                        return Ok(Rewritten::Done(version.unwrap_or(self.version)));
                    }
                    Written::Refused { current } => current,
                };
            let Some(entry) = current else {
                only_if = Condition::Absent;
                continue;
            };
            let opened = self.read(&entry)?;
            let ours = opened.head.owner == self.bid.owner;
            match opened.head.phase {
                // A renewal of ours whose reply was lost.
                Phase::Running { .. } if ours => only_if = Condition::VersionIs(entry.version),
                Phase::Running { .. } => return Ok(Rewritten::Lost(None)),
                Phase::Completed if ours => return Ok(Rewritten::Completed),
                Phase::Completed => return Ok(Rewritten::Lost(Some(opened.value()?))),
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    fn is_running(&self, entry: &Entry) -> Result<bool> {
        let head = self.read(entry)?.head;
        Ok(head.owner == self.bid.owner && matches!(head.phase, Phase::Running { .. }))
    }

    fn read(&self, entry: &Entry) -> Result<Opened<ClaimHead>> {
        let opened = self.idempotency.store.open(&self.bid.store_key, entry)?;
        opened.ok_or_else(super::begin::lost)
    }
}

/// How a rewrite of our record ended.
enum Rewritten<A> {
    /// It has this version now.
    Done(Version),
    /// An answer of ours is kept already.
    Completed,
    /// The key is somebody else's; their answer, if it is there.
    Lost(Option<A>),
}

impl<A> fmt::Debug for Claim<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("key", &self.bid.store_key)
            .field("attempt", &self.bid.attempt)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
