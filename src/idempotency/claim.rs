use std::fmt;

use crate::State;
use crate::backend::{Bytes, Condition, Entry, Error, ErrorKind, Result, Version, Write, Written};
use crate::fields::Fields;
use crate::store;
use crate::text;

use super::record::{Bid, Phase};
use super::{Idempotency, Reason};

/// Each round moves the record on; a holder meets its own renewals, a successor, or nothing.
pub(super) const ROUNDS_MAX: usize = 8;

/// The right to execute, as long as the lease lasts. Dropping it leaves the key to lapse.
pub struct Claim<A> {
    pub(super) idempotency: Idempotency<A>,
    pub(super) bid: Box<Bid>,
    effect_id: String,
    fence: Version,
    /// The version of our last write: what every further write depends on.
    pub(super) version: Version,
}

/// How [`Claim::renew`] and the other writes of a holder that goes on ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a holder that lost its lease should stop"]
pub enum Renewal {
    /// The lease runs anew from now.
    Renewed,
    /// The claim is somebody else's, or gone.
    Lost,
}

/// How [`Claim::release`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a claim that was not released still has to be ended"]
pub enum Release {
    /// The key is as if it had never been claimed.
    Released,
    /// It was not this holder's any more; nothing changed.
    Lost,
    /// Effects have begun, or may have under a former holder: a free key would run them again.
    /// The claim stands; complete it, or [`tombstone`](Claim::tombstone) it.
    Refused,
}

impl<A: State> Claim<A> {
    /// The longest checkpoint in bytes.
    pub const CHECKPOINT_LEN_MAX: usize = 16 * 1024;

    pub(super) fn new(idempotency: Idempotency<A>, bid: Bid, version: Version) -> Self {
        let effect_id = text::encode(&bid.origin);
        Self { idempotency, bid: Box::new(bid), effect_id, fence: version, version }
    }

    /// A name for what this execution makes: 22 random characters that every attempt at this key
    /// shares. Derive order numbers and the like from it, and a second attempt makes nothing new.
    /// Once the key is forgotten or released, it is another one.
    pub fn effect_id(&self) -> &str {
        &self.effect_id
    }

    /// An idempotency key for services that this execution calls: 43 characters that follow from
    /// scope and key alone. It outlives the record: should this store lose it, a service that
    /// remembers longer still knows the call.
    pub fn downstream_key(&self) -> String {
        let key = self.bid.store_key.as_str();
        text::encode(&Fields::new("steadfast downstream").field(key).finish())
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

    /// How far this holder or one before it came, as it was last saved.
    pub fn checkpoint(&self) -> Option<&Bytes> {
        self.bid.checkpoint.as_ref()
    }

    /// Lets the lease run anew from now. Call it well before the lease is over, for instance each
    /// third of it. One trip. A lease that is over is renewed, too, unless somebody took over.
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

    /// Says that what cannot be done twice begins now: from here on the key cannot be released,
    /// and is not taken over under [`OnLapse::TakeOver`](super::OnLapse::TakeOver). One trip,
    /// which renews the lease.
    ///
    /// # Errors
    ///
    /// What the store says; do not begin then.
    pub async fn mark_effects(&mut self) -> Result<Renewal> {
        self.bid.effects_started = true;
        self.renew().await
    }

    /// Keeps how far the execution came, for a holder after this one, and marks its effects as
    /// begun. One trip, which renews the lease.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] over 16 KiB; otherwise what the store says. It may be saved all the
    /// same, and the next renewal saves it if it is not: a step that is done is not undone.
    pub async fn save_checkpoint(&mut self, checkpoint: impl Into<Bytes>) -> Result<Renewal> {
        let checkpoint = checkpoint.into();
        if checkpoint.len() > Self::CHECKPOINT_LEN_MAX {
            let detail = format!(
                "a checkpoint may have {} bytes and this one has {}; keep a reference instead",
                Self::CHECKPOINT_LEN_MAX,
                checkpoint.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, detail));
        }
        self.bid.checkpoint = Some(checkpoint);
        self.mark_effects().await
    }

    /// Gives the key back as if it had never been claimed: only when nothing was executed. One
    /// trip.
    ///
    /// # Errors
    ///
    /// What the store says; the claim then lapses by itself.
    pub async fn release(&self) -> Result<Release> {
        self.idempotency.store.one_call(self.give_back()).await
    }

    async fn give_back(&self) -> Result<Release> {
        if self.bid.effects_started || self.bid.attempt > 1 {
            return Ok(Release::Refused);
        }
        self.remove().await
    }

