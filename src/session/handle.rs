//! What one request's handler holds of its session.

mod commit;
mod copies;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use crate::backend::Version;
use crate::store::{Freshness, Reads};
use crate::{Principal, State};

use super::lookup::Current;
use super::record::Live;
use super::{Edit, Ended, Lifetime, Session, SessionError, SessionId, Sessions};

pub use commit::Outcome;

/// The session of one request, read when it is first used: a request that does not look at its
/// session costs no trip.
///
/// Clones are the same session, so that tasks of a handler share what was read. No lock is held
/// between two calls. What is changed waits for [`commit`](SessionHandle::commit), which whoever
/// answers the request calls before the answer leaves: an [`Edit`], a new session, a sign-in and a
/// new id come true together there, or not at all. [`update`](SessionHandle::update) and
/// [`destroy`](SessionHandle::destroy) act at once.
///
/// With the feature `poem`, [`CookieSession`] makes the handle, commits it and tells the client.
///
/// ```
/// # use steadfast::session::{Edit, Mode, Outcome, SessionHandle};
/// # use steadfast::{Sessions, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// # let sessions: Sessions<()> = Sessions::builder(&store).build()?;
/// // A request without a session, whose handler begins one.
/// let request = SessionHandle::new(&sessions, None, Mode::Normal);
/// request.start(()).await?;
/// request.edit(Edit::new().set("theme", "dark")).await?;
/// let Outcome::HandOver(session) = request.commit().await? else { panic!("it is new") };
///
/// // The next request brings its id.
/// let request = SessionHandle::new(&sessions, Some(session.id.clone()), Mode::Normal);
/// assert!(request.get().await?.is_some());
/// assert!(matches!(request.commit().await?, Outcome::Keep));
/// # Ok(())
/// # }
/// ```
#[cfg_attr(feature = "poem", doc = "\n[`CookieSession`]: crate::http::CookieSession")]
#[cfg_attr(not(feature = "poem"), doc = "\n[`CookieSession`]: https://docs.rs/steadfast")]
pub struct SessionHandle<T>(Arc<Shared<T>>);

/// What a request may do with its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All of it. Reading moves the idle deadline, and an id that is due is renewed.
    #[default]
    Normal,
    /// For polling, which is no use of a session: reading neither moves the idle deadline nor
    /// renews the id. A change does count as use.
    NoTouch,
    /// Reading only; a change is [`SessionError::ReadOnly`]. The id is not renewed.
    ReadOnly,
}

struct Shared<T> {
    sessions: Sessions<T>,
    /// What the client has, the first of it first.
    given: Vec<SessionId>,
    mode: Mode,
    used: AtomicBool,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    phase: Phase<T>,
    changes: Changes<T>,
    stage: Stage,
    /// A session was ended by this request.
    destroyed: bool,
    /// A write of this request to the session was acknowledged, so its id is confirmed, too.
    confirmed: bool,
}

/// How far the end of the request has come.
#[derive(Clone, Copy)]
enum Stage {
    Open,
    /// It was begun, and did not end well.
    Failed,
    Committed,
}

enum Phase<T> {
    /// Nobody has looked yet: the ids that came, at least one.
    Unread(Vec<SessionId>),
    /// There is none. Why, if the request came with an id.
    Absent(Option<Ended>),
    /// Begun by this request, not stored yet.
    New(Arc<Session<T>>),
    /// With the record as it was read, unless it was changed since.
    Live(Arc<Session<T>>, Option<Box<Current>>),
    /// Ended by this request.
    Destroyed,
}

/// What waits for the commit.
struct Changes<T> {
    edit: Edit,
    rotate: bool,
    /// What a session begins with if the one of which a copy was read is over.
    start: Option<(T, Lifetime)>,
    /// Of a session that is begun.
    lifetime: Lifetime,
    sign_in: Option<SignIn<T>>,
    /// Another principal's session, which ends with the sign-in.
    ends: Option<SessionId>,
}

struct SignIn<T> {
    principal: Principal,
    label: String,
    /// What a new session begins with.
    state: T,
    /// If it is to have another one.
    lifetime: Option<Lifetime>,
}

impl<T: State> SessionHandle<T> {
    /// For a request that came with this id, or with none. Reads nothing.
    pub fn new(sessions: &Sessions<T>, id: Option<SessionId>, mode: Mode) -> Self {
        Self::of_several(sessions, Vec::from_iter(id), mode)
    }

