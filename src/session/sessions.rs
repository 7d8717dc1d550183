use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::backend::{
    Condition, Entry, Error, ErrorKind, Group, Key, Result, Transacted, Ttl, Version, Write,
    Written,
};
use crate::store::{self, Carried, Fate, Limit, Opened};
use crate::{Principal, State, Store};

use super::record::SessionHead;
use super::user::{DeviceRecord, UserRecord};
use super::{Changed, Device, Session, SessionError, SessionId, SessionsBuilder};

/// How often a sign-in is tried again when others sign in, or out, as the same principal.
const SIGN_IN_ATTEMPTS_MAX: usize = 256;

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
    pub(super) per_principal_max: usize,
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
    /// What the store says; nothing is created then, unless the error is ambiguous, and in that
    /// case nobody holds the id.
    pub async fn create(&self, state: T) -> Result<Session<T>> {
        let id = SessionId::generate(None)?;
        let head = SessionHead { owner: None };
        match self.store.write(self.birth(&id, &head, &state)?).await? {
            Written::Applied { version: Some(version) } => {
                Ok(self.newborn(id, head, state, version))
            }
            _ => Err(collision()),
        }
    }

    /// Creates a session of a principal and enters it in the list of devices, both or neither. At
    /// the limit the oldest session ends. Two trips.
    ///
    /// # Errors
    ///
    /// As [`create`](Sessions::create), and [`ErrorKind::Contended`] if others kept signing in as
    /// the same principal.
    pub async fn sign_in(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
    ) -> Result<Session<T>> {
        let id = SessionId::generate(Some(principal))?;
        let user_key = self.user_key(&id.group())?;
        let mut head = SessionHead { owner: None };
        let mut user_entry = self.store.entry(&user_key).await?;
        let mut turn = None;
        for _attempt in 0..SIGN_IN_ATTEMPTS_MAX {
            let (generation, mut writes) =
                self.enlist(&id, label, &user_key, user_entry.as_ref()).await?;
            head.owner = Some((principal.name().to_owned(), generation));
            writes.push(self.birth(&id, &head, &state)?);
            match self.store.transact_birth(writes).await? {
                Transacted::Applied { versions } => {
                    let version = versions.last().copied().flatten().ok_or_else(collision)?;
                    return Ok(self.newborn(id, head, state, version));
                }
                Transacted::Refused { index: 0, current } => user_entry = current,
                Transacted::Refused { .. } => return Err(collision()),
            }
            if turn.is_none() {
                turn = Some(self.store.turn(&user_key).await);
                user_entry = self.store.entry(&user_key).await?;
            }
        }
        Err(store::contended(SIGN_IN_ATTEMPTS_MAX))
    }

    /// The session with this id, or `None` if there is none (any more). Renews the idle timeout,
    /// but does not write on each call. One trip, two when the renewal is due.
    ///
    /// # Errors
    ///
    /// What the store says; an outage is never `Ok(None)`. [`ErrorKind::Corrupt`] for a record
    /// that this build cannot read.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session<T>>> {
        let Some((_entry, record)) = self.live(id).await? else { return Ok(None) };
        let renewed = self.renew_if_due(id, &record).await;
        self.session(id.clone(), record, renewed).map(Some)
    }

    /// Changes a session's state by a closure, which runs again if others changed it meanwhile;
    /// no update is lost, and none brings an ended session back. Two trips; one if the state
    /// comes out as it was.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if there is no such session (any more); otherwise what the store
    /// says.
    pub async fn update<R>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut T) -> R,
    ) -> std::result::Result<Changed<R>, SessionError> {
        let (entry, record) = self.live(id).await?.ok_or(SessionError::Gone)?;
        let (before, key) = (entry.version, self.session_key(id)?);
        let plan = |current: Option<&Entry>| -> std::result::Result<_, SessionError> {
            let current = current.ok_or(SessionError::Gone)?;
            let opened =
                self.store.open::<SessionHead>(&key, current)?.ok_or(SessionError::Gone)?;
            let mut state = opened.value::<T>()?;
            let output = change(&mut state);
            let put = self.store.compose(&key, &opened.head, Some(&state), opened.carried)?;
            Ok((Some(put.expiring(self.kept)), output))
        };
        let updated = self.store.optimistic(&key, Some(entry), plan, |_| Ok(Fate::Unknown)).await?;
        let version = updated.version.ok_or(SessionError::Gone)?;
        if version == before {
            self.renew_if_due(id, &record).await;
        }
        Ok(Changed { output: updated.output, version })
    }

    /// Ends a session at once. Ending one that is gone is fine. One trip.
    ///
    /// # Errors
    ///
    /// What the store says; the session then may still be live.
    pub async fn destroy(&self, id: &SessionId) -> Result<()> {
        // Its line in the list of devices stays until its absolute timeout, or until the list is
        // full; the list is never shown without asking which sessions live.
        self.store.delete(&self.session_key(id)?).await
    }

    /// Ends all sessions of a principal at once. One trip, whatever their number.
    ///
    /// # Errors
    ///
    /// What the store says; the sessions then may still be live.
    pub async fn destroy_all(&self, principal: &Principal) -> Result<()> {
        // Every session names the generation of this record, and a new record draws a new one.
        self.store.delete(&self.user_key(&principal.group())?).await
    }

    /// The live sessions of a principal, oldest first; `current` marks the one that asks. Two
    /// trips.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn devices(
        &self,
        principal: &Principal,
        current: Option<&SessionId>,
    ) -> Result<Vec<Device>> {
        let group = principal.group();
        let user_key = self.user_key(&group)?;
        let user_entry = self.store.entry(&user_key).await?;
        let Some(user) = UserRecord::read(&self.store, &user_key, user_entry.as_ref())? else {
            return Ok(Vec::new());
        };
        let current = current.map(SessionId::digest);
        let entries = self.store.entries(&self.device_keys(&group, &user)?).await?;
        let mut devices = Vec::with_capacity(entries.len());
        for (device, entry) in user.devices.into_iter().zip(entries) {
            let Some(record) = self.decode_live(
                &self.device_key(&group, &device)?,
                entry.as_ref(),
                Some(user.generation),
            )?
            else {
                continue;
            };
            devices.push(Device {
                short_id: device.digest[..8].to_owned(),
                label: device.label,
                age: lived(&record),
                idle_left: self.idle_left(&record, false),
                current: current.as_ref() == Some(&device.digest),
            });
        }
        Ok(devices)
    }

    /// The entry and record of a live session.
    async fn live(&self, id: &SessionId) -> Result<Option<(Entry, Opened<SessionHead>)>> {
        let mut keys = vec![self.session_key(id)?];
        let (entry, generation) = if id.is_signed_in() {
            keys.push(self.user_key(&id.group())?);
            let mut entries = self.store.entries(&keys).await?.into_iter();
            let (session, user) = (entries.next().flatten(), entries.next().flatten());
            // Without its principal's record a signed-in session counts as ended: fail safe.
            let user = UserRecord::read(&self.store, &keys[1], user.as_ref())?;
            let Some(user) = user else { return Ok(None) };
            (session, Some(user.generation))
        } else {
            (self.store.entry(&keys[0]).await?, None)
        };
        let Some(entry) = entry else { return Ok(None) };
        let record = self.decode_live(&keys[0], Some(&entry), generation)?;
        Ok(record.map(|record| (entry, record)))
    }

    /// The record, if it is there and of its principal's present generation.
    fn decode_live(
        &self,
        key: &Key,
        entry: Option<&Entry>,
        generation: Option<u64>,
    ) -> Result<Option<Opened<SessionHead>>> {
        let record = entry.map(|entry| self.store.open::<SessionHead>(key, entry));
        let record = record.transpose()?.flatten();
        let stands = |record: &Opened<SessionHead>| {
            record.head.owner.as_ref().map(|(_name, generation)| *generation) == generation
        };
        Ok(record.filter(stands))
    }

    /// The writes that put a new session on its principal's list, the list first, and the
    /// generation the session gets.
    async fn enlist(
        &self,
        id: &SessionId,
        label: &str,
        user_key: &Key,
        user_entry: Option<&Entry>,
    ) -> Result<(u64, Vec<Write>)> {
        let mut user = match UserRecord::read(&self.store, user_key, user_entry)? {
            Some(user) => user,
            None => UserRecord::fresh()?,
        };
        let evicted = self.make_room(id, &mut user).await?;
        user.devices.push(DeviceRecord::new(id.digest(), label, self.absolute));
        let only_if =
            user_entry.map_or(Condition::Absent, |entry| Condition::VersionIs(entry.version));
        // The record must outlive every session on it, even one from before a shorter timeout.
        let left = user_entry.and_then(|entry| entry.left).unwrap_or_default();
        let ttl = Ttl::new(left.max(self.absolute.as_duration()).min(Ttl::MAX.as_duration()))?;
        let put = self.store.compose::<_, ()>(user_key, &user, None, Carried::default())?;
        let mut writes = vec![put.expiring(ttl).only_if(only_if)];
        writes.extend(evicted.into_iter().map(Write::delete));
        Ok((user.generation, writes))
    }

    /// At the limit: forgets the dead sessions on the list, then ends the oldest live ones.
    async fn make_room(&self, id: &SessionId, user: &mut UserRecord) -> Result<Vec<Key>> {
        if user.devices.len() < self.per_principal_max {
            return Ok(Vec::new());
        }
        let group = id.group();
        let mut entries = self.store.entries(&self.device_keys(&group, user)?).await?.into_iter();
        user.devices.retain(|_device| entries.next().flatten().is_some());
        let excess = (user.devices.len() + 1).saturating_sub(self.per_principal_max);
        let evicted = user.devices.drain(..excess).collect::<Vec<_>>();
        evicted.iter().map(|device| self.device_key(&group, device)).collect()
    }

    /// Moves the idle deadline if the slack is used up. True if it did. A failure is no failure of
    /// the read it comes with: the next use tries again, and the session tells what is left.
    async fn renew_if_due(&self, id: &SessionId, record: &Opened<SessionHead>) -> bool {
        let left = record.left.unwrap_or(Duration::MAX);
        let at_limit = record.limit_left.is_some_and(|limit_left| left >= limit_left);
        if left >= self.idle || at_limit {
            return false;
        }
        let Ok(key) = self.session_key(id) else { return false };
        // Conditional, so that it cannot prolong what was changed, and a lost race is as good: the
        // winner set the deadline anew.
        let touch = Write::touch(key, Some(self.kept));
        let touch = touch.only_if(Condition::VersionIs(record.version));
        self.store.write(touch).await.is_ok_and(|written| written.is_applied())
    }

    fn session(
        &self,
        id: SessionId,
        record: Opened<SessionHead>,
        renewed: bool,
    ) -> Result<Session<T>> {
        Ok(Session {
            state: record.value()?,
            idle_left: self.idle_left(&record, renewed),
            absolute_left: record.limit_left.unwrap_or(self.absolute.as_duration()),
            id,
            version: record.version,
            principal: record.head.owner.map(|(name, _generation)| name),
        })
    }

    fn idle_left(&self, record: &Opened<SessionHead>, renewed: bool) -> Duration {
        let left = if renewed { self.idle } else { record.left.unwrap_or(self.idle) };
        left.min(self.idle).min(record.limit_left.unwrap_or(Duration::MAX))
    }

    /// The write that creates a session, and only creates it.
    fn birth(&self, id: &SessionId, head: &SessionHead, state: &T) -> Result<Write> {
        let carried = Carried::limited(Limit::from_now(self.absolute));
        let put = self.store.compose(&self.session_key(id)?, head, Some(state), carried)?;
        Ok(put.expiring(self.kept).only_if(Condition::Absent))
    }

    fn newborn(&self, id: SessionId, head: SessionHead, state: T, version: Version) -> Session<T> {
        Session {
            id,
            version,
            principal: head.owner.map(|(name, _generation)| name),
            idle_left: self.idle.min(self.absolute.as_duration()),
            absolute_left: self.absolute.as_duration(),
            state,
        }
    }

    fn session_key(&self, id: &SessionId) -> Result<Key> {
        self.store.own_key(KIND, &id.group(), &id.digest())
    }

    fn user_key(&self, group: &Group) -> Result<Key> {
        self.store.own_key(KIND, group, USER)
    }

    fn device_key(&self, group: &Group, device: &DeviceRecord) -> Result<Key> {
        self.store.own_key(KIND, group, &device.digest)
    }

    fn device_keys(&self, group: &Group, user: &UserRecord) -> Result<Vec<Key>> {
        user.devices.iter().map(|device| self.device_key(group, device)).collect()
    }
}

const KIND: &str = "session";
/// The name of a principal's record; no digest is this short.
const USER: &str = "user";

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ..*self }
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

/// Since the session was created, on the store's clock.
fn lived(record: &Opened<SessionHead>) -> Duration {
    let life = record.carried.limit.map_or(Duration::ZERO, |limit| limit.life.as_duration());
    life.saturating_sub(record.limit_left.unwrap_or_default())
}

fn collision() -> Error {
    let detail = "a fresh 256-bit id is already taken; no session was created; check the \
                  operating system's random source";
    Error::new(ErrorKind::Other, detail)
}
