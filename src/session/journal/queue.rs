use std::sync::Arc;

use crate::State;
use crate::backend::{Durability, Error, ErrorKind, Write};
use crate::observe::Replay;
use crate::session::change::{Revised, Stop};
use crate::session::lookup::Current;
use crate::session::{Changed, SessionError, SessionId, Sessions};
use crate::store::Freshness;

use super::waiting::{Stored, Waiting};

/// How often a change starts anew because what waits was changed or saved meanwhile.
const ATTEMPTS_MAX: usize = 16;

/// Where a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a change that waits may still come to nothing"]
pub enum Saved<R> {
    /// In the store.
    Stored(Changed<R>),
    /// On this node, until the store is back.
    Queued {
        /// What the closure returned.
        output: R,
        /// What the change survives while it waits.
        durability: Durability,
    },
}

impl<R> Saved<R> {
    /// What the closure returned.
    pub fn output(self) -> R {
        match self {
            Self::Stored(Changed { output, .. }) | Self::Queued { output, .. } => output,
        }
    }

    /// True if it waits.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Queued { .. })
    }
}

impl<T: State> Sessions<T> {
    /// As [`update`](Sessions::update); while the store is out, or takes no writes, the change is
    /// made on the session as this process read or wrote it last, and waits in the
    /// [journal](crate::session::SessionsBuilder::journal). From then on this process gives the
    /// session so, stale as it is.
    ///
    /// For what may come to nothing if somebody else changes the session meanwhile, such as
    /// preferences or a counter; not for what must not be done twice.
    ///
    /// All that the store is asked has one deadline, as in any call; once it is over, the change is
    /// made on what this process has.
    ///
    /// # Errors
    ///
    /// As [`update`](Sessions::update): an outage, too, if this process has not read or written the
    /// session for longer than its [reads](crate::session::SessionsBuilder::reads) allow, or if
    /// somebody else has changed it since. It is ambiguous if the change may be made
    /// already, and the store is back: look at the session then. [`ErrorKind::Full`] if the journal
    /// is; [`ErrorKind::Invalid`] without one.
    pub async fn update_or_queue<R>(
        &self,
        id: &SessionId,
        change: impl FnMut(&mut T) -> R,
    ) -> Result<Saved<R>, SessionError> {
        let Some(journal) = &self.journal else {
            let detail = "these sessions have no journal; give them one, or use update";
            return Err(Error::new(ErrorKind::Invalid, detail).into());
        };
        self.store.one_call(self.make_or_queue(journal, id, change)).await
    }

    async fn make_or_queue<R>(
        &self,
        journal: &Arc<Waiting>,
        id: &SessionId,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<Saved<R>, SessionError> {
        // One for all attempts: if the store made the first one after all, that is seen later.
        let mark = crate::random::number()?;
        let mut error = match self.try_now(id, mark, &mut change).await? {
            Ok(changed) => return Ok(Saved::Stored(changed)),
            Err(outage) => outage,
        };
        let mut may_try_again = true;
        for _attempt in 0..ATTEMPTS_MAX {
            let current = match self.current_as(id, self.reads).await {
                Ok(current) => current.map_err(SessionError::Gone)?,
                Err(_none) => return Err(error.into()),
            };
            let is_back = current.freshness == Freshness::Fresh;
            // What may be made already is not made again.
            if current.opened.head.marks.has(mark) || is_back && error.is_ambiguous() {
                return Err(error.into());
            }
            // Where the store is read and takes no writes, the change waits.
            if is_back && may_try_again {
                may_try_again = false;
                error = match self.try_now(id, mark, &mut change).await? {
                    Ok(changed) => return Ok(Saved::Stored(changed)),
                    Err(outage) => outage,
                };
            } else if let Some(saved) = self.queue(journal, current, mark, &mut change).await? {
                return Ok(saved);
            }
        }
        Err(error.into())
    }

    /// Makes the change in the store. The inner error is an outage.
    async fn try_now<R>(
        &self,
        id: &SessionId,
        mark: u64,
        change: &mut impl FnMut(&mut T) -> R,
    ) -> Result<Result<Changed<R>, Error>, SessionError> {
        match self.revise_as(id, mark, |state, _| Ok(change(state))).await {
            Err(SessionError::Store(error)) if error.is_outage() => Ok(Err(error)),
            revised => {
                let (output, session) = revised?;
                Ok(Ok(Changed { output, version: session.version }))
            }
        }
    }

    /// `None` if what waits was changed or saved meanwhile.
    async fn queue<R>(
        &self,
        journal: &Arc<Waiting>,
        current: Current,
        mark: u64,
        change: &mut impl FnMut(&mut T) -> R,
    ) -> Result<Option<Saved<R>>, SessionError> {
        let Current { key, opened, queued, .. } = current;
        let (seen, base, mut marks) = match queued {
            Some(queued) => (Some(queued.version), queued.stored.base, queued.stored.marks),
            None => (None, opened.version.get(), Vec::new()),
        };
        marks.push(mark);
        let planned = self.plan(&key, opened, mark, &mut |state, _| Ok(change(state)));
        let (write, Revised { output, .. }) = planned.map_err(Stop::into_error)?;
        if let Some(Write::Put { value, .. }) = write {
            let stored = Stored { base, marks, value };
            let put = journal.put(&key, &stored, seen).await.inspect_err(|error| {
                if error.kind() == ErrorKind::Full {
                    journal.meters.replay(Replay::Full);
                }
            });
            if !put? {
                return Ok(None);
            }
            journal.meters.replay(Replay::Queued);
        }
        Ok(Some(Saved::Queued { output, durability: journal.durability() }))
    }
}
