use std::fmt;
use std::sync::Arc;

/// Something that happened to a session, told after the store has confirmed it, by the process
/// that did it or found it out.
///
/// `Debug` does not show the principal.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEvent {
    /// What happened.
    pub what: Happening,
    /// Eight characters that stand for the session; `None` for all of a principal's.
    pub session: Option<String>,
    /// The principal's name, where it is known.
    pub principal: Option<String>,
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// It was created.
    Created,
    /// It was ended by its user, or by somebody for them.
    Destroyed,
    /// It had to make room at the limit of its principal's sessions.
    Evicted,
    /// It was on its principal's list and is gone without having been ended: it expired, or the
    /// store has dropped it. Told when the list is next shown, or makes room; not told if all
    /// sessions of the principal are over by then.
    Expired,
    /// All sessions of a principal were ended.
    Revoked,
    /// It got a new id; the event names it by the new one.
    Rotated,
}

impl fmt::Debug for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEvent")
            .field("what", &self.what)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Who is told.
#[derive(Clone)]
pub(super) struct Listener(Arc<dyn Fn(&SessionEvent) + Send + Sync>);

impl Listener {
    pub(super) fn new(listener: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(super) fn tell(&self, event: &SessionEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
