use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::State;
use crate::backend::{
    BackendInfo, Cursor, Entry, Error, ErrorKind, Group, Health, Key, Namespace, Result,
    ScanRequest, Transacted, Ttl, Write, Written,
};
use crate::breaker::Snapshot;
use crate::connect::Connected;
use crate::schema::Floors;

#[cfg(feature = "encrypt")]
use super::SealingKeys;
use super::config::check_name;
use super::guard::Guard;
use super::lookup::Lookups;
use super::near::{Near, Refresh};
use super::{Codec, Demand, Freshness, Reads, Record, StoreBuilder};

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
pub struct Store(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) guard: Arc<Guard>,
    pub(super) near: Option<Arc<Near>>,
    pub(super) namespace: Namespace,
    pub(super) codec: Codec,
    #[cfg(feature = "encrypt")]
    pub(super) sealing: Option<SealingKeys>,
    pub(super) floors: Floors,
    pub(super) lookups: Lookups,
    /// One for each of so many classes of keys; see [`Store::turn`].
    pub(super) turns: [Mutex<()>; TURNS],
}

pub(super) const TURNS: usize = 32;

impl Store {
    /// Starts from what [`connect`](crate::connect) opened, or from any backend in an [`Arc`].
    pub fn builder(backend: impl Into<Connected>) -> StoreBuilder {
        StoreBuilder::new(backend.into())
    }

    /// The name and capabilities of the backend.
    pub fn info(&self) -> &BackendInfo {
        self.0.guard.info()
    }

