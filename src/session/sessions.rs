use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{
    Condition, Error, ErrorKind, Group, Key, Result, Ttl, Version, Write, Written,
};
use crate::store::{Carried, Freshness, Limit, Opened, Reads};
use crate::{State, Store};

use super::event::Listener;
use super::journal::{OnUnsaved, Replayer, Waiting};
use super::lifetime::Span;
use super::lookup::Current;
use super::record::{Live, Marks, Own, Owner, SessionHead};
use super::{
    AtLimit, Attributes, Found, Happening, Session, SessionEvent, SessionId, SessionsBuilder,
};

/// Typed sessions in a [`Store`].
///
/// ```
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use steadfast::{Principal, Sessions, State, Store};
/// #[derive(Serialize, Deserialize)]
/// struct Visit {
///     pages: u32,
/// }
/// impl State for Visit {
///     const SCHEMA: u16 = 1;
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// let sessions: Sessions<Visit> =
///     Sessions::builder(&store).idle(Duration::from_secs(1800)).build()?;
///
/// let alice = Principal::new("alice")?;
/// let session = sessions.sign_in(&alice, "Firefox", Visit { pages: 0 }).await?;
/// let cookie = session.id.expose();
///
/// let id = cookie.parse()?;
/// sessions.update(&id, |visit| visit.pages += 1).await?;
/// assert_eq!(sessions.load(&id).await?.map(|session| session.state.pages), Some(1));
///
/// sessions.destroy(&id).await?;
/// assert!(sessions.load(&id).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Sessions<T> {
    pub(super) store: Store,
    pub(super) idle: Duration,
    /// The TTL of a session's entry: the idle timeout plus the slack that spares most renewals.
    pub(super) kept: Ttl,
    pub(super) absolute: Ttl,
    pub(super) renewal: Duration,
    pub(super) grace: Ttl,
    pub(super) per_principal_max: usize,
    pub(super) at_limit: AtLimit,
    pub(super) size_max: usize,
    pub(super) listener: Option<Listener>,
    pub(super) reads: Reads,
    /// Changes that wait while the store is out.
    pub(super) journal: Option<Arc<Waiting>>,
    pub(super) on_unsaved: Option<OnUnsaved<T>>,
    pub(super) replayer: Option<Arc<Replayer>>,
    pub(super) state: PhantomData<fn() -> T>,
}

impl<T: State> Sessions<T> {
    /// Starts from a store.
    pub fn builder(store: &Store) -> SessionsBuilder<T> {
        SessionsBuilder::new(store.clone())
    }

    /// Creates a session that belongs to nobody. One trip.
    ///
    /// # Errors
    ///
    /// What the store says, and [`ErrorKind::TooLarge`] beyond
    /// [`size_max`](SessionsBuilder::size_max). Nothing is created then, unless the error is
    /// ambiguous, and in that case nobody holds the id.
    pub async fn create(&self, state: T) -> Result<Session<T>> {
        let (id, span) = (SessionId::generate(None)?, self.whole_span());
        self.create_as(id, state, Attributes::default(), span).await
    }

    /// As [`create`](Sessions::create), under an id that nobody has yet.
    pub(super) async fn create_as(
        &self,
        id: SessionId,
        state: T,
        attributes: Attributes,
        span: Span,
    ) -> Result<Session<T>> {
        let live = Live { attributes, own: span.own, ..Live::new(None) };
        let birth = self.birth(&id, &live, &state, new_life(span))?;
        match self.store.write(&birth).await? {
            Written::Applied { version: Some(version) } => {
                self.tell(Happening::Created, Some(&id), None);
                Ok(self.newborn(id, live, state, version, span.absolute.as_duration()))
            }
            _ => Err(collision()),
        }
    }

