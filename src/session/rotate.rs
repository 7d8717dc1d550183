//! New ids for live sessions.

use std::time::Duration;

use crate::State;
use crate::backend::{Result, Ttl};
use crate::store;

use super::lifetime::Span;
use super::record::{Live, Successor};
use super::sign_in::ATTEMPTS_MAX;
use super::{Attributes, Edit, Happening, Session, SessionError, SessionId, Sessions};

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
    /// that requests at the same time do not split the session. Two trips; more
    /// [without transactions](super#without-transactions).
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
        let edit = Edit::new();
        self.store.one_call(self.rotate_with(id, rotation, &edit, None)).await
    }

    /// As [`rotate`](Sessions::rotate), with an edit in the same step: both or neither.
    pub(super) async fn rotate_with(
        &self,
        id: &SessionId,
        rotation: Rotation,
        edit: &Edit,
        span: Option<Span>,
    ) -> std::result::Result<Session<T>, SessionError> {
        let (mut id, mut turn) = (id.clone(), None);
        for _attempt in 0..ATTEMPTS_MAX {
            self.save_waiting(&id).await?;
            let mut place = self.place(&id).await?.map_err(|none| SessionError::Gone(none.why))?;
            if !place.before.is_empty() {
                if rotation == Rotation::Renewal {
                    // What follows may wait for a turn itself.
                    drop(turn);
                    return self.renewed(&place.id, edit).await;
                }
                // What waits for the session waits under the id that it has now.
                id = place.id;
                continue;
            }
            let (new, state) = (place.id.next()?, place.opened.value::<T>()?);
            let mut live = Live { named_us: 0, ..place.opened.head.clone() };
            edit.apply(&mut live.attributes)?;
            let (carried, left) = self.go_on_for(&mut live, &place.opened, span);
            let birth = self.birth(&new, &live, &state, carried)?;
            let (born, mut writes) = (birth.key().clone(), vec![birth]);
            if let Some(roster) = &mut place.roster {
                roster.rename(&place.id, &new, self.store.transacts());
                writes.push(self.list_write(roster)?);
            }
            let successor = (rotation == Rotation::Renewal).then(|| Successor {
                padded_secret: place.id.pad(&new),
                grace_ms: self.grace.as_millis(),
            });
            writes.push(self.bury(&place.key, place.opened.version, successor)?);
            if let Some(version) = self.store.bear(&born, writes).await? {
                let over = place.roster.as_ref().map_or(&[][..], |roster| &roster.over);
                self.tell_of(Happening::Expired, over, place.owner());
                self.tell(Happening::Rotated, Some(&new), place.owner());
                return Ok(self.newborn(new, live, state, version, left));
            }
            if turn.is_none() {
                turn = Some(self.store.turn(&place.key).await?);
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    /// The session under the id that another request has just given it.
    async fn renewed(
        &self,
        id: &SessionId,
        edit: &Edit,
    ) -> std::result::Result<Session<T>, SessionError> {
        // A change that leaves nothing to do confirms the new id.
        let apply = |_state: &mut T, attributes: &mut Attributes| edit.apply(attributes);
        self.revise(id, None, apply).await.map(|((), session)| session)
    }

    /// Whether a session is confirmed to be as it was read.
    pub(super) async fn is_confirmed(&self, session: &Session<T>) -> bool {
        let Ok(key) = self.session_key(&session.id) else { return false };
        let confirm = self.store.confirm(&key, Some(session.version));
        self.store.one_call(confirm).await.unwrap_or(false)
    }

    /// How long the mark of a rotation is kept.
    pub(super) fn evidence(&self) -> Result<Ttl> {
        Ttl::new(EVIDENCE.max(self.grace.as_duration()))
    }
}
