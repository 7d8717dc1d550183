//! New ids for live sessions.

use std::time::Duration;

use crate::State;
use crate::backend::{Result, Ttl};
use crate::store;

use super::lookup::Verdict;
use super::record::{Live, Successor};
use super::sign_in::ATTEMPTS_MAX;
use super::{Edit, Found, Happening, Session, SessionError, SessionId, Sessions};

/// Why a session gets a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Its holder may do more from now on. The old id is worth nothing at once.
    PrivilegeChange,
    /// Its id is old. For a [grace](super::SessionsBuilder::grace), requests that still carry the
    /// old id find the session, and learn the new id: a response that got lost loses nothing.
    Renewal,
}

/// How long it is known of an id that it was rotated away: longer than a request takes.
const EVIDENCE: Duration = Duration::from_secs(120);

impl<T: State> Sessions<T> {
    /// Gives a session a new id; what it holds, its absolute end and its place on the list of
    /// devices stay. If another request has just renewed the id, that one's new id is given, so
    /// that requests at the same time do not split the session. Two trips.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if there is no such session (any more), otherwise what the store
    /// says: the session then has its old id, or, if the error is ambiguous, perhaps a new one.
    pub async fn rotate(
        &self,
        id: &SessionId,
        rotation: Rotation,
    ) -> std::result::Result<Session<T>, SessionError> {
        self.rotate_with(id, rotation, &Edit::new()).await
    }

    /// As [`rotate`](Sessions::rotate), with an edit in the same step: both or neither.
    pub(super) async fn rotate_with(
        &self,
        id: &SessionId,
        rotation: Rotation,
        edit: &Edit,
    ) -> std::result::Result<Session<T>, SessionError> {
        let (mut old, mut moved) = (id.clone(), false);
        let mut turn = None;
        for _attempt in 0..ATTEMPTS_MAX {
            let old_key = self.session_key(&old)?;
            let keys = std::slice::from_ref(&old_key);
            let (mut roster, entry) = if old.is_signed_in() {
                let (roster, mut others) = self.roster(&old.group(), keys).await?;
                (Some(roster), others.pop().flatten())
            } else {
                (None, self.store.entry(&old_key).await?)
            };
            let generation = roster.as_ref().map(super::roster::Roster::generation);
            let opened = match self.judge(&old_key, entry.as_ref(), generation)? {
                Verdict::Live(opened) => opened,
                Verdict::Ended(ended) => return Err(SessionError::Gone(ended)),
                Verdict::Moved(successor) => {
                    (old, moved) = (old.unpad(successor.padded_secret), true);
                    continue;
                }
            };
            if moved && rotation == Rotation::Renewal {
                self.edit(&old, edit).await?;
                return match self.find(&old).await? {
                    Found::Live(session) => Ok(session),
                    Found::Ended(ended) => Err(SessionError::Gone(ended)),
                };
            }
            let (new, state) = (old.next()?, opened.value::<T>()?);
            let mut writes = Vec::new();
            if let Some(roster) = &mut roster {
                roster.rename(&old, &new);
                writes.push(self.list_write(roster)?);
            }
            let mut live = Live { named_us: 0, ..opened.head.clone() };
            edit.apply(&mut live.attributes)?;
            writes.push(self.birth(&new, &live, &state, opened.carried)?);
            let successor = (rotation == Rotation::Renewal).then(|| Successor {
                padded_secret: old.pad(&new),
                grace_ms: self.grace.as_millis(),
            });
            let bury = self.bury(&old_key, opened.version, successor)?;
            if let Some(version) = self.replace(writes, bury).await? {
                let owner = live.owner.as_ref().map(|owner| owner.name.as_str());
                self.tell(Happening::Rotated, Some(&new), owner);
                return Ok(self.newborn(new, live, state, version, opened.limit_left));
            }
            if turn.is_none() {
                turn = Some(self.store.turn(&old_key).await);
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    /// How long the mark of a rotation is kept.
    pub(super) fn evidence(&self) -> Result<Ttl> {
        Ttl::new(EVIDENCE.max(self.grace.as_duration()))
    }
}
