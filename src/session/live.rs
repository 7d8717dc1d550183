use std::fmt;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::backend::{Error, Version};

use super::SessionId;

/// A live session as it was loaded or created. `Debug` shows neither id nor state.
#[derive(Clone)]
#[non_exhaustive]
pub struct Session<T> {
    /// Its secret name.
    pub id: SessionId,
    /// What it holds.
    pub state: T,
    /// The version of the write that made this state.
    pub version: Version,
    /// The name of the principal it belongs to; `None` if it is anonymous.
    pub principal: Option<String>,
    /// Time until it ends unless it is used, never more than the absolute one.
    pub idle_left: Duration,
    /// Time until it ends in any case.
    pub absolute_left: Duration,
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("idle_left", &self.idle_left)
            .field("absolute_left", &self.absolute_left)
            .finish_non_exhaustive()
    }
}

/// What an update of a session came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<R> {
    /// What the closure returned on the run that counted.
    pub output: R,
    /// The version the session has now.
    pub version: Version,
}

/// Why a session was not changed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SessionError {
    /// It has ended: logged out, expired, revoked, or never there. Nothing was written.
    #[error("the session is gone; start a new one")]
    Gone,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Error),
}
