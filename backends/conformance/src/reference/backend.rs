use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_backend::{
    Backend, BackendInfo, Capabilities, Clock, Cursor, Durability, Entry, Error, ErrorKind, Health,
    Key, Namespace, Result, ScanPage, ScanRequest, StoreClock, Transacted, Transactions, Version,
    Watch, Watcher, Write, Written, async_trait,
};

use super::Model;
use crate::Stored;

/// The reference implementation of the contract: a map behind one lock.
///
/// It is written to be read, and to check other backends against; it never evicts and never
/// removes what has expired, so it is not for production.
///
/// ```
/// use steadfast_backend::{Backend, Group, Key, ManualClock, Namespace, Write};
/// use steadfast_conformance::ModelBackend;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast_backend::Result<()> {
/// let backend = ModelBackend::with_clock(ManualClock::at_us(1_000));
/// let key = Key::new(&Namespace::new("shop")?, &Group::new("alice")?, "cart")?;
/// assert!(backend.write(&Write::put(key.clone(), "milk")).await?.is_applied());
/// assert_eq!(backend.get(&key).await?.unwrap().version.get(), 1_000);
/// # Ok(())
/// # }
/// ```
pub struct ModelBackend {
    info: BackendInfo,
    clock: StoreClock,
    contents: Arc<Mutex<Contents>>,
    closed: AtomicBool,
}

/// What outlives a close, for [`ModelBackend::reopened`].
#[derive(Default)]
struct Contents {
    model: Model,
    /// The latest time or version of a write.
    last_us: u64,
    /// What stands in the place of records that were damaged.
    damaged: HashMap<Key, Vec<u8>>,
}

impl Contents {
    fn check<'a>(&self, mut keys: impl Iterator<Item = &'a Key>) -> Result<()> {
        if keys.all(|key| !self.damaged.contains_key(key)) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "what is stored there is damaged; it is left as it is"))
    }
}

impl ModelBackend {
    /// An empty store that lives by this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        let capabilities = Capabilities {
            transactions: Transactions::Any,
            scan: true,
            shared: false,
            evicts: false,
            invalidations: false,
            durability: Durability::Process,
            ttl_step: Duration::from_micros(1),
            value_len_max: 1 << 20,
            batch_len_max: 1024,
        };
        let info = BackendInfo { name: "model", capabilities };
        Self::over(info, Arc::default(), clock)
    }

    /// The same store with other capabilities: smaller limits, or less that it can do. It does not
    /// get better by claiming more.
    ///
    /// ```
    /// use steadfast_backend::{Backend, ManualClock, Transactions};
    /// use steadfast_conformance::ModelBackend;
    ///
    /// let backend = ModelBackend::with_clock(ManualClock::at_us(1))
    ///     .declaring(|can| can.transactions = Transactions::SameGroup);
    /// assert_eq!(backend.info().capabilities.transactions, Transactions::SameGroup);
    /// ```
    #[must_use]
    pub fn declaring(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.info.capabilities);
        self
    }

    /// The store as a later process finds it, which lives by another clock.
    #[must_use]
    pub fn reopened(&self, clock: impl Clock) -> Self {
        Self::over(self.info.clone(), Arc::clone(&self.contents), clock)
    }

    /// What is stored, past the backend, also while it is closed.
    pub fn records(&self) -> ModelRecords {
        ModelRecords { contents: Arc::clone(&self.contents), now_us: self.clock.now_us() }
    }

    fn over(info: BackendInfo, contents: Arc<Mutex<Contents>>, clock: impl Clock) -> Self {
        let floor_us = contents.lock().unwrap_or_else(PoisonError::into_inner).last_us;
        Self { info, clock: StoreClock::new(clock, floor_us), contents, closed: false.into() }
    }

    fn open(&self, operation: &'static str) -> Result<MutexGuard<'_, Contents>> {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Closed, "the backend was closed; open a new one");
            return Err(error.at("model", operation));
        }
        Ok(contents)
    }

    fn apply(&self, contents: &mut Contents, write: &Write, now_us: u64) -> Option<Version> {
        let (key, version) = (write.key().clone(), self.clock.next_version());
        contents.last_us = version.get();
        contents.model.apply(write.clone(), now_us, version);
        contents.model.version(&key, now_us)
    }

    fn write_one(&self, contents: &mut Contents, write: &Write) -> Result<Written> {
        self.info.capabilities.check_write(write)?;
        contents.check(std::iter::once(write.key()))?;
        let now_us = self.clock.now_us();
        Ok(if contents.model.admits(write, now_us) {
            Written::Applied { version: self.apply(contents, write, now_us) }
        } else {
            Written::Refused { current: contents.model.entry(write.key(), now_us) }
        })
    }
}