    /// For a request that came with several ids, as a browser sends them that has cookies of one
    /// name for several paths or domains. The first one that names a live session counts, so that
    /// a dead one that is left over locks nobody out. Reads nothing; looking takes one trip for
    /// each id up to the live one.
    pub fn of_several(sessions: &Sessions<T>, ids: Vec<SessionId>, mode: Mode) -> Self {
        let unread = (!ids.is_empty()).then(|| ids.clone());
        let phase = unread.map_or(Phase::Absent(None), Phase::Unread);
        let (changes, stage, destroyed) = (Changes::default(), Stage::Open, false);
        Self(Arc::new(Shared {
            sessions: sessions.clone(),
            given: ids,
            mode,
            used: AtomicBool::new(false),
            held: Mutex::new(Held { phase, changes, stage, destroyed, confirmed: false }),
        }))
    }

    /// The session with the edits made so far, or `None` if there is none (any more). The first
    /// call reads it, in one trip, two when the idle deadline moves; later ones and other tasks
    /// share that. A session that was [begun](SessionHandle::start) here is not stored yet: its
    /// version is [`Version::MIN`]. A sign-in or a new id shows after the commit.
    ///
    /// # Errors
    ///
    /// As [`Sessions::load`]: an outage is never `Ok(None)`. The next call tries again.
    pub async fn get(&self) -> crate::Result<Option<Arc<Session<T>>>> {
        let mut held = self.hold().await;
        self.read(&mut held.phase).await?;
        Ok(held.phase.session().cloned())
    }

    /// How old the session is that was read; fresh if none was.
    pub async fn freshness(&self) -> Freshness {
        let held = self.hold().await;
        held.phase.session().map_or(Freshness::Fresh, |session| session.freshness)
    }

    /// Ends the session, at once: later changes are [`SessionError::Gone`], unless a new session
    /// begins before, and whatever becomes of the request, the client is told to forget the id.
    /// Two trips. If the request came with several ids, the sessions of the others end, too: the
    /// next request would go on with one of them.
    ///
    /// # Errors
    ///
    /// As [`Sessions::destroy`]; the session then may still be live. Of several ids, one that the
    /// session no longer has is an error only if none of the others leads to a live session.
    pub async fn destroy(&self) -> Result<(), SessionError> {
        let mut held = self.hold_to_change().await?;
        let given = &self.0.given;
        if given.len() > 1 {
            given.iter().try_for_each(|id| self.0.sessions.forget(id))?;
            self.read(&mut held.phase).await?;
        }
        match self.end(&held).await {
            // The store may have another of them live than the copy of this one said.
            Err(SessionError::Gone(_)) if given.len() > 1 && held.phase.copy().is_some() => {
                let look = self.look_for(given, Reads::default());
                held.phase = self.0.sessions.store.one_call(look).await?;
                self.end(&held).await?;
            }
            ended => ended?,
        }
        held.changes = Changes::default();
        (held.phase, held.destroyed) = (Phase::Destroyed, true);
        Ok(())
    }

    /// Ends what is held, and what the client has other ids of.
    async fn end(&self, held: &Held<T>) -> Result<(), SessionError> {
        let sessions = &self.0.sessions;
        let shows_unconfirmed = sessions.store.info().capabilities.shows_unconfirmed();
        let ids = match &held.phase {
            Phase::Unread(ids) => ids.get(..1).unwrap_or_default(),
            Phase::Live(session, _) => std::slice::from_ref(&session.id),
            Phase::New(_) => held.changes.ends.as_slice(),
            Phase::Absent(Some(Ended::RotatedOut)) => {
                return Err(SessionError::Gone(Ended::RotatedOut));
            }
            Phase::Absent(Some(Ended::Missing | Ended::Revoked)) => {
                // Who ended them may have had no confirmation.
                for id in self.0.given.iter().filter(|_| shows_unconfirmed) {
                    sessions.destroy(id).await?;
                }
                return Ok(());
            }
            Phase::Absent(None) | Phase::Destroyed => return Ok(()),
        };
        for id in ids {
            sessions.destroy(id).await?;
        }
        match ids.first() {
            Some(first) => self.end_others(first).await,
            None => Ok(()),
        }
    }

