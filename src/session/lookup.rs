//! From an id to the live session behind it.

use std::time::Duration;

use crate::State;
use crate::backend::{Condition, Entry, Key, Result, Version, Write};
use crate::store::{Freshness, Opened, Reads, StaleReason};

use super::journal::{Queued, Waiting};
use super::record::{Live, SessionHead, Successor};
use super::user::UserHead;
use super::{Ended, SessionId, Sessions};

/// How often an id is followed to its successor. One rotation within another's grace is rare.
const HOPS_MAX: usize = 4;

/// A live session as it was found.
#[derive(Clone)]
pub(super) struct Current {
    /// The one it has now.
    pub(super) id: SessionId,
    pub(super) key: Key,
    pub(super) entry: Entry,
    pub(super) opened: Opened<Live>,
    /// Holds while its principal's record is as it was: that record makes the session valid.
    /// `None` for an anonymous one, and where a write cannot depend on it.
    pub(super) guard: Option<Write>,
    pub(super) freshness: Freshness,
    /// The changes that wait for the store, if they are in it.
    pub(super) queued: Option<Queued>,
}

/// What a change of a session is made on. It needs no id.
pub(super) struct Basis {
    pub(super) key: Key,
    pub(super) entry: Entry,
    pub(super) opened: Opened<Live>,
    pub(super) guard: Option<Write>,
}

impl From<Current> for Basis {
    fn from(current: Current) -> Self {
        let Current { key, entry, opened, guard, .. } = current;
        Self { key, entry, opened, guard }
    }
}

/// What is under an id, before any rotation is followed.
pub(super) struct Looked {
    key: Key,
    entry: Option<Entry>,
    pub(super) verdict: Verdict,
    pub(super) guard: Option<Write>,
    freshness: Freshness,
    queued: Option<Queued>,
}

impl Looked {
    /// The session, if it still has this id.
    pub(super) fn live(self) -> std::result::Result<Basis, Ended> {
        let Self { key, entry, verdict, guard, .. } = self;
        match (entry, verdict) {
            (Some(entry), Verdict::Live(opened)) => Ok(Basis { key, entry, opened, guard }),
            (_, Verdict::Moved(_)) => Err(Ended::RotatedOut),
            (_, Verdict::Ended(ended)) => Err(ended),
            (None, Verdict::Live(_)) => Err(Ended::Missing),
        }
    }
}

/// What stands under a session's key.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart")]
pub(super) enum Verdict {
    Live(Opened<Live>),
    Moved(Successor),
    Ended(Ended),
}

impl Looked {
    /// Of what is there, live or not.
    pub(super) fn version(&self) -> Option<Version> {
        self.entry.as_ref().map(|entry| entry.version)
    }
}

impl<T: State> Sessions<T> {
    /// The live session behind an id, as the store has it now. One trip; one more for each rotation
    /// it was missing.
    pub(super) async fn current(
        &self,
        id: &SessionId,
    ) -> Result<std::result::Result<Current, Ended>> {
        self.current_as(id, Reads::default()).await
    }

    pub(super) async fn current_as(
        &self,
        id: &SessionId,
        reads: Reads,
    ) -> Result<std::result::Result<Current, Ended>> {
        let mut id = id.clone();
        for _hop in 0..HOPS_MAX {
            let key = self.session_key(&id)?;
            // Before the look, so that what is saved meanwhile is not missed. A journal that cannot
            // be read keeps nobody from a session.
            let waiting = match &self.journal {
                Some(journal) => journal.get(&key).await.unwrap_or_default().zip(Some(journal)),
                None => None,
            };
            let mut looked = self.look(key, id.is_signed_in(), reads).await?;
            if let Some((queued, journal)) = waiting {
                looked = self.with_queued(journal, queued, looked, id.is_signed_in()).await?;
            }
            let Looked { key, entry, verdict, guard, freshness, queued } = looked;
            match (entry, verdict) {
                (Some(entry), Verdict::Live(opened)) => {
                    return Ok(Ok(Current { id, key, entry, opened, guard, freshness, queued }));
                }
                (_, Verdict::Moved(successor)) => id = id.unpad(successor.padded_secret),
                (_, Verdict::Ended(ended)) => return Ok(Err(ended)),
                (None, Verdict::Live(_)) => return Ok(Err(Ended::Missing)),
            }
        }
        Ok(Err(Ended::RotatedOut))
    }