    /// The key `NAMESPACE:v1:KIND:{GROUP}:NAME`; `v1` is the version of this layout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if a part has characters that keys cannot have, or is too long, or
    /// if the kind is one of the library's own: `health-trial`, `idempotency`, `journal`,
    /// `revocation`, `session`.
    pub fn key(&self, kind: &str, group: &Group, name: &str) -> Result<Key> {
        if OWN_KINDS.contains(&kind) {
            let detail = format!("the key kind {kind} is the library's own; choose another");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let len_max = Namespace::MAX_LEN.saturating_sub(self.0.namespace.as_str().len() + 1);
        check_name("the kind of a key", kind, len_max)?;
        self.own_key(kind, group, name)
    }

    pub(crate) fn own_key(&self, kind: &str, group: &Group, name: &str) -> Result<Key> {
        Key::new(&self.own_namespace(kind)?, group, name)
    }

    /// What the keys of a kind start with.
    pub(crate) fn own_namespace(&self, kind: &str) -> Result<Namespace> {
        self.0.namespace.child(kind)
    }

    /// The live value under a key. Where writes wait for replicas or disks it may be
    /// [not confirmed yet](crate::backend::Capabilities::shows_unconfirmed).
    ///
    /// # Errors
    ///
    /// As the backend's `get` and [`decode`](Store::decode); an outage is never `Ok(None)`.
    pub async fn get<T: State>(&self, key: &Key) -> Result<Option<Record<T>>> {
        match self.entry(key).await? {
            Some(entry) => self.decode_live(key, &entry),
            None => Ok(None),
        }
    }

    /// The value under a key, no older than is asked for, and how old it is.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get) and [`check_reads`](Store::check_reads).
    pub async fn get_as<T: State>(&self, key: &Key, reads: Reads) -> Result<Option<Record<T>>> {
        self.check_reads(reads)?;
        self.read_as(key, reads).await
    }

    /// As [`get_as`](Store::get_as). An answer that may be older than the near cache keeps any is
    /// asked for when there is none, and so is each without a near cache.
    pub(super) async fn read_as<T: State>(
        &self,
        key: &Key,
        reads: Reads,
    ) -> Result<Option<Record<T>>> {
        let keys = std::slice::from_ref(key);
        let (entry, freshness) = match &self.0.near {
            Some(near) => {
                let hit = near.read(keys, reads.demand, reads.stale).await?;
                (hit.entry(0), hit.freshness)
            }
            None => (self.entry(key).await?, Freshness::Fresh),
        };
        let Some(entry) = entry else { return Ok(None) };
        Ok(self.decode_live(key, &entry)?.map(|record| Record { freshness, ..record }))
    }

    /// The entries under keys of one group, undecoded, and how old they are.
    pub(crate) async fn read(
        &self,
        keys: &[Key],
        reads: Reads,
    ) -> Result<(Vec<Option<Entry>>, Freshness)> {
        match &self.0.near {
            Some(near) => {
                let hit = near.read(keys, reads.demand, reads.stale).await?;
                Ok((hit.entries().collect(), hit.freshness))
            }
            None => Ok((self.entries(keys).await?, Freshness::Fresh)),
        }
    }

    /// Whether this store can serve such reads. A library that takes [`Reads`] from its user checks
    /// them once, where it is set up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if they allow older answers than the store's
    /// [near cache](StoreBuilder::near) [keeps](super::NearConfig::keep), or any while there is
    /// none.
    pub fn check_reads(&self, reads: Reads) -> Result<()> {
        let within = match reads.demand {
            Demand::Latest => Duration::ZERO,
            Demand::Within(within) => within,
        };
        let needed = within.max(reads.stale.unwrap_or_default());
        let kept = self.0.near.as_ref().map_or(Duration::ZERO, |near| near.keeps());
        if needed <= kept {
            return Ok(());
        }
        let detail = format!(
            "answers up to {needed:?} old need a store whose near cache keeps them for so long; \
             this one keeps them for {kept:?}; see StoreBuilder::near"
        );
        Err(Error::new(ErrorKind::Invalid, detail))
    }

    /// From now on new records of `T` are written under its own version, whatever
    /// [`write_floor`](StoreBuilder::write_floor) said. Call it when no build is left that cannot
    /// read that version; it acts on this store and its clones.
    pub fn finalize<T: State>(&self) {
        self.0.floors.lift::<T>();
    }

    /// The live entries under several keys, undecoded, in one trip where the store can.
    pub(crate) async fn entries(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(self.info().capabilities.batch_len_max.max(1)) {
            entries.extend(self.0.guard.get_many(keys).await?);
        }
        self.saw(keys, &entries);
        Ok(entries)
    }

    /// Makes one change if its condition holds.
    ///
    /// # Errors
    ///
    /// As [`Backend::write`](crate::backend::Backend::write).
    pub async fn write(&self, write: &Write) -> Result<Written> {
        let Some(near) = &self.0.near else { return self.0.guard.write(write).await };
        let writes = std::slice::from_ref(write);
        let own = near.writing(writes);
        let written = self.0.guard.write(write).await;
        match &written {
            Ok(Written::Applied { version }) => {
                let versions = std::slice::from_ref(version);
                near.wrote(own, writes, versions, |key| !self.is_own(key));
            }
            Ok(Written::Refused { .. }) => near.refused(own, writes),
            Err(_) => drop(own),
        }
        written
    }

    /// Makes several changes, all or none.
    ///
    /// # Errors
    ///
    /// As [`Backend::transact`](crate::backend::Backend::transact).
    pub async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let Some(near) = &self.0.near else { return self.0.guard.transact(writes).await };
        let own = near.writing(writes);
        let transacted = self.0.guard.transact(writes).await;
        match &transacted {
            Ok(Transacted::Applied { versions }) => {
                near.wrote(own, writes, versions, |key| !self.is_own(key));
            }
            Ok(Transacted::Refused { .. }) => near.refused(own, writes),
            Err(_) => drop(own),
        }
        transacted
    }

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// As [`Backend::write`](crate::backend::Backend::write).
    pub async fn delete(&self, key: &Key) -> Result<()> {
        // Unconditional, so it cannot be refused.
        self.write(&Write::delete(key.clone())).await.map(|_applied| ())
    }

    /// A real round trip to the store, past the breakers. Where other processes use the store, too,
    /// it also writes a record of a minute on each server, beside this store's own: what comes in
    /// the way of that is among the [warnings](Health::warnings), since reads may go on.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering.
    pub async fn check(&self) -> Result<Health> {
        self.try_writes(self.round_trip().await?).await
    }

    /// The round trip of [`check`](Self::check), before a write is tried.
    pub(crate) async fn round_trip(&self) -> Result<Health> {
        self.0.guard.check().await
    }

    /// The rest of [`check`](Self::check): adds what comes in the way of a write.
    pub(crate) async fn try_writes(&self, health: Health) -> Result<Health> {
        Ok(self.0.guard.try_writes(self.trials()?, health).await)
    }

