//! The end of a request: its changes come true together, or not at all.

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::State;

use crate::session::{
    Attributes, Edit, Ended, Mode, Rotation, Session, SessionError, SessionHandle, SessionId,
};

use super::{Changes, Current, Held, Phase, SignIn, Stage};

/// What the client is to be told of its session.
#[must_use = "a client that is not told loses its session"]
pub enum Outcome<T> {
    /// It has a new id: hand it over.
    HandOver(Arc<Session<T>>),
    /// Nothing: what it has is good, or is not known to be bad.
    Keep,
    /// Its id is worth nothing any more: it should forget it.
    Remove,
}

impl<T: State + Clone> SessionHandle<T> {
    /// Makes the changes that wait, and renews an id that is due. Call it before the answer
    /// leaves. Nothing to do costs no trip; a change after it is [`SessionError::Committed`].
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if the session ended meanwhile, which no change undoes;
    /// [`SessionError::Changed`] if an [expectation](crate::session::Edit::expect) does not hold
    /// any more; [`SessionError::LimitReached`] for a sign-in; otherwise what the store says. The
    /// client keeps what it has, and none of the changes was made, unless the error is ambiguous.
    /// That an id cannot be renewed is no error if nothing else is to be done. A commit after one
    /// that failed is [`SessionError::Committed`].
    pub async fn commit(&self) -> Result<Outcome<T>, SessionError> {
        let mut held = self.0.held.lock().await;
        match held.stage {
            Stage::Open => {
                // So it stays if the store fails, or if this call is dropped.
                held.stage = Stage::Failed;
                let changes = mem::take(&mut held.changes);
                let made = self.make(&mut held, changes);
                if let Some(session) = self.0.sessions.store.one_call(made).await? {
                    held.phase = Phase::Live(Arc::new(session), None);
                    held.confirmed = true;
                }
                held.stage = Stage::Committed;
            }
            Stage::Failed => return Err(SessionError::Committed),
            Stage::Committed => {}
        }
        // By another request: if a failover may still take the new id back, the client keeps the
        // old one, which leads to it.
        let confirmed = match &held.phase {
            Phase::Live(session, _) if !held.confirmed && self.is_new(session) => {
                self.0.sessions.is_confirmed(session).await
            }
            _ => true,
        };
        Ok(self.outcome(&held.phase, confirmed))
    }

    /// Drops the changes that wait: the request failed. What was done at once stays done, a
    /// log-out too, and the client is told of it. No trip: an id of which nobody knows whether it
    /// is [confirmed](crate::backend::Capabilities::shows_unconfirmed) is left to the next request.
    pub async fn discard(&self) -> Outcome<T> {
        let mut held = self.0.held.lock().await;
        held.stage = Stage::Committed;
        held.changes = Changes::default();
        if let Phase::New(_) = held.phase {
            held.phase = if held.destroyed { Phase::Destroyed } else { Phase::Absent(None) };
        }
        let shows_unconfirmed = self.0.sessions.store.info().capabilities.shows_unconfirmed();
        self.outcome(&held.phase, held.confirmed || !shows_unconfirmed)
    }

    /// Gives the session if it was stored.
    async fn make(
        &self,
        held: &mut Held<T>,
        changes: Changes<T>,
    ) -> Result<Option<Session<T>>, SessionError> {
        let sessions = &self.0.sessions;
        let Changes { edit, rotate, lifetime, sign_in, ends, .. } = changes;
        match (&mut held.phase, sign_in) {
            (Phase::New(session), None) => {
                let Session { id, state, attributes, .. } = Session::clone(session);
                let span = sessions.span(lifetime)?;
                Ok(Some(sessions.create_as(id, state, attributes, span).await?))
            }
            (Phase::New(session), Some(sign_in)) => {
                let SignIn { principal, label, lifetime: chosen, .. } = sign_in;
                let Session { state, attributes, .. } = Session::clone(session);
                let span = sessions.span(chosen.unwrap_or(lifetime))?;
                let new = sessions.sign_in_with(&principal, &label, state, attributes, span);
                let new = new.await?;
                self.take_over(ends, &new.id).await?;
                Ok(Some(new))
            }
            (Phase::Live(session, _), Some(sign_in)) => {
                self.elevate(&session.id, sign_in, &edit).await.map(Some)
            }
            (Phase::Live(session, current), None) => {
                let due = self.0.mode == Mode::Normal && session.renewal_due;
                if rotate || due {
                    return self.rename(&session.id, rotate, &edit).await;
                }
                self.save(&session.id, current.take(), &edit).await
            }
            (Phase::Unread(_) | Phase::Absent(_) | Phase::Destroyed, _) => Ok(None),
        }
    }

