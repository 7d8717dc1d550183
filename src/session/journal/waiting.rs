use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OnceCell};
use tracing::Instrument;

use crate::Store;
use crate::backend::{
    Condition, Durability, Entry, Error, ErrorKind, Group, Key, Namespace, Result, ScanRequest,
    Version, Write, Written,
};
use crate::observe::JournalMeters;
use crate::store::{Carried, Head, Opened};

use super::JournalConfig;
use crate::session::record::Live;

/// How many keys are listed at once.
const PAGE_LEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The sessions with changes that wait, one record each: a later change is made on the earlier one.
#[derive(Debug)]
pub(in crate::session) struct Waiting {
    config: JournalConfig,
    /// Of the sessions: it puts the records into their envelopes, and encrypts them.
    store: Store,
    namespace: Namespace,
    /// What there is, so that a session without changes costs no look. Filled by the first who
    /// asks.
    known: OnceCell<Mutex<Known>>,
    pub(super) more: Notify,
    pub(super) meters: JournalMeters,
}

#[derive(Debug, Default)]
struct Known {
    records: HashMap<Key, Noted>,
    bytes: usize,
}

/// What is known of a record.
#[derive(Clone, Copy, Debug)]
struct Noted {
    version: Version,
    len: usize,
    /// That it cannot be saved.
    told: bool,
}

/// A session as it will be.
#[derive(Clone)]
pub(in crate::session) struct Queued {
    pub(in crate::session) stored: Stored,
    /// Of the record in the journal.
    pub(super) version: Version,
    /// Since the last of its changes was made.
    pub(super) age: Duration,
    /// As the journal has it.
    pub(super) entry: Entry,
}

#[derive(Clone, Serialize, Deserialize)]
pub(in crate::session) struct Stored {
    /// The version of the session that the first of the changes was made on.
    pub(in crate::session) base: u64,
    /// The changes, by their marks: each of them may have been written, and its reply lost.
    pub(super) marks: Vec<u64>,
    /// The session in its envelope.
    pub(in crate::session) value: Bytes,
}

impl Head for Stored {
    const LAYOUT: u16 = 0x0501;
}

impl Stored {
    /// Whether nobody else has changed the session since the first of the changes was made.
    pub(in crate::session) fn goes_on_from(&self, now: &Opened<Live>) -> bool {
        now.version.get() == self.base || self.marks.contains(&now.head.marks.newest())
    }
}

impl Waiting {
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a store that cannot be a journal.
    pub(in crate::session) fn new(config: JournalConfig, store: &Store) -> Result<Self> {
        config.check()?;
        let (store, namespace) = (store.clone(), store.own_namespace(KIND)?);
        let meters = JournalMeters::new(store.info().name);
        Ok(Self { config, store, namespace, known: OnceCell::new(), more: Notify::new(), meters })
    }

    pub(super) fn durability(&self) -> Durability {
        self.config.backend.info().capabilities.durability
    }

    pub(super) fn age_max(&self) -> Duration {
        self.config.age_max
    }

    /// What waits for a session, by the session's key.
    pub(in crate::session) async fn get(&self, session: &Key) -> Result<Option<Queued>> {
        let key = self.key(session)?;
        let known = self.known().await?.records.get(&key).copied();
        let Some(Noted { version, .. }) = known else { return Ok(None) };
        let Some(entry) = self.config.backend.get(&key).await? else {
            self.known().await?.remove(&key, version);
            return Ok(None);
        };
        let opened = self.store.open::<Stored>(&key, &entry)?;
        let queued = |opened: Opened<Stored>| Queued {
            stored: opened.head,
            version: entry.version,
            age: entry.age,
            entry,
        };
        Ok(opened.map(queued))
    }

