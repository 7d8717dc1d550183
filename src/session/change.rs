//! Changes of a session: load, change, save, and again on what others saved meanwhile.

use crate::State;
use crate::backend::{Entry, Error, Key, Write};
use crate::store::{Fate, Freshness, Opened};

use super::lookup::{Basis, Current, Verdict};
use super::record::Live;
use super::{Attributes, Changed, Edit, Ended, Session, SessionError, SessionId, Sessions};

/// How often a change starts anew because the session got another id meanwhile.
const MOVES_MAX: usize = 4;

impl<T: State> Sessions<T> {
    /// Changes a session's state by a closure, which runs again if others changed it meanwhile;
    /// no update is lost, and none brings an ended session back. Two trips; one if the state
    /// comes out as it was.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if there is no such session (any more); otherwise what the store
    /// says, [`ErrorKind::Contended`](crate::ErrorKind::Contended) after 256 lost races and
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) beyond
    /// [`size_max`](super::SessionsBuilder::size_max) among it.
    pub async fn update<R>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut T) -> R,
    ) -> std::result::Result<Changed<R>, SessionError> {
        self.update_all(id, |state, _attributes| change(state)).await
    }

    /// As [`update`](Sessions::update), of the state and the attributes together.
    ///
    /// # Errors
    ///
    /// As [`update`](Sessions::update).
    pub async fn update_all<R>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut T, &mut Attributes) -> R,
    ) -> std::result::Result<Changed<R>, SessionError> {
        let revise = self.revise(id, None, |state, attributes| Ok(change(state, attributes)));
        revise.await.map(|(output, session)| Changed { output, version: session.version })
    }

    /// Changes attributes; see [`Edit`] for what becomes of changes at the same time. Two trips;
    /// one if nothing comes out changed, none for an empty edit.
    ///
    /// # Errors
    ///
    /// As [`update`](Sessions::update), [`SessionError::Changed`] if an expectation does not hold,
    /// and [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if an attribute is not what a change
    /// needs. Nothing of the edit is done then.
    pub async fn edit(&self, id: &SessionId, edit: &Edit) -> std::result::Result<(), SessionError> {
        if edit.is_empty() {
            return Ok(());
        }
        self.revise(id, None, |_state, attributes| edit.apply(attributes)).await.map(|_revised| ())
    }

    /// Runs a change on the session behind an id, or on what the store was just asked for of it.
    /// Gives its output and the session with what it left.
    pub(super) async fn revise<R>(
        &self,
        id: &SessionId,
        loaded: Option<Current>,
        change: impl FnMut(&mut T, &mut Attributes) -> std::result::Result<R, SessionError>,
    ) -> std::result::Result<(R, Session<T>), SessionError> {
        let mark = crate::random::number()?;
        self.store.one_call(self.follow_and_revise(id, loaded, mark, change)).await
    }

    /// Runs a change that leaves this mark.
    pub(super) async fn revise_as<R>(
        &self,
        id: &SessionId,
        mark: u64,
        change: impl FnMut(&mut T, &mut Attributes) -> std::result::Result<R, SessionError>,
    ) -> std::result::Result<(R, Session<T>), SessionError> {
        self.store.one_call(self.follow_and_revise(id, None, mark, change)).await
    }

    async fn follow_and_revise<R>(
        &self,
        id: &SessionId,
        mut loaded: Option<Current>,
        mark: u64,
        mut change: impl FnMut(&mut T, &mut Attributes) -> std::result::Result<R, SessionError>,
    ) -> std::result::Result<(R, Session<T>), SessionError> {
        // Others may have changed or ended since what is a copy. And without a guard, nothing would
        // tell that what was read before is over by now.
        loaded = loaded.filter(|current| {
            let is_guarded = current.guard.is_some() || !current.id.is_signed_in();
            current.freshness == Freshness::Fresh && is_guarded
        });
        let shows_unconfirmed = self.store.info().capabilities.shows_unconfirmed();
        for _move in 0..MOVES_MAX {
            let was_loaded = loaded.is_some();
            let current = match loaded.take() {
                Some(current) => current,
                None => self.current(id).await?.map_err(SessionError::Gone)?,
            };
            let id = current.id.clone();
            match self.revise_here(current.into(), mark, &mut change).await {
                Err(Stop::Moved) => {}
                Err(Stop::Error(error)) => return Err(error),
                // The store was not asked whether it is still so.
                Ok(Revised { touched: false, .. }) if was_loaded && !shows_unconfirmed => {}
                Ok(Revised { output, state, opened, touched }) => {
                    let session = self.session(id, opened, Freshness::Fresh, state, touched);
                    return Ok((output, session));
                }
            }
        }
        Err(SessionError::Gone(Ended::RotatedOut))
    }

    pub(super) async fn revise_here<R>(
        &self,
        basis: Basis,
        mark: u64,
        change: &mut impl FnMut(&mut T, &mut Attributes) -> std::result::Result<R, SessionError>,
    ) -> std::result::Result<Revised<T, R>, Stop> {
        let Basis { key, entry, opened, guard } = basis;
        let generation = opened.head.owner.as_ref().map(|owner| owner.generation);
        let plan = |entry: Option<&Entry>| match self.judge(&key, entry, generation)? {
            Verdict::Live(opened) => self.plan(&key, opened, mark, change),
            Verdict::Moved(_) => Err(Stop::Moved),
            // Or its principal's record changed; a second look tells which.
            Verdict::Ended(Ended::Missing) if guard.is_some() => Err(Stop::Moved),
            Verdict::Ended(ended) => Err(Stop::Error(SessionError::Gone(ended))),
        };
        let mut found = None;
        let fate = |seen: Option<&Entry>, now: Option<&Entry>| {
            let (seen, now) =
                (self.judge(&key, seen, generation)?, self.judge(&key, now, generation)?);
            let fate = fate_of(mark, &seen, &now);
            if let (Fate::Applied(_), Verdict::Live(now)) = (&fate, now) {
                let Ok(state) = now.value() else { return Ok(Fate::Unknown) };
                found = Some((state, now));
            }
            Ok(fate)
        };
        let updated = self.store.optimistic(&key, guard.as_ref(), Some(entry), plan, fate).await?;
        let mut revised = updated.output;
        let before = revised.opened.version;
        revised.opened.version = updated.version.unwrap_or(before);
        if let Some((state, opened)) = found {
            // Others may have written behind this change, and the version is theirs then.
            (revised.state, revised.opened) = (state, opened);
        }
        revised.touched =
            revised.opened.version != before || self.touch_if_due(&key, &revised.opened).await;
        Ok(revised)
    }

    /// The write that a change comes to, if any, and what the session is with it.
    pub(super) fn plan<R>(
        &self,
        key: &Key,
        opened: Opened<Live>,
        mark: u64,
        change: &mut impl FnMut(&mut T, &mut Attributes) -> std::result::Result<R, SessionError>,
    ) -> std::result::Result<(Option<Write>, Revised<T, R>), Stop> {
        let mut state = opened.value::<T>()?;
        let mut attributes = opened.head.attributes.clone();
        let output = change(&mut state, &mut attributes).map_err(Stop::Error)?;
        if attributes == opened.head.attributes && self.store.holds(&opened, &state)? {
            return Ok((None, Revised { output, state, opened, touched: false }));
        }
        let named_us = opened.named_us();
        let marks = opened.head.marks.with(mark);
        let (head, rest) = opened.take();
        let live = Live { attributes, named_us, marks, ..head };
        let put = self.put(key, live.clone(), &state, rest.carried)?;
        Ok((Some(put), Revised { output, state, opened: rest.with(live), touched: false }))
    }
}