    /// The session with this id, or `None` if there is none (any more). Renews the idle timeout,
    /// but does not write on each call. One trip, two when the renewal is due.
    ///
    /// # Errors
    ///
    /// What the store says; an outage is never `Ok(None)`. [`ErrorKind::Corrupt`] for a record
    /// that this build cannot read.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        self.find(id).await.map(Found::live)
    }

    /// As [`load`](Sessions::load), and tells why there is no session.
    ///
    /// # Errors
    ///
    /// As [`load`](Sessions::load).
    pub async fn find(&self, id: &SessionId) -> Result<Found<T>> {
        self.store
            .one_call(async {
                let current = match self.current_as(id, self.reads).await? {
                    Ok(current) => current,
                    Err(ended) => return Ok(Found::Ended(ended)),
                };
                // Before anything is written: what this build cannot read is not even touched.
                let state = current.opened.value()?;
                let renewed = !current.freshness.is_stale()
                    && self.touch_if_due(&current.key, &current.opened).await;
                let Current { id, opened, freshness, .. } = current;
                Ok(Found::Live(self.session(id, opened, freshness, state, renewed)))
            })
            .await
    }

    /// The session as [`load`](Sessions::load) gives it, without renewing the idle timeout: for
    /// polling, which is no use of a session. One trip, never a write.
    ///
    /// # Errors
    ///
    /// As [`load`](Sessions::load).
    pub async fn peek(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        self.store
            .one_call(async {
                let Ok(current) = self.current_as(id, self.reads).await? else { return Ok(None) };
                let state = current.opened.value()?;
                let Current { id, opened, freshness, .. } = current;
                Ok(Some(self.session(id, opened, freshness, state, false)))
            })
            .await
    }

    /// Moves the idle deadline if the slack is used up. True if it did. A failure is no failure of
    /// the read it comes with: the next use tries again, and the session tells what is left.
    pub(super) async fn touch_if_due(&self, key: &Key, opened: &Opened<Live>) -> bool {
        let left = opened.left.unwrap_or(Duration::MAX);
        let at_limit = opened.limit_left.is_some_and(|limit_left| left >= limit_left);
        if left >= self.idle_of(&opened.head) || at_limit {
            return false;
        }
        let Ok(kept) = self.kept_of(&opened.head) else { return false };
        // Conditional, so that it cannot prolong what was changed, and a lost race is as good: the
        // winner set the deadline anew.
        let touch = Write::touch(key.clone(), Some(kept));
        let touch = touch.only_if(Condition::VersionIs(opened.version));
        self.store.write(&touch).await.is_ok_and(|written| written.is_applied())
    }

    pub(super) fn session(
        &self,
        id: SessionId,
        opened: Opened<Live>,
        freshness: Freshness,
        state: T,
        touched: bool,
    ) -> Session<T> {
        let named_for = opened.now_us.saturating_sub(opened.named_us());
        Session {
            idle_left: self.idle_left(&opened, touched),
            absolute_left: self.absolute_left(&opened),
            until_closed: opened.head.own.until_closed,
            renewal_due: Duration::from_micros(named_for) >= self.renewal,
            id,
            version: opened.version,
            principal: opened.head.owner.map(|owner| owner.name),
            attributes: opened.head.attributes,
            freshness,
            state,
        }
    }

    pub(super) fn idle_left(&self, opened: &Opened<Live>, touched: bool) -> Duration {
        let idle = self.idle_of(&opened.head);
        let left = if touched { idle } else { opened.left.unwrap_or(idle) };
        left.min(idle).min(opened.limit_left.unwrap_or(Duration::MAX))
    }

    pub(super) fn absolute_left(&self, opened: &Opened<Live>) -> Duration {
        opened.limit_left.unwrap_or(self.absolute.as_duration())
    }

    /// The write that creates a session, and only creates it.
    pub(super) fn birth(
        &self,
        id: &SessionId,
        live: &Live,
        state: &T,
        carried: Carried,
    ) -> Result<Write> {
        let put = self.put(&self.session_key(id)?, live.clone(), state, carried)?;
        Ok(put.only_if(Condition::Absent))
    }

    /// The write that stores a session.
    pub(super) fn put(&self, key: &Key, live: Live, state: &T, carried: Carried) -> Result<Write> {
        let kept = self.kept_of(&live)?;
        let put = self.store.compose(key, &SessionHead::of(live), Some(state), carried)?;
        let size = match &put {
            Write::Put { value, .. } => value.len(),
            _ => 0,
        };
        if size > self.size_max {
            let detail = format!(
                "a session may have {} bytes and this one would have {size}; keep what is large \
                 in a record of its own, and its key in the session",
                self.size_max
            );
            return Err(Error::new(ErrorKind::TooLarge, detail));
        }
        Ok(put.expiring(kept))
    }

    /// A session as it is right after the write that gave it its id. It is read soon, also should
    /// the store go away.
    pub(super) fn newborn(
        &self,
        id: SessionId,
        live: Live,
        state: T,
        version: Version,
        absolute_left: Duration,
    ) -> Session<T> {
        if self.reads != Reads::latest()
            && let Ok(keys) =
                self.session_key(&id).and_then(|key| self.keys_with(key, id.is_signed_in()))
        {
            self.store.read_later(keys);
        }
        Session {
            id,
            version,
            idle_left: self.idle_of(&live).min(absolute_left),
            until_closed: live.own.until_closed,
            principal: live.owner.map(|owner| owner.name),
            attributes: live.attributes,
            absolute_left,
            renewal_due: false,
            freshness: Freshness::Fresh,
            state,
        }
    }

    pub(super) fn tell(&self, what: Happening, id: Option<&SessionId>, principal: Option<&str>) {
        self.tell_short(what, id.map(SessionId::short), principal);
    }

    pub(super) fn tell_short(
        &self,
        what: Happening,
        session: Option<String>,
        principal: Option<&str>,
    ) {
        if let Some(listener) = &self.listener {
            let principal = principal.map(str::to_owned);
            listener.tell(&SessionEvent { what, session, principal });
        }
    }

    pub(super) fn session_key(&self, id: &SessionId) -> Result<Key> {
        self.store.own_key(KIND, &id.group(), &id.digest())
    }

    /// A session's key, and what it is read with: the record that makes a signed-in one valid.
    pub(super) fn keys_with(&self, key: Key, is_signed_in: bool) -> Result<Vec<Key>> {
        let mut keys = vec![key];
        if is_signed_in {
            keys.push(self.user_key(&Group::new(keys[0].group())?)?);
        }
        Ok(keys)
    }

    pub(super) fn user_key(&self, group: &Group) -> Result<Key> {
        self.store.own_key(KIND, group, USER)
    }

    pub(super) fn list_key(&self, group: &Group) -> Result<Key> {
        self.store.own_key(KIND, group, DEVICES)
    }

    pub(super) fn digest_key(&self, group: &Group, digest: &str) -> Result<Key> {
        self.store.own_key(KIND, group, digest)
    }
}