    /// Adds a change to those that were seen. False if they are not what is there any more.
    ///
    /// It is noted whatever becomes of the caller: what is kept and not noted would wait for the
    /// next start of the process.
    pub(super) async fn put(
        self: &Arc<Self>,
        session: &Key,
        stored: &Stored,
        seen: Option<Version>,
    ) -> Result<bool> {
        let key = self.key(session)?;
        let put = self.store.compose::<_, ()>(&key, stored, None, Carried::default())?;
        let len = match &put {
            Write::Put { value, .. } => value.len(),
            _ => 0,
        };
        self.check_room(&key, len).await?;
        let put = put.only_if(seen.map_or(Condition::Absent, Condition::VersionIs));
        let waiting = Arc::clone(self);
        let noted = async move { waiting.put_and_note(key, len, &put).await };
        let noted = tokio::spawn(noted.in_current_span());
        noted.await.unwrap_or_else(|_ended| {
            let detail = "the runtime was shut down while a change was written to the journal";
            Err(Error::new(ErrorKind::Closed, detail).ambiguous())
        })
    }

    async fn put_and_note(&self, key: Key, len: usize, put: &Write) -> Result<bool> {
        let written = self.config.backend.write(put).await;
        if written.is_err() {
            // It may be kept all the same: whoever looks finds out.
            self.known().await?.add(key.clone(), Version::MIN, len);
            self.more.notify_one();
        }
        let (version, len, is_made) = match written? {
            Written::Applied { version: Some(version) } => (version, len, true),
            // Nobody may have noted it: a put that was cut off is made all the same.
            Written::Refused { current: Some(entry) } => (entry.version, entry.value.len(), false),
            _ => return Ok(false),
        };
        self.known().await?.add(key, version, len);
        self.tell_depth().await?;
        self.more.notify_one();
        Ok(is_made)
    }

    /// Forgets the changes that were seen, unless more came since.
    pub(super) async fn remove(&self, session: &Key, seen: Version) -> Result<bool> {
        let key = self.key(session)?;
        let delete = Write::delete(key.clone()).only_if(Condition::VersionIs(seen));
        let removed = self.config.backend.write(&delete).await?.is_applied();
        self.known().await?.remove(&key, seen);
        self.tell_depth().await?;
        Ok(removed)
    }

    /// Whether nobody in this process has told yet that the changes that were seen are not saved.
    pub(super) async fn is_to_tell(&self, session: &Key, seen: Version) -> Result<bool> {
        let mut known = self.known().await?;
        let noted = known.records.get_mut(&self.key(session)?);
        let noted = noted.filter(|noted| noted.version <= seen && !noted.told);
        Ok(noted.map(|noted| noted.told = true).is_some())
    }

    /// The groups and names of all sessions that have changes.
    pub(super) async fn sessions(&self) -> Result<Vec<(Group, String)>> {
        let known = self.known().await?;
        let keys = known.records.keys();
        keys.map(|key| Ok((Group::new(key.group())?, key.name().to_owned()))).collect()
    }

    fn key(&self, session: &Key) -> Result<Key> {
        Key::new(&self.namespace, &Group::new(session.group())?, session.name())
    }

    async fn check_room(&self, key: &Key, len: usize) -> Result<()> {
        let JournalConfig { sessions_max, bytes_max, .. } = self.config;
        let known = self.known().await?;
        let before = known.records.get(key).map(|noted| noted.len);
        let sessions = known.records.len() + usize::from(before.is_none());
        let bytes = known.bytes - before.unwrap_or(0) + len;
        if sessions <= sessions_max && bytes <= bytes_max {
            return Ok(());
        }
        let detail = format!(
            "the journal has room for {sessions_max} sessions and {bytes_max} bytes, and is full; \
             try again when the store is back"
        );
        Err(Error::new(ErrorKind::Full, detail))
    }

    async fn tell_depth(&self) -> Result<()> {
        let known = self.known().await?;
        self.meters.depth(known.records.len(), known.bytes);
        Ok(())
    }