#[async_trait]
impl Backend for ModelBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, _key: &Key) -> usize {
        0
    }

    fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
        let contents = self.open("get").ok()?;
        contents.check(std::iter::once(key)).ok()?;
        Some(contents.model.entry(key, self.clock.now_us()))
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let contents = self.open("get")?;
        contents.check(std::iter::once(key))?;
        Ok(contents.model.entry(key, self.clock.now_us()))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let contents = self.open("get_many")?;
        self.info.capabilities.check_batch_len(keys.len())?;
        contents.check(keys.iter())?;
        let now_us = self.clock.now_us();
        Ok(keys.iter().map(|key| contents.model.entry(key, now_us)).collect())
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.write_one(&mut *self.open("write")?, write)
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let mut contents = self.open("write_many")?;
        self.info.capabilities.check_batch_len(writes.len())?;
        Ok(writes.iter().map(|write| self.write_one(&mut contents, write)).collect())
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let mut contents = self.open("transact")?;
        self.info.capabilities.check_transaction(writes)?;
        contents.check(writes.iter().map(Write::key))?;
        let now_us = self.clock.now_us();
        let model = &contents.model;
        if let Some(index) = writes.iter().position(|write| !model.admits(write, now_us)) {
            let current = model.entry(writes[index].key(), now_us);
            return Ok(Transacted::Refused { index, current });
        }
        let apply = |write| self.apply(&mut contents, write, now_us);
        Ok(Transacted::Applied { versions: writes.iter().map(apply).collect() })
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let contents = self.open("scan")?;
        if !self.info.capabilities.scan {
            return Err(Error::new(ErrorKind::Unsupported, "this store does not scan"));
        }
        let after = request.after.as_ref().map(read_cursor).transpose()?;
        let now_us = self.clock.now_us();
        let mut keys: Vec<Key> = contents
            .model
            .keys(&request.namespace, |key| {
                contents.damaged.contains_key(key) || contents.model.version(key, now_us).is_some()
            })
            .filter(|key| after.as_ref().is_none_or(|after| *key > after))
            .take(request.limit.get().saturating_add(1))
            .cloned()
            .collect();
        let more = keys.len() > request.limit.get();
        keys.truncate(request.limit.get());
        let last = keys.last().filter(|_| more);
        let next = last.map(|key| Cursor(key.as_str().to_owned().into()));
        Ok(ScanPage { keys, next })
    }

    /// Nothing is kept for longer than it lives.
    async fn sweep(&self) -> Result<usize> {
        self.open("sweep").map(|_| 0)
    }

    async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
        Err(Error::unwatched())
    }

    async fn check(&self) -> Result<Health> {
        self.open("check").map(|_| Health::default())
    }

    async fn close(&self) -> Result<()> {
        // With the lock, so that writes under way are finished first.
        let _contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn read_cursor(cursor: &Cursor) -> Result<Key> {
    let key = std::str::from_utf8(&cursor.0).ok().and_then(|text| Key::parse(text).ok());
    key.ok_or_else(|| Error::new(ErrorKind::Invalid, "this cursor is not of this store"))
}

impl fmt::Debug for ModelBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBackend").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a [`ModelBackend`] holds, past it: for [`Suite::damaged_by`](crate::Suite::damaged_by).
pub struct ModelRecords {
    contents: Arc<Mutex<Contents>>,
    now_us: u64,
}

impl ModelRecords {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored for ModelRecords {
    /// The version, and the value.
    fn read(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let contents = self.contents();
        let whole = || {
            let entry = contents.model.entry(key, self.now_us)?;
            Some([&entry.version.get().to_be_bytes(), &entry.value[..]].concat())
        };
        Ok(contents.damaged.get(key).cloned().or_else(whole))
    }

    fn replace(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        self.contents().damaged.insert(key.clone(), bytes.to_owned());
        Ok(())
    }

    fn estrange(&mut self, _key: &Key) -> io::Result<bool> {
        Ok(false)
    }
}

impl fmt::Debug for ModelRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRecords").finish_non_exhaustive()
    }
}
