use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use crate::State;
use crate::backend::{
    Backend, BackendInfo, Bytes, Condition, Entry, Error, ErrorKind, Group, Health, Key, Namespace,
    Result, Transacted, Ttl, Version, Write, Written,
};

use super::envelope::{self, Header, Limit, now_us};
use super::{Codec, Record};

/// How often an update is tried again after a lost race. Every lost race means that another
/// writer of the same record got through, so this is the number of writers that may collide.
const UPDATE_ATTEMPTS_MAX: usize = 256;

/// A backend with a namespace and a codec: typed values in, typed values out.
///
/// Clones share the same backend.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use steadfast::backend::{Group, Write};
/// # use steadfast::{State, Store};
/// #[derive(Serialize, Deserialize)]
/// struct Profile {
///     visits: u32,
/// }
/// impl State for Profile {
///     const SCHEMA: u16 = 1;
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::builder(steadfast::connect("memory:").await?).namespace("shop").build()?;
/// let key = store.key("profile", &Group::new("alice")?, "main")?;
/// let updated = store
///     .update(&key, None, |profile: &mut Option<Profile>| {
///         let profile = profile.get_or_insert(Profile { visits: 0 });
///         profile.visits += 1;
///         profile.visits
///     })
///     .await?;
/// assert_eq!(updated.output, 1);
/// assert_eq!(store.get::<Profile>(&key).await?.map(|record| record.value.visits), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    namespace: Namespace,
    codec: Codec,
    /// One for each of so many classes of keys; see [`Store::turn`].
    turns: [Mutex<()>; TURNS],
}

const TURNS: usize = 64;

impl Store {
    /// Starts from a backend, for instance of [`connect`](crate::connect).
    pub fn builder(backend: Arc<dyn Backend>) -> StoreBuilder {
        StoreBuilder { backend, namespace: "app".to_owned(), codec: Codec::default() }
    }

    /// The name and capabilities of the backend.
    pub fn info(&self) -> &BackendInfo {
        self.0.backend.info()
    }