impl Live {
    /// Nothing in it yet.
    pub(super) fn new(owner: Option<Owner>) -> Self {
        Self {
            owner,
            attributes: Attributes::default(),
            named_us: 0,
            marks: Marks::default(),
            own: Own::default(),
        }
    }
}

/// Begins with the write that carries it.
pub(super) fn new_life(span: Span) -> Carried {
    Carried::limited(Limit::from_now(span.absolute))
}

impl Opened<Live> {
    /// When the session got its id, in µs on the store's clock.
    pub(super) fn named_us(&self) -> u64 {
        match self.head.named_us {
            0 => self.written_us,
            named_us => named_us,
        }
    }
}

pub(super) const KIND: &str = "session";
/// The names of a principal's records; no digest is this short.
const USER: &str = "user";
pub(super) const DEVICES: &str = "devices";

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            listener: self.listener.clone(),
            journal: self.journal.clone(),
            on_unsaved: self.on_unsaved.clone(),
            replayer: self.replayer.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.store)
            .field("idle", &self.idle)
            .field("absolute", &self.absolute)
            .finish_non_exhaustive()
    }
}

fn collision() -> Error {
    let detail = "a fresh 256-bit id is already taken; no session was created; check the \
                  operating system's random source";
    Error::new(ErrorKind::Other, detail)
}
