//! Copies of sessions: before one is changed the store is asked, since others may have changed or
//! ended the session meanwhile.

use std::sync::Arc;

use crate::State;
use crate::backend::ErrorKind;
use crate::session::{Ended, Lifetime, SessionError, SessionHandle};
use crate::store::Reads;

use super::{Changes, Held, Phase};

impl<T: State + Clone> SessionHandle<T> {
    /// Asks the store if what was read is a copy.
    pub(super) async fn replace_copy(&self, held: &mut Held<T>) -> crate::Result<()> {
        let Some(copy) = held.phase.copy() else { return Ok(()) };
        let (id, given) = (copy.id.clone(), &self.0.given);
        let asked = async {
            match self.look(&id, Reads::default()).await? {
                // Another one that the client has an id of may be live.
                Phase::Absent(_) if given.len() > 1 => self.look_for(given, Reads::default()).await,
                found => Ok(found),
            }
        };
        held.phase = self.0.sessions.store.one_call(asked).await?;
        match (&mut held.phase, held.changes.beginning()) {
            (Phase::Live(session, _), _) => held.changes.show_edit(Arc::make_mut(session)),
            // It goes on under another id, which the client may be given by another request.
            (Phase::Absent(Some(Ended::RotatedOut)), _) if held.changes.sign_in.is_none() => {}
            (Phase::Absent(_), Some((state, lifetime))) => self.begin(held, state, lifetime)?,
            _ => {}
        }
        Ok(())
    }

    /// The same, where the copy will do if the store does not answer.
    pub(super) async fn try_replace_copy(&self, held: &mut Held<T>) -> crate::Result<()> {
        match self.replace_copy(held).await {
            Err(error) if error.is_outage() || error.kind() == ErrorKind::Busy => Ok(()),
            asked => asked,
        }
    }

    /// The same, before a change: what was meant for one principal is not done in the session of
    /// another.
    pub(super) async fn replace_copy_to_change(
        &self,
        held: &mut Held<T>,
    ) -> Result<(), SessionError> {
        let before = held.phase.session().and_then(|session| session.principal.clone());
        self.replace_copy(held).await?;
        match &held.phase {
            Phase::Live(now, _) if before.is_some() && now.principal != before => {
                Err(SessionError::Gone(Ended::Missing))
            }
            _ => Ok(()),
        }
    }
}

impl<T: Clone> Changes<T> {
    /// Whether a session begins if the one that was read is over.
    pub(super) fn begin(&self) -> bool {
        self.start.is_some() || self.sign_in.is_some()
    }

    /// With what it does.
    fn beginning(&self) -> Option<(T, Lifetime)> {
        match &self.sign_in {
            Some(sign_in) => Some((sign_in.state.clone(), sign_in.lifetime.unwrap_or_default())),
            None => self.start.clone(),
        }
    }
}
