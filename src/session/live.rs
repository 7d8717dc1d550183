use std::fmt;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::backend::{Error, Version};
use crate::store::Freshness;

use super::{Attributes, SessionId};

/// A live session as it was loaded or created. `Debug` shows neither id nor content.
#[derive(Clone)]
#[non_exhaustive]
pub struct Session<T> {
    /// Its secret name. If it is not the one that was asked for, the session got a new one
    /// meanwhile: hand it over again.
    pub id: SessionId,
    /// What it holds.
    pub state: T,
    /// What it holds besides.
    pub attributes: Attributes,
    /// The version of the write that made this content.
    pub version: Version,
    /// The name of the principal it belongs to; `None` if it is anonymous.
    pub principal: Option<String>,
    /// Time until it ends unless it is used, never more than the absolute one.
    pub idle_left: Duration,
    /// Time until it ends in any case.
    pub absolute_left: Duration,
    /// True if the browser is to forget it when it closes: see
    /// [`Lifetime::until_closed`](super::Lifetime::until_closed).
    pub until_closed: bool,
    /// True if its id is older than the renewal timeout: call
    /// [`rotate`](super::Sessions::rotate).
    pub renewal_due: bool,
    /// How long ago, at most, the store had it so.
    pub freshness: Freshness,
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

/// What is under an id.
#[derive(Clone, Debug)]
pub enum Found<T> {
    /// A live session.
    Live(Session<T>),
    /// None (any more).
    Ended(Ended),
}

impl<T> Found<T> {
    /// The session, if it is live.
    pub fn live(self) -> Option<Session<T>> {
        match self {
            Self::Live(session) => Some(session),
            Self::Ended(_) => None,
        }
    }
}

/// Why there is no session under an id, as far as the store can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It expired, was logged out, had to make room for another one, or never was.
    Missing,
    /// All sessions of its principal were ended.
    Revoked,
    /// It goes on under another id, which whoever changed it has. Do not remove a cookie: the
    /// browser may have the new one already.
    RotatedOut,
}

/// What an update of a session came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<R> {
    /// What the closure returned on the run that counted.
    pub output: R,
    /// The version the session has now.
    pub version: Version,
}

/// Why a session was not changed or created. Nothing was done, unless the store's error is
/// ambiguous.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SessionError {
    /// There is none (any more).
    #[error("the session is gone; start a new one")]
    Gone(Ended),
    /// An attribute is not what the edit [expected](super::Edit::expect).
    #[error("the session was changed meanwhile; load it again")]
    Changed,
    /// It is signed in as another principal than the one that is to be signed in.
    #[error("the session is signed in as somebody else; end it first")]
    SomebodyElse,
    /// The principal has as many sessions as it may have, and none is ended for a new one.
    #[error("{live} sessions are open already; end one first")]
    LimitReached {
        /// How many are live.
        live: usize,
    },
    /// The request's answer is ready: its session takes no more changes.
    #[error("the answer is on its way; change the session before it")]
    Committed,
    /// The request reads its session only: see [`Mode::ReadOnly`](super::Mode::ReadOnly).
    #[error("this request may not change its session; use a route that may")]
    ReadOnly,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Error),
}