    /// Ends what the client has other ids of, if it came with several. An id that led to the
    /// session is one, too, where it may come back: its renewal may not be confirmed.
    async fn end_others(&self, first: &SessionId) -> Result<(), SessionError> {
        let Shared { sessions, given, .. } = &*self.0;
        let all = given.len() > 1 || sessions.store.info().capabilities.shows_unconfirmed();
        for id in given.iter().filter(|id| all && *id != first) {
            match sessions.destroy(id).await {
                // If it goes on, then under an id that this one does not lead to.
                Ok(()) | Err(SessionError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// True if somebody has asked for the session: the answer then depends on who asks.
    pub fn is_used(&self) -> bool {
        self.0.used.load(Ordering::Relaxed)
    }

    async fn hold(&self) -> MutexGuard<'_, Held<T>> {
        self.0.used.store(true, Ordering::Relaxed);
        self.0.held.lock().await
    }

    async fn hold_to_change(&self) -> Result<MutexGuard<'_, Held<T>>, SessionError> {
        let held = self.hold().await;
        match (self.0.mode, held.stage) {
            (Mode::ReadOnly, _) => Err(SessionError::ReadOnly),
            (_, Stage::Open) => Ok(held),
            (_, Stage::Failed | Stage::Committed) => Err(SessionError::Committed),
        }
    }

    async fn read(&self, phase: &mut Phase<T>) -> crate::Result<()> {
        let Phase::Unread(ids) = phase else { return Ok(()) };
        let look = self.look_for(ids, self.0.sessions.reads);
        *phase = self.0.sessions.store.one_call(look).await?;
        Ok(())
    }

    /// The first live one.
    async fn look_for(&self, ids: &[SessionId], reads: Reads) -> crate::Result<Phase<T>> {
        let mut ended = None;
        for id in ids {
            match self.look(id, reads).await? {
                // The client may have the id that came after this one.
                Phase::Absent(Some(Ended::RotatedOut)) => ended = Some(Ended::RotatedOut),
                Phase::Absent(reason) => ended = ended.or(reason),
                found => return Ok(found),
            }
        }
        Ok(Phase::Absent(ended))
    }

    async fn look(&self, id: &SessionId, reads: Reads) -> crate::Result<Phase<T>> {
        let Shared { sessions, mode, .. } = &*self.0;
        let current = match sessions.current_as(id, reads).await? {
            Ok(current) => current,
            Err(ended) => return Ok(Phase::Absent(Some(ended))),
        };
        // Before anything is written: what this build cannot read is not even touched.
        let state = current.opened.value()?;
        let touched = *mode != Mode::NoTouch
            && !current.freshness.is_stale()
            && sessions.touch_if_due(&current.key, &current.opened).await;
        let Current { id, opened, freshness, .. } = current.clone();
        let session = sessions.session(id, opened, freshness, state, touched);
        Ok(Phase::Live(Arc::new(session), Some(Box::new(current))))
    }
}

impl<T: State + Clone> SessionHandle<T> {
    /// Begins an anonymous session, unless there is a session already. It is stored at the commit,
    /// in one trip. What was read from the [near cache](super::SessionsBuilder::reads) counts as a
    /// session until it is changed: if it is over by then, a new one begins.
    ///
    /// # Errors
    ///
    /// As [`get`](SessionHandle::get), and [`SessionError::Gone`] if the session goes on under
    /// another id: a new one would take its place in the client.
    pub async fn start(&self, state: T) -> Result<(), SessionError> {
        self.start_for(state, Lifetime::new()).await
    }

    /// As [`start`](SessionHandle::start), with a lifetime of its own if the session begins here.
    ///
    /// # Errors
    ///
    /// As `start`, and [`Invalid`](crate::ErrorKind::Invalid) for a lifetime that the settings do
    /// not allow.
    pub async fn start_for(&self, state: T, lifetime: Lifetime) -> Result<(), SessionError> {
        let mut held = self.hold_to_change().await?;
        self.read(&mut held.phase).await?;
        match held.phase {
            _ if held.phase.copy().is_some() => {
                self.0.sessions.span(lifetime)?;
                held.changes.start = Some((state, lifetime));
                Ok(())
            }
            Phase::Absent(Some(Ended::RotatedOut)) => Err(SessionError::Gone(Ended::RotatedOut)),
            _ => Ok(self.begin(&mut held, state, lifetime)?),
        }
    }

    /// Signs a principal in: what an anonymous session holds goes on under a new id, and the old
    /// one is worth nothing; without a session, a new one begins with `state`. See
    /// [`Sessions::elevate`] and [`Sessions::sign_in`]. It is done at the commit, in two or three
    /// trips; one more here if a session was read from the near cache: the store is asked whether
    /// it is live, and in an outage it counts as live.
    ///
    /// If the session is somebody else's, nothing of it goes on: a new session begins with `state`,
    /// and at the commit the other one ends, in two trips more. What waited to be changed in it is
    /// dropped. After a [`destroy`](SessionHandle::destroy), a new session begins, too.
    ///
    /// # Errors
    ///
    /// As [`get`](SessionHandle::get).
    pub async fn sign_in(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
    ) -> Result<(), SessionError> {
        self.sign_in_as(principal, label, state, None).await
    }

    /// As [`sign_in`](SessionHandle::sign_in), with a lifetime: for "remember me". Whether the
    /// browser keeps the cookie when it closes is part of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use steadfast::session::{Lifetime, Mode, Outcome, SessionHandle};
    /// # use steadfast::{Principal, Sessions, Store};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    /// const DAY: Duration = Duration::from_secs(24 * 3600);
    /// let sessions: Sessions<()> = Sessions::builder(&store).absolute(30 * DAY).build()?;
    ///
    /// let request = SessionHandle::new(&sessions, None, Mode::Normal);
    /// let remembered = Lifetime::new().idle(14 * DAY);
    /// request.sign_in_for(&Principal::new("alice")?, "Firefox", (), remembered).await?;
    /// let Outcome::HandOver(session) = request.commit().await? else { panic!("it is new") };
    /// assert_eq!(session.idle_left, 14 * DAY);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As `sign_in`, and [`Invalid`](crate::ErrorKind::Invalid) for a lifetime that the settings do
    /// not allow.
    pub async fn sign_in_for(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
        lifetime: Lifetime,
    ) -> Result<(), SessionError> {
        self.0.sessions.span(lifetime)?;
        self.sign_in_as(principal, label, state, Some(lifetime)).await
    }

    async fn sign_in_as(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
        lifetime: Option<Lifetime>,
    ) -> Result<(), SessionError> {
        let mut held = self.hold_to_change().await?;
        self.read(&mut held.phase).await?;
        self.try_replace_copy(&mut held).await?;
        held.leave_to(principal);
        self.begin(&mut held, state.clone(), lifetime.unwrap_or_default())?;
        let (principal, label) = (principal.clone(), label.to_owned());
        held.changes.sign_in = Some(SignIn { principal, label, state, lifetime });
        Ok(())
    }

    /// Changes attributes, at the commit: on a conflict the edit is made again, on what others
    /// left. [`get`](SessionHandle::get) shows it from now on. One trip at the commit. If the
    /// session was read from the [near cache](super::SessionsBuilder::reads), it is read again
    /// here, from the store.
    ///
    /// # Errors
    ///
    /// As [`Sessions::load`], also while `get` gives a stale session; [`SessionError::Gone`] if
    /// there is no session, and as [`Sessions::edit`] for an edit that does not go with the session
    /// as it is. Nothing of the edit is done then.
    pub async fn edit(&self, edit: Edit) -> Result<(), SessionError> {
        self.0.sessions.store.one_call(self.read_and_edit(edit)).await
    }

    async fn read_and_edit(&self, edit: Edit) -> Result<(), SessionError> {
        let mut held = self.hold_to_change().await?;
        self.read(&mut held.phase).await?;
        self.replace_copy_to_change(&mut held).await?;
        let session = held.phase.session_mut()?;
        let mut attributes = session.attributes.clone();
        edit.apply(&mut attributes)?;
        Arc::make_mut(session).attributes = attributes;
        held.changes.edit = mem::take(&mut held.changes.edit).then(edit);
        Ok(())
    }

    /// Changes the state by a closure, at once, and again on what others left if they were faster:
    /// as [`Sessions::update`], in two trips with the read. It stays whatever becomes of the
    /// request, unless the session is not stored yet.
    ///
    /// # Errors
    ///
    /// As [`Sessions::update`].
    pub async fn update<R>(&self, change: impl FnMut(&mut T) -> R) -> Result<R, SessionError> {
        self.0.sessions.store.one_call(self.read_and_update(change)).await
    }

    async fn read_and_update<R>(
        &self,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R, SessionError> {
        let mut held = self.hold_to_change().await?;
        self.read(&mut held.phase).await?;
        if self.0.given.len() > 1 || held.changes.begin() {
            self.replace_copy_to_change(&mut held).await?;
        }
        let Held { phase, changes, confirmed, .. } = &mut *held;
        let Phase::Live(session, current) = phase else {
            return Ok(change(&mut Arc::make_mut(phase.session_mut()?).state));
        };
        let (id, current) = (session.id.clone(), current.take().map(|current| *current));
        let revise = self.0.sessions.revise(&id, current, |state, _| Ok(change(state)));
        let (output, mut revised) = revise.await?;
        changes.show_edit(&mut revised);
        (*session, *confirmed) = (Arc::new(revised), true);
        Ok(output)
    }

    /// Gives the session a new id, at the commit, because its holder may do more from now on; the
    /// old one is worth nothing then. See [`Sessions::rotate`]. Two trips at the commit.
    ///
    /// # Errors
    ///
    /// As [`get`](SessionHandle::get), and [`SessionError::Gone`] if there is no session.
    pub async fn rotate(&self) -> Result<(), SessionError> {
        let mut held = self.hold_to_change().await?;
        self.read(&mut held.phase).await?;
        if self.0.given.len() > 1 || held.changes.begin() {
            self.replace_copy_to_change(&mut held).await?;
        }
        held.phase.session_mut()?;
        held.changes.rotate = true;
        Ok(())
    }

    /// A session that is not stored yet, where there is none.
    fn begin(&self, held: &mut Held<T>, state: T, lifetime: Lifetime) -> crate::Result<()> {
        if let Phase::Absent(_) | Phase::Unread(_) | Phase::Destroyed = held.phase {
            let span = self.0.sessions.span(lifetime)?;
            let (id, left) = (SessionId::generate(None)?, span.absolute.as_duration());
            let live = Live { own: span.own, ..Live::new(None) };
            let session = self.0.sessions.newborn(id, live, state, Version::MIN, left);
            held.phase = Phase::New(Arc::new(session));
            held.changes.lifetime = lifetime;
        }
        Ok(())
    }
}

impl<T> Held<T> {
    /// Lets nothing of another principal's session, or sign-in, go on in that of this one.
    fn leave_to(&mut self, principal: &Principal) {
        let pending = self.changes.sign_in.as_ref().map(|sign_in| sign_in.principal.name());
        let owner = self.phase.session().and_then(|session| session.principal.as_deref());
        if pending.or(owner).is_none_or(|owner| owner == principal.name()) {
            return;
        }
        let ends = match &self.phase {
            Phase::Live(session, _) => Some(session.id.clone()),
            _ => self.changes.ends.take(),
        };
        self.changes = Changes { ends, ..Changes::default() };
        self.phase = Phase::Absent(None);
    }
}

impl<T> Changes<T> {
    /// Shows the edit that waits in what the session is now, if it goes with that: else the commit
    /// finds out.
    fn show_edit(&self, session: &mut Session<T>) {
        let mut attributes = session.attributes.clone();
        if self.edit.apply(&mut attributes).is_ok() {
            session.attributes = attributes;
        }
    }
}

impl<T> Phase<T> {
    fn session(&self) -> Option<&Arc<Session<T>>> {
        match self {
            Self::New(session) | Self::Live(session, _) => Some(session),
            Self::Unread(_) | Self::Absent(_) | Self::Destroyed => None,
        }
    }

    /// The session, if the store was not asked for it.
    fn copy(&self) -> Option<&Arc<Session<T>>> {
        self.session().filter(|session| session.freshness != Freshness::Fresh)
    }

    fn session_mut(&mut self) -> Result<&mut Arc<Session<T>>, SessionError> {
        match self {
            Self::New(session) | Self::Live(session, _) => Ok(session),
            Self::Absent(Some(ended)) => Err(SessionError::Gone(*ended)),
            Self::Absent(None) | Self::Unread(_) | Self::Destroyed => {
                Err(SessionError::Gone(Ended::Missing))
            }
        }
    }
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        let (edit, lifetime) = (Edit::new(), Lifetime::new());
        Self { edit, rotate: false, start: None, lifetime, sign_in: None, ends: None }
    }
}

impl<T> Clone for SessionHandle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for SessionHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("given", &self.0.given)
            .field("mode", &self.0.mode)
            .field("used", &self.0.used)
            .finish_non_exhaustive()
    }
}