/// What the run of a change that counted came to.
pub(super) struct Revised<T, R> {
    pub(super) output: R,
    state: T,
    /// With what it left, and the version of that.
    opened: Opened<Live>,
    /// The idle deadline was moved.
    touched: bool,
}

impl<T, R> Revised<T, R> {
    pub(super) fn changed(self) -> Changed<R> {
        Changed { output: self.output, version: self.opened.version }
    }
}

/// What became of a write with this mark, if that was planned on `seen`.
fn fate_of(mark: u64, seen: &Verdict, now: &Verdict) -> Fate {
    match (seen, now) {
        (_, Verdict::Live(now)) if now.head.marks.has(mark) => Fate::Applied(Some(now.version)),
        (Verdict::Live(seen), Verdict::Live(now))
            if now.head.marks.is_close_to(seen.head.marks) =>
        {
            Fate::Lost
        }
        // It may have been made, and have gone on under the new id.
        (_, Verdict::Ended(Ended::RotatedOut)) => Fate::Unknown,
        // Whatever it was, the session is over.
        (_, Verdict::Ended(_)) => Fate::Lost,
        _ => Fate::Unknown,
    }
}

/// Why a change was not made on the record it was begun with.
pub(super) enum Stop {
    /// The session has another id now, or is over.
    Moved,
    Error(SessionError),
}

impl Stop {
    pub(super) fn into_error(self) -> SessionError {
        match self {
            Self::Moved => SessionError::Gone(Ended::RotatedOut),
            Self::Error(error) => error,
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error.into())
    }
}