    /// The key `NAMESPACE:v1:KIND:{GROUP}:NAME`; `v1` is the version of this layout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if a part has characters that keys cannot have, or is too long, or
    /// if the kind is one of the library's own: `session`, `idempotency`.
    pub fn key(&self, kind: &str, group: &Group, name: &str) -> Result<Key> {
        if OWN_KINDS.contains(&kind) {
            let detail = format!("the key kind {kind} is the library's own; choose another");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        self.own_key(kind, group, name)
    }

    pub(crate) fn own_key(&self, kind: &str, group: &Group, name: &str) -> Result<Key> {
        Key::new(&self.0.namespace.child(kind)?, group, name)
    }

    /// The enveloped bytes of a value, for a [`Write`] of your own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the codec cannot encode the value.
    pub fn encode<T: State>(&self, value: &T) -> Result<Bytes> {
        self.encode_as::<T>(value, None)
    }

    /// The bytes of what is read back as a `T`: a `T`, or the same by reference. Only with
    /// [`clock_versions`](crate::backend::Capabilities::clock_versions) may it have a limit.
    pub(crate) fn encode_as<T: State>(
        &self,
        value: &impl Serialize,
        limit: Option<Limit>,
    ) -> Result<Bytes> {
        let (schema, layout) = (T::SCHEMA, T::LAYOUT);
        let header = Header { codec: self.0.codec, schema, layout, limit };
        header.wrap(|out| self.0.codec.encode(value, out))
    }

    /// Reads an entry back; `None` if its absolute deadline has passed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if the bytes are damaged, foreign, of another schema version, or
    /// not a `T`. The record stays as it is.
    pub fn decode<T: State>(&self, entry: &Entry) -> Result<Option<Record<T>>> {
        let (header, payload) = Header::unwrap(&entry.value)?;
        if header.schema != T::SCHEMA {
            let detail = format!(
                "the record has schema version {} and this build reads {}; it is left as it is",
                header.schema,
                T::SCHEMA
            );
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        if header.layout != T::LAYOUT {
            let detail =
                "the record is of another kind, or of a newer version; it is left as it is";
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        let written_us = entry.version.get();
        let limit = header
            .limit
            .map(|limit| Limit { born_us: Some(limit.born_us.unwrap_or(written_us)), ..limit });
        let limit_left =
            limit.map(|limit| limit.left(written_us, now_us(entry.version, entry.age)));
        if limit_left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let value = header.codec.decode(&payload)?;
        let left = [entry.left, limit_left].into_iter().flatten().min();
        let (version, age) = (entry.version, entry.age);
        Ok(Some(Record { value, version, age, left, limit_left, limit }))
    }

    /// The live value under a key.
    ///
    /// # Errors
    ///
    /// As the backend's `get` and [`decode`](Store::decode); an outage is never `Ok(None)`.
    pub async fn get<T: State>(&self, key: &Key) -> Result<Option<Record<T>>> {
        match self.entry(key).await? {
            Some(entry) => self.decode(&entry),
            None => Ok(None),
        }
    }

    /// The live entries under several keys, undecoded, in one trip where the store can.
    pub(crate) async fn entries(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.0.backend.get_many(keys).await
    }

    /// Makes one change if its condition holds.
    ///
    /// # Errors
    ///
    /// As [`Backend::write`].
    pub async fn write(&self, write: Write) -> Result<Written> {
        self.0.backend.write(write).await
    }

    /// Makes several changes, all or none.
    ///
    /// # Errors
    ///
    /// As [`Backend::transact`].
    pub async fn transact(&self, writes: Vec<Write>) -> Result<Transacted> {
        self.0.backend.transact(writes).await
    }

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// As [`Backend::write`].
    pub async fn delete(&self, key: &Key) -> Result<()> {
        // Unconditional, so it cannot be refused.
        self.write(Write::delete(key.clone())).await.map(|_applied| ())
    }

    /// Changes a record by a closure: load, change, save if nobody else saved meanwhile, else run
    /// the closure again on what they saved. No update is lost.
    ///
    /// The closure sees `None` for an absent record and leaves `None` to remove it. If the bytes
    /// come out as they were, nothing is written, no deadline either. Otherwise the record lives
    /// for `ttl` from now, or until it is removed if that is `None`, whatever it had before. The
    /// closure may run several times, so it should only touch the state and build its output.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contended`] after 256 lost races; otherwise as [`get`](Store::get) and
    /// [`write`](Store::write). A record that cannot be read is never overwritten.
    pub async fn update<T: State, R>(
        &self,
        key: &Key,
        ttl: Option<Ttl>,
        change: impl FnMut(&mut Option<T>) -> R,
    ) -> Result<Updated<R>> {
        let current = self.entry(key).await?;
        self.update_from(key, current, ttl, change).await
    }

    /// [`update`](Store::update) of an entry that was just read.
    pub(crate) async fn update_from<T: State, R>(
        &self,
        key: &Key,
        mut current: Option<Entry>,
        ttl: Option<Ttl>,
        mut change: impl FnMut(&mut Option<T>) -> R,
    ) -> Result<Updated<R>> {
        let mut turn = None;
        for _attempt in 0..UPDATE_ATTEMPTS_MAX {
            let (write, output) = self.plan(key, ttl, current.as_ref(), &mut change)?;
            let Some(write) = write else {
                return Ok(Updated { output, version: current.map(|entry| entry.version) });
            };
            match self.write(write).await? {
                Written::Applied { version } => return Ok(Updated { output, version }),
                Written::Refused { current: winner } => current = winner,
            }
            if turn.is_none() {
                turn = Some(self.turn(key).await);
                current = self.entry(key).await?;
            }
        }
        Err(contended(UPDATE_ATTEMPTS_MAX))
    }

    /// Waits until it is this caller's turn, among those of this process that lost a race for the
    /// same record. Who loses a second one is among strangers; without this, a hundred updates at
    /// once would take thousands of attempts.
    pub(crate) async fn turn(&self, key: &Key) -> MutexGuard<'_, ()> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key.as_str().as_bytes());
        self.0.turns[hasher.finalize() as usize % TURNS].lock().await
    }

    /// Runs the closure on a decoded entry: the write that it comes to, if any, and its output.
    fn plan<T: State, R>(
        &self,
        key: &Key,
        ttl: Option<Ttl>,
        current: Option<&Entry>,
        change: &mut impl FnMut(&mut Option<T>) -> R,
    ) -> Result<(Option<Write>, R)> {
        let record = current.map(|entry| self.decode::<T>(entry)).transpose()?.flatten();
        let limit = record.as_ref().and_then(|record| record.limit);
        let mut value = record.map(|record| record.value);
        let output = change(&mut value);
        let only_if =
            current.map_or(Condition::Absent, |entry| Condition::VersionIs(entry.version));
        let write = match (&value, current) {
            (None, None) => None,
            (None, Some(_)) => Some(Write::delete(key.clone())),
            (Some(value), current) => {
                let bytes = self.encode_as::<T>(value, limit)?;
                let same = current.is_some_and(|entry| self.same_value(&entry.value, &bytes));
                (!same).then(|| Write::put(key.clone(), bytes))
            }
        };
        let write = write.map(|write| write.only_if(only_if)).map(|write| match ttl {
            Some(ttl) => write.expiring(ttl),
            None => write,
        });
        Ok((write, output))
    }

    /// Whether two envelopes hold the same payload; the header may differ in the birth.
    fn same_value(&self, left: &Bytes, right: &Bytes) -> bool {
        left.get(envelope::HEADER_LEN..) == right.get(envelope::HEADER_LEN..)
            && left.get(3) == Some(&self.0.codec.id())
    }

    /// A real round trip to the store.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering.
    pub async fn check(&self) -> Result<Health> {
        self.0.backend.check().await
    }

    /// Finishes what was accepted and refuses new calls, on every clone.
    ///
    /// # Errors
    ///
    /// As [`Backend::close`].
    pub async fn close(&self) -> Result<()> {
        self.0.backend.close().await
    }

    pub(crate) async fn entry(&self, key: &Key) -> Result<Option<Entry>> {
        match self.0.backend.get_ready(key) {
            Some(answer) => Ok(answer),
            None => self.0.backend.get(key).await,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.info().name)
            .field("namespace", &self.0.namespace)
            .field("codec", &self.0.codec)
            .finish()
    }
}

/// The end of an optimistic loop.
pub(crate) fn contended(attempts: usize) -> Error {
    let detail = format!(
        "{attempts} attempts met a newer version each time; nothing was changed; try \
         again, or spread the state over more records"
    );
    Error::new(ErrorKind::Contended, detail)
}

/// What an update came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated<R> {
    /// What the closure returned on the run that counted.
    pub output: R,
    /// The version the record has now; `None` if it is absent.
    pub version: Option<Version>,
}

/// Settings of a [`Store`].
#[derive(Clone, Debug)]
pub struct StoreBuilder {
    backend: Arc<dyn Backend>,
    namespace: String,
    codec: Codec,
}

impl StoreBuilder {
    /// What all keys start with, `app` by default. Give each service on a shared store its own.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How values are written; values in other codecs stay readable.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the namespace is not 1 to 40 characters of `[A-Za-z0-9._:-]`.
    pub fn build(self) -> Result<Store> {
        if self.namespace.len() > NAMESPACE_LEN_MAX {
            let detail = format!("a store's namespace has 1 to {NAMESPACE_LEN_MAX} characters");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let namespace = Namespace::new(&self.namespace)?.child("v1")?;
        let (backend, codec, turns) =
            (self.backend, self.codec, [const { Mutex::const_new(()) }; TURNS]);
        Ok(Store(Arc::new(Inner { backend, namespace, codec, turns })))
    }
}

/// The kinds of [`Sessions`](crate::Sessions) and [`Idempotency`](crate::Idempotency).
const OWN_KINDS: [&str; 2] = ["session", "idempotency"];

/// Leaves room for `:v1:KIND` in a backend namespace.
const NAMESPACE_LEN_MAX: usize = 40;
