//! A lifetime that is chosen for one session.

use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result, Ttl};
use crate::store::{Carried, Opened};
use crate::{Principal, State};

use super::record::{Live, Own};
use super::{Attributes, Edit, Session, SessionError, SessionId, Sessions};

/// How long one session lives, where that is not what the
/// [settings](super::SessionsBuilder) say: for "remember me" at a log-in.
///
/// What is not set here is as in the settings. The absolute timeout of the settings is the most
/// that one session may have. The session keeps its lifetime under each new id.
///
/// ```
/// # use std::time::Duration;
/// # use steadfast::session::Lifetime;
/// # use steadfast::{Principal, Sessions, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// const DAY: Duration = Duration::from_secs(24 * 3600);
///
/// // 30 minutes unless it is used, and 30 days at most.
/// let sessions: Sessions<()> = Sessions::builder(&store).absolute(30 * DAY).build()?;
/// let remember_me = true;
/// let lifetime = if remember_me {
///     Lifetime::new().idle(14 * DAY)
/// } else {
///     Lifetime::new().absolute(DAY / 2).until_closed()
/// };
/// let alice = Principal::new("alice")?;
/// let session = sessions.sign_in_for(&alice, "Firefox", (), lifetime).await?;
/// assert_eq!((session.idle_left, session.absolute_left), (14 * DAY, 30 * DAY));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    idle: Option<Duration>,
    absolute: Option<Duration>,
    until_closed: bool,
}

impl Lifetime {
    /// As in the settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the session lives without being used; it may be longer than in the settings.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// How long it lives at most, however much it is used: up to the
    /// [absolute](super::SessionsBuilder::absolute) timeout of the settings.
    #[must_use]
    pub fn absolute(mut self, absolute: Duration) -> Self {
        self.absolute = Some(absolute);
        self
    }

    /// The browser is to forget it when it closes: its cookie has no `Max-Age`. For how long the
    /// store keeps it, the timeouts decide.
    #[must_use]
    pub fn until_closed(mut self) -> Self {
        self.until_closed = true;
        self
    }
}

/// A lifetime that goes with the settings.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) own: Own,
    pub(super) absolute: Ttl,
}

impl<T: State> Sessions<T> {
    /// As [`create`](Sessions::create), with a lifetime of its own.
    ///
    /// # Errors
    ///
    /// As [`create`](Sessions::create), and [`ErrorKind::Invalid`] for a timeout of zero, or an
    /// absolute one over that of the settings.
    pub async fn create_for(&self, state: T, lifetime: Lifetime) -> Result<Session<T>> {
        let span = self.span(lifetime)?;
        self.create_as(SessionId::generate(None)?, state, Attributes::default(), span).await
    }

    /// As [`sign_in`](Sessions::sign_in), with a lifetime of its own.
    ///
    /// # Errors
    ///
    /// As [`sign_in`](Sessions::sign_in), and [`ErrorKind::Invalid`] for a timeout of zero, or an
    /// absolute one over that of the settings.
    pub async fn sign_in_for(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
        lifetime: Lifetime,
    ) -> std::result::Result<Session<T>, SessionError> {
        let span = self.span(lifetime)?;
        let call = self.sign_in_with(principal, label, state, Attributes::default(), span);
        self.store.one_call(call).await
    }

    /// As [`elevate`](Sessions::elevate), with a lifetime from now on that takes the place of the
    /// one before. The absolute end comes no later than it would have.
    ///
    /// # Errors
    ///
    /// As [`elevate`](Sessions::elevate), and [`ErrorKind::Invalid`] for a timeout of zero, or an
    /// absolute one over that of the settings.
    pub async fn elevate_for(
        &self,
        id: &SessionId,
        principal: &Principal,
        label: &str,
        lifetime: Lifetime,
    ) -> std::result::Result<Session<T>, SessionError> {
        let (edit, span) = (Edit::new(), self.span(lifetime)?);
        self.store.one_call(self.elevate_with(id, principal, label, &edit, Some(span))).await
    }

    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for one that the settings do not allow.
    pub(super) fn span(&self, lifetime: Lifetime) -> Result<Span> {
        let Lifetime { idle, absolute, until_closed } = lifetime;
        let life = absolute.map_or(Ok(self.absolute), Ttl::new)?;
        if life.as_duration() > self.absolute.as_duration() {
            let detail = format!(
                "a session of these lives for {:?} at most, not for {:?}; see \
                 SessionsBuilder::absolute",
                self.absolute.as_duration(),
                life.as_duration()
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let chosen = idle.is_some() || absolute.is_some();
        let idle = Ttl::new(idle.unwrap_or(self.idle).min(life.as_duration()))?;
        let differs = chosen && idle.as_duration() != self.idle;
        let idle_ms = if differs { idle.as_millis() } else { 0 };
        Ok(Span { own: Own { idle_ms, until_closed }, absolute: life })
    }

    /// As in the settings.
    pub(super) fn whole_span(&self) -> Span {
        Span { own: Own::default(), absolute: self.absolute }
    }

    /// A session goes on under a new id, perhaps for another span: what its birth carries, and the
    /// time to its absolute end, which comes no later than before.
    pub(super) fn go_on_for(
        &self,
        live: &mut Live,
        opened: &Opened<Live>,
        span: Option<Span>,
    ) -> (Carried, Duration) {
        let left = self.absolute_left(opened);
        let Some(span) = span else { return (opened.carried, left) };
        live.own = span.own;
        let most = span.absolute.as_duration();
        if most < left {
            (opened.carried.limited_anew(span.absolute), most)
        } else {
            (opened.carried, left)
        }
    }

    pub(super) fn idle_of(&self, live: &Live) -> Duration {
        match live.own.idle_ms {
            0 => self.idle,
            idle_ms => Duration::from_millis(idle_ms),
        }
    }

    /// The TTL of its entry: the idle timeout plus the slack that spares most renewals.
    pub(super) fn kept_of(&self, live: &Live) -> Result<Ttl> {
        if live.own.idle_ms == 0 {
            return Ok(self.kept);
        }
        let idle = self.idle_of(live);
        Ttl::new((idle + slack(idle)).min(self.absolute.as_duration()))
    }
}

/// How long after a renewal of the idle timeout a use does not write.
pub(super) fn slack(idle: Duration) -> Duration {
    (idle / 10).min(Duration::from_secs(60))
}