    /// Gives the key back though something was executed, where a retry may execute it again.
    #[cfg(feature = "poem")]
    pub(super) async fn forget(&self) -> Result<Release> {
        self.idempotency.store.one_call(self.remove()).await
    }

    async fn remove(&self) -> Result<Release> {
        let mut version = self.version;
        for _round in 0..ROUNDS_MAX {
            let delete =
                Write::delete(self.bid.store_key.clone()).only_if(Condition::VersionIs(version));
            match self.idempotency.store.write(&delete).await? {
                // A renewal of ours whose reply was lost.
                Written::Refused { current: Some(entry) } if self.is_running(&entry)? => {
                    version = entry.version;
                }
                Written::Refused { current: Some(_) } => return Ok(Release::Lost),
                _ => return Ok(Release::Released),
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    fn is_running(&self, entry: &Entry) -> Result<bool> {
        let head = self.idempotency.open(&self.bid.store_key, entry)?.head;
        Ok(head.owner == self.bid.owner && matches!(head.phase, Phase::Running { .. }))
    }

    /// Replaces our record, whatever became of it meanwhile, unless it is somebody else's.
    pub(super) async fn rewrite(&self, phase: Phase, answer: Option<&A>) -> Result<Rewritten<A>> {
        self.idempotency.store.one_call(self.rewrite_ours(phase, answer)).await
    }

    async fn rewrite_ours(&self, phase: Phase, answer: Option<&A>) -> Result<Rewritten<A>> {
        let (idempotency, key) = (&self.idempotency, &self.bid.store_key);
        let head = self.bid.head(phase);
        let mut only_if = Condition::VersionIs(self.version);
        for _round in 0..ROUNDS_MAX {
            let current = match idempotency.put(key, &head, answer, only_if).await? {
                Written::Applied { version } => {
                    return Ok(Rewritten::Done(version.unwrap_or(self.version)));
                }
                Written::Refused { current } => current,
            };
            match self.meet(phase, current)? {
                Met::Ours(condition) => only_if = condition,
                Met::End(rewritten) => return Ok(rewritten),
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    /// What stands in the way of a rewrite to this phase.
    pub(super) fn meet(&self, to: Phase, current: Option<Entry>) -> Result<Met<A>> {
        let Some(entry) = current else {
            // What the store has lost is ended all the same. It is not held again: whoever gave it
            // back, or forgot it, would find it held by nobody they know.
            let held = matches!(to, Phase::Running { .. });
            return Ok(if held { Met::lost() } else { Met::Ours(Condition::Absent) });
        };
        let opened = self.idempotency.open(&self.bid.store_key, &entry)?;
        let ours = opened.head.owner == self.bid.owner;
        Ok(match (opened.head.phase, to) {
            // A renewal of ours whose reply was lost.
            (Phase::Running { .. }, _) if ours => Met::Ours(Condition::VersionIs(entry.version)),
            (Phase::Completed, Phase::Completed) if ours => Met::End(Rewritten::Completed),
            (Phase::Completed, _) => Met::End(Rewritten::Lost(Some(opened.value()?))),
            // Its answer was given, and is gone: nothing comes after that.
            (Phase::Indeterminate { reason: Reason::Oversize, .. }, Phase::Completed) => {
                Met::lost()
            }
            (
                Phase::Indeterminate { reason: Reason::Oversize, .. },
                Phase::Indeterminate { reason, .. },
            ) if ours && reason != Reason::Oversize => Met::End(Rewritten::Done(entry.version)),
            // What its caller was told is kept already.
            (
                Phase::Indeterminate { reason: kept, answered: true },
                Phase::Indeterminate { reason, answered: false },
            ) if ours && reason == kept => Met::End(Rewritten::Done(entry.version)),
            // We gave it up, and now we know, or know more.
            (Phase::Indeterminate { .. }, Phase::Completed | Phase::Indeterminate { .. })
                if ours =>
            {
                Met::Ours(Condition::VersionIs(entry.version))
            }
            _ => Met::lost(),
        })
    }
}

/// What is there in the place of the record that we last wrote.
pub(super) enum Met<A> {
    /// Still ours: try again under this condition.
    Ours(Condition),
    End(Rewritten<A>),
}

impl<A> Met<A> {
    fn lost() -> Self {
        Self::End(Rewritten::Lost(None))
    }
}

/// How a rewrite of our record ended.
pub(super) enum Rewritten<A> {
    /// It has this version now.
    Done(Version),
    /// An answer of ours is kept already.
    Completed,
    /// The key is somebody else's, or has ended; the answer, if one is there.
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
