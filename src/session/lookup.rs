//! From an id to the live session behind it.

use std::time::Duration;

use crate::State;
use crate::backend::{Condition, Entry, Key, Result, Write};
use crate::store::{Freshness, Opened, Reads};

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
}

/// What stands under a session's key.
pub(super) enum Verdict {
    Live(Opened<Live>),
    Moved(Successor),
    Ended(Ended),
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
            let (entry, verdict, guard, freshness) = if id.is_signed_in() {
                let keys = [key.clone(), self.user_key(&id.group())?];
                let (entries, freshness) = self.store.read(&keys, reads).await?;
                let mut entries = entries.into_iter();
                let (entry, user) = (entries.next().flatten(), entries.next().flatten());
                let verdict =
                    self.judge_owned(&keys[0], entry.as_ref(), &keys[1], user.as_ref())?;
                let user = user.filter(|_| self.store.transacts());
                let version = user.map(|user| Condition::VersionIs(user.version));
                let [_, user_key] = keys;
                let guard = version.map(|version| Write::check(user_key, version));
                (entry, verdict, guard, freshness)
            } else {
                let (entries, freshness) =
                    self.store.read(std::slice::from_ref(&key), reads).await?;
                let entry = entries.into_iter().next().flatten();
                let verdict = self.judge(&key, entry.as_ref(), None)?;
                (entry, verdict, None, freshness)
            };
            match (entry, verdict) {
                (Some(entry), Verdict::Live(opened)) => {
                    return Ok(Ok(Current { id, key, entry, opened, guard, freshness }));
                }
                (_, Verdict::Moved(successor)) => id = id.unpad(successor.padded_secret),
                (_, Verdict::Ended(ended)) => return Ok(Err(ended)),
                (None, Verdict::Live(_)) => return Ok(Err(Ended::Missing)),
            }
        }
        Ok(Err(Ended::RotatedOut))
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
        Ok(match head {
            SessionHead::Live(live) => {
                let born_under = live.owner.as_ref().map(|owner| owner.generation);
                if born_under == generation {
                    Verdict::Live(rest.with(live))
                } else {
                    Verdict::Ended(Ended::Revoked)
                }
            }
            SessionHead::Moved(Some(successor))
                if rest.age < Duration::from_millis(successor.grace_ms) =>
            {
                Verdict::Moved(successor)
            }
            SessionHead::Moved(_) => Verdict::Ended(Ended::RotatedOut),
        })
    }
}