    async fn known(&self) -> Result<MutexGuard<'_, Known>> {
        let known = self.known.get_or_try_init(|| self.list()).await?;
        Ok(known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whatever an earlier process left.
    async fn list(&self) -> Result<Mutex<Known>> {
        let (mut known, mut after) = (Known::default(), None);
        loop {
            let namespace = self.namespace.clone();
            let page = ScanRequest { namespace, after, limit: PAGE_LEN };
            let page = self.config.backend.scan(page).await?;
            for key in page.keys {
                if let Some(entry) = self.config.backend.get(&key).await? {
                    known.add(key, entry.version, entry.value.len());
                }
            }
            after = page.next;
            if after.is_none() {
                self.meters.depth(known.records.len(), known.bytes);
                return Ok(Mutex::new(known));
            }
        }
    }
}

/// The kind in the keys of a journal.
const KIND: &str = "journal";

impl Known {
    /// Whoever wrote later may come first.
    fn add(&mut self, key: Key, version: Version, len: usize) {
        let before = self.records.get(&key).copied();
        if before.is_none_or(|before| before.version < version) {
            self.bytes = self.bytes - before.map_or(0, |before| before.len) + len;
            self.records.insert(key, Noted { version, len, told: false });
        }
    }

    fn remove(&mut self, key: &Key, seen: Version) {
        if let Some(noted) = self.records.get(key).copied()
            && noted.version <= seen
        {
            self.records.remove(key);
            self.bytes -= noted.len;
        }
    }
}

#[cfg(all(test, feature = "memory", feature = "redb"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::redb::RedbBackend;

    fn stored(value: &'static str) -> Stored {
        Stored { base: 1, marks: vec![1], value: Bytes::from_static(value.as_bytes()) }
    }

    #[tokio::test]
    async fn only_what_was_seen_is_forgotten_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
        let store = Store::builder(crate::connect("memory:").await.unwrap()).build().unwrap();
        let waiting = Arc::new(Waiting::new(JournalConfig::new(local), &store).unwrap());
        let session = store.own_key("session", &Group::new("g").unwrap(), "s").unwrap();
        let seen = async || waiting.get(&session).await.unwrap().map(|queued| queued.version);
        let value = async || waiting.get(&session).await.unwrap().unwrap().stored.value;

        assert!(waiting.put(&session, &stored("one"), None).await.unwrap());
        let one = seen().await;
        assert!(!waiting.put(&session, &stored("blind"), None).await.unwrap());
        assert!(waiting.put(&session, &stored("two"), one).await.unwrap());
        // Who has saved the first comes to forget it.
        assert!(!waiting.remove(&session, one.unwrap()).await.unwrap());
        assert_eq!(value().await, "two");
        assert!(waiting.remove(&session, seen().await.unwrap()).await.unwrap());
        assert_eq!(seen().await, None);
        assert!(waiting.put(&session, &stored("three"), None).await.unwrap());
        assert_eq!(value().await, "three");
    }
    /// A put that was cut off is on the disk, and noted by nobody.
    #[tokio::test]
    async fn a_loss_is_told_once_also_of_what_was_not_noted() {
        let dir = tempfile::tempdir().unwrap();
        let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
        let store = Store::builder(crate::connect("memory:").await.unwrap()).build().unwrap();
        let [ours, other] = [(), ()]
            .map(|()| Arc::new(Waiting::new(JournalConfig::new(local.clone()), &store).unwrap()));
        let session = store.own_key("session", &Group::new("g").unwrap(), "s").unwrap();
        assert!(ours.put(&session, &stored("one"), None).await.unwrap());
        let one = other.get(&session).await.unwrap().unwrap().version;
        assert!(other.put(&session, &stored("two"), Some(one)).await.unwrap());
        let two = ours.get(&session).await.unwrap().unwrap().version;
        assert!(two > one);
        assert!(ours.is_to_tell(&session, two).await.unwrap());
        assert!(!ours.is_to_tell(&session, two).await.unwrap());
    }
}