    /// Ends another principal's session, or else the new one: both would be more than was asked
    /// for.
    async fn take_over(
        &self,
        ends: Option<SessionId>,
        new: &SessionId,
    ) -> Result<(), SessionError> {
        let Some(old) = ends else { return Ok(()) };
        let ended = match self.0.sessions.destroy(&old).await {
            // It got another id meanwhile, which the client is given by that request.
            Ok(()) | Err(SessionError::Gone(_)) => self.end_others(&old).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            drop(self.0.sessions.destroy(new).await);
        }
        ended
    }

    async fn elevate(
        &self,
        id: &SessionId,
        sign_in: SignIn<T>,
        edit: &Edit,
    ) -> Result<Session<T>, SessionError> {
        let SignIn { principal, label, state, lifetime } = sign_in;
        let span = lifetime.map(|lifetime| self.0.sessions.span(lifetime)).transpose()?;
        match self.0.sessions.elevate_with(id, &principal, &label, edit, span).await {
            // It ended, or another request signed in with it: what is left is what this one has.
            Err(SessionError::Gone(_)) => {
                let mut attributes = Attributes::default();
                edit.apply(&mut attributes)?;
                let span = span.unwrap_or_else(|| self.0.sessions.whole_span());
                self.0.sessions.sign_in_with(&principal, &label, state, attributes, span).await
            }
            elevated => elevated,
        }
    }

    /// A new id, because the handler asked for it or because the old one is due.
    async fn rename(
        &self,
        id: &SessionId,
        asked: bool,
        edit: &Edit,
    ) -> Result<Option<Session<T>>, SessionError> {
        let rotation = if asked { Rotation::PrivilegeChange } else { Rotation::Renewal };
        match self.0.sessions.rotate_with(id, rotation, edit, None).await {
            // The old id is as good as it was, and the next request tries again.
            Err(_) if !asked && edit.is_empty() => Ok(None),
            renamed => renamed.map(Some),
        }
    }

    /// Gives the session as it is then, unless there is nothing to save.
    async fn save(
        &self,
        id: &SessionId,
        current: Option<Box<Current>>,
        edit: &Edit,
    ) -> Result<Option<Session<T>>, SessionError> {
        if edit.is_empty() {
            return Ok(None);
        }
        let current = current.map(|current| *current);
        let apply = |_state: &mut T, attributes: &mut Attributes| edit.apply(attributes);
        self.0.sessions.revise(id, current, apply).await.map(|((), session)| Some(session))
    }

    /// The client does not have this id yet.
    fn is_new(&self, session: &Session<T>) -> bool {
        !self.0.given.contains(&session.id)
    }

    fn outcome(&self, phase: &Phase<T>, confirmed: bool) -> Outcome<T> {
        match phase {
            Phase::Live(session, _) if confirmed && self.is_new(session) => {
                Outcome::HandOver(session.clone())
            }
            Phase::Destroyed if !self.0.given.is_empty() => Outcome::Remove,
            Phase::Absent(Some(Ended::Missing | Ended::Revoked)) => Outcome::Remove,
            _ => Outcome::Keep,
        }
    }
}

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandOver(session) => f.debug_tuple("HandOver").field(session).finish(),
            Self::Keep => f.write_str("Keep"),
            Self::Remove => f.write_str("Remove"),
        }
    }
}