    /// Writes that tell whether the store takes any, for as many of its servers as can be told
    /// apart. A store of this process alone has tried that when it was asked.
    fn trials(&self) -> Result<Vec<Write>> {
        if !self.info().capabilities.shared {
            return Ok(Vec::new());
        }
        let trial = |number: usize| {
            let key = self.own_key(TRIAL, &Group::new(&number.to_string())?, "trial")?;
            Ok(Write::put(key, "").expiring(Ttl::new(TRIAL_LIFE)?))
        };
        (0..TRIALS_MAX).map(trial).collect()
    }

    /// The breakers of the store's servers that were used so far, each by the number of its
    /// [endpoint](crate::backend::Backend::endpoint).
    pub fn breakers(&self) -> Vec<(usize, Snapshot)> {
        self.0.guard.breakers().collect()
    }

    /// Removes entries whose time is over, and tells how many; none where the store does that by
    /// itself.
    ///
    /// # Errors
    ///
    /// As [`Backend::sweep`](crate::backend::Backend::sweep).
    pub async fn sweep(&self) -> Result<usize> {
        self.0.guard.sweep().await
    }

    /// The keys of a kind, one page after the other; none where the store does not list them.
    pub(crate) async fn own_keys(
        &self,
        kind: &str,
        after: Option<Cursor>,
    ) -> Result<(Vec<Key>, Option<Cursor>)> {
        if !self.info().capabilities.scan {
            return Ok((Vec::new(), None));
        }
        let (namespace, limit) = (self.own_namespace(kind)?, PAGE_LEN);
        let page = self.0.guard.scan(ScanRequest { namespace, after, limit }).await?;
        Ok((page.keys, page.next))
    }

    /// Finishes what was accepted and refuses new calls, on every clone.
    ///
    /// # Errors
    ///
    /// As [`Backend::close`](crate::backend::Backend::close).
    pub async fn close(&self) -> Result<()> {
        self.0.guard.close().await
    }

    pub(crate) async fn entry(&self, key: &Key) -> Result<Option<Entry>> {
        let entry = self.0.guard.get(key).await?;
        self.saw(std::slice::from_ref(key), std::slice::from_ref(&entry));
        Ok(entry)
    }

    /// This came from the store past the near cache, which gives nothing older from now on.
    fn saw(&self, keys: &[Key], entries: &[Option<Entry>]) {
        if let Some(near) = &self.0.near {
            near.saw(keys, entries);
        }
    }

    /// What is kept of this key's kind and group is not given any more: something of it is to end.
    pub(crate) fn forget(&self, key: &Key) {
        if let Some(near) = &self.0.near {
            near.forget(key);
        }
    }

    /// What the near cache has under a key that is read alone, even if it was overtaken or must not
    /// be given any more. Asks nobody.
    pub(crate) fn last_kept(&self, key: &Key) -> Option<Entry> {
        self.0.near.as_ref()?.last(key)
    }

    /// The near cache takes in what is under these keys, in the background: they will be read
    /// together.
    pub(crate) fn read_later(&self, keys: Vec<Key>) {
        if let Some(near) = &self.0.near {
            near.refresh_later(Refresh::Unit(keys.into()));
        }
    }

    /// Whether a key is of a kind that the library keeps itself. Those know which of their records
    /// are read, and which of them together.
    fn is_own(&self, key: &Key) -> bool {
        let kind = key.namespace().strip_prefix(self.0.namespace.as_str());
        kind.and_then(|kind| kind.strip_prefix(':')).is_some_and(|kind| OWN_KINDS.contains(&kind))
    }

    /// Runs a call of a user, which may take several trips: they have one deadline.
    pub(crate) fn one_call<F: Future>(&self, call: F) -> impl Future<Output = F::Output> {
        self.0.guard.one_call(call)
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

/// How long what was written for a check stays.
const TRIAL_LIFE: Duration = Duration::from_secs(60);
/// So many keys are tried to find one of each server.
const TRIALS_MAX: usize = 128;
/// How many keys are listed at once.
const PAGE_LEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// The kinds of records that the library keeps itself.
const OWN_KINDS: [&str; 5] = ["idempotency", "journal", "revocation", "session", TRIAL];
/// What [`Store::check`] writes.
const TRIAL: &str = "health-trial";