    /// Reads a session, and its principal's record if it has one. One trip.
    pub(super) async fn look(&self, key: Key, signed_in: bool, reads: Reads) -> Result<Looked> {
        let mut keys = self.keys_with(key, signed_in)?;
        let (entries, freshness) = self.store.read(&keys, reads).await?;
        let mut entries = entries.into_iter();
        let (entry, user) = (entries.next().flatten(), entries.next().flatten());
        let verdict = match keys.get(1) {
            Some(user_key) => {
                self.judge_owned(&keys[0], entry.as_ref(), user_key, user.as_ref())?
            }
            None => self.judge(&keys[0], entry.as_ref(), None)?,
        };
        let user = user.filter(|_| self.store.transacts());
        let guard = keys.get(1).zip(user).map(|(user_key, user)| {
            Write::check(user_key.clone(), Condition::VersionIs(user.version))
        });
        Ok(Looked { key: keys.swap_remove(0), entry, verdict, guard, freshness, queued: None })
    }

    /// With the changes that wait for the store: they are saved if it answers, and shown as long
    /// as it does not.
    async fn with_queued(
        &self,
        journal: &Waiting,
        mut queued: Queued,
        mut looked: Looked,
        signed_in: bool,
    ) -> Result<Looked> {
        let is_fresh = looked.freshness == Freshness::Fresh;
        // Boxed, because it is seldom and every look-up would have to have room for it.
        if is_fresh && Box::pin(self.replay(journal, &looked.key)).await.is_ok() {
            return self.look(looked.key, signed_in, Reads::default()).await;
        }
        if let Ok(Some(more)) = journal.get(&looked.key).await {
            queued = more;
        }
        let (Some(entry), Verdict::Live(now)) = (&mut looked.entry, &looked.verdict) else {
            return Ok(looked);
        };
        if !queued.stored.goes_on_from(now) {
            return Ok(looked);
        }
        if is_fresh {
            let (age, reason) = (Duration::ZERO, StaleReason::Outage);
            looked.freshness = Freshness::Stale { age, reason };
        }
        entry.value = queued.stored.value.clone();
        let generation = now.head.owner.as_ref().map(|owner| owner.generation);
        looked.verdict = self.judge(&looked.key, Some(entry), generation)?;
        looked.queued = Some(queued);
        Ok(looked)
    }

    /// Judges a signed-in session by its principal's record. Without that the session counts as
    /// revoked: fail safe. If it has also expired, that is what is told.
    pub(super) fn judge_owned(
        &self,
        key: &Key,
        entry: Option<&Entry>,
        user_key: &Key,
        user: Option<&Entry>,
    ) -> Result<Verdict> {
        let user = user.map(|user| self.store.open::<UserHead>(user_key, user)).transpose()?;
        self.judge(key, entry, user.flatten().map(|user| user.head.generation))
    }

    /// Judges a session, given the generation that sessions of its principal have now; `None` for
    /// an anonymous one.
    pub(super) fn judge(
        &self,
        key: &Key,
        entry: Option<&Entry>,
        generation: Option<u64>,
    ) -> Result<Verdict> {
        let opened = entry.map(|entry| self.store.open::<SessionHead>(key, entry));
        let Some(opened) = opened.transpose()?.flatten() else {
            return Ok(Verdict::Ended(Ended::Missing));
        };
        let (head, rest) = opened.take();
        Ok(match head.live() {
            Ok(live) => {
                let born_under = live.owner.as_ref().map(|owner| owner.generation);
                if born_under == generation {
                    Verdict::Live(rest.with(live))
                } else {
                    Verdict::Ended(Ended::Revoked)
                }
            }
            Err(Some(successor)) if rest.age < Duration::from_millis(successor.grace_ms) => {
                Verdict::Moved(successor)
            }
            Err(_) => Verdict::Ended(Ended::RotatedOut),
        })
    }
}
