use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use steadfast_backend::{
    Entry, Error, ErrorKind, Key, Result, ScanPage, ScanRequest, StoreClock, Transacted, Version,
    Write, Written,
};

use crate::index::Index;
use crate::record::Record;

/// How many dead records go while the lock is held once.
const SWEEP_BATCH_LEN: usize = 1024;
/// How many dead records a writer takes along, so that they also go where no sweeper runs.
const SWEEP_PER_WRITE_LEN: usize = 8;
/// How many bytes may be written before the cache is told to make room; it would otherwise wait
/// for some hundred writes, whatever their size.
const UNSETTLED_BYTES_MAX: u64 = 4 << 20;

/// The records, and what keeps them in order.
///
/// Readers look into the cache alone. Whoever changes something, or wants to see several keys at
/// one moment, holds the writers' lock.
pub(crate) struct Store {
    cache: Cache<Key, Record>,
    clock: Arc<StoreClock>,
    dropped: Arc<Dropped>,
    writers: Mutex<Writers>,
    /// Odd while a transaction is being made.
    transactions: AtomicU64,
    closed: AtomicBool,
}

#[derive(Default)]
struct Writers {
    index: Index,
    unsettled_bytes: u64,
}

/// What the cache dropped to make room. It tells us while somebody may hold the writers' lock, so
/// the keys wait here for the next writer.
#[derive(Default)]
struct Dropped {
    keys: Mutex<Vec<Key>>,
    count: AtomicU64,
}

impl Store {
    pub(crate) fn new(limit_bytes: u64, clock: StoreClock) -> Self {
        let clock = Arc::new(clock);
        let dropped = Arc::new(Dropped::default());
        let listener = {
            let (clock, dropped) = (Arc::clone(&clock), Arc::clone(&dropped));
            move |key: Arc<Key>, record: Record, cause| {
                if cause == RemovalCause::Size {
                    dropped.note(&key, record.is_live(clock.now_us()));
                }
            }
        };
        let cache = Cache::builder()
            .max_capacity(limit_bytes)
            .weigher(|key, record: &Record| Record::weight(key, record.value.len()))
            // The default policy may turn away a new key; a write that was confirmed must be seen.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(listener)
            .build();
        let (writers, transactions) = (Mutex::default(), AtomicU64::new(0));
        Self { cache, clock, dropped, writers, transactions, closed: AtomicBool::new(false) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        if self.is_closed() {
            let detail = "the backend was closed; open a new one";
            return Err(Error::new(ErrorKind::Closed, detail));
        }
        Ok(())
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let before = self.transactions.load(Ordering::SeqCst);
        let record = self.cache.get(key);
        // Nobody may see one key of a transaction before the others.
        let record = if before % 2 == 1 || self.transactions.load(Ordering::SeqCst) != before {
            let _writers = self.lock()?;
            self.cache.get(key)
        } else {
            record
        };
        // Both after the look-up: a store that was closed in between is not a miss, and an entry
        // that died in between is not served.
        self.ensure_open()?;
        let now_us = self.clock.now_us();
        Ok(live(record, now_us).map(|record| record.into_entry(now_us)))
    }

    pub(crate) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let _writers = self.lock()?;
        let now_us = self.clock.now_us();
        let record = |key| self.record(key, now_us).map(|record| record.into_entry(now_us));
        Ok(keys.iter().map(record).collect())
    }

    pub(crate) fn write(&self, write: &Write) -> Result<Written> {
        Ok(self.apply_if_admitted(&mut *self.lock()?, write))
    }

    /// Makes the changes in order; `check` may veto each alone.
    pub(crate) fn write_many(
        &self,
        writes: &[Write],
        check: impl Fn(&Write) -> Result<()>,
    ) -> Result<Vec<Result<Written>>> {
        let mut locked = self.lock()?;
        let mut make = |write: &Write| {
            check(write)?;
            Ok(self.apply_if_admitted(&mut locked, write))
        };
        Ok(writes.iter().map(&mut make).collect())
    }

    pub(crate) fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let mut locked = self.lock()?;
        let now_us = self.clock.now_us();
        let mut changes = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            let current = self.record(write.key(), now_us);
            if !write.admits(current.as_ref().map(|record| record.version)) {
                let current = current.map(|record| record.into_entry(now_us));
                return Ok(Transacted::Refused { index, current });
            }
            changes.push((write, current));
        }
        let apply = |(write, current)| self.apply(&mut locked, write, current, now_us);
        self.transactions.fetch_add(1, Ordering::SeqCst);
        let versions = changes.into_iter().map(apply).collect();
        self.transactions.fetch_add(1, Ordering::SeqCst);
        Ok(Transacted::Applied { versions })
    }

    pub(crate) fn scan(&self, request: &ScanRequest) -> Result<ScanPage> {
        let writers = self.lock()?;
        let now_us = self.clock.now_us();
        // Being listed is not being used: a scan leaves the order in which entries are dropped.
        writers.index.page(request, |key, deadline_us| {
            deadline_us.is_none_or(|deadline_us| now_us < deadline_us)
                && self.cache.contains_key(key)
        })
    }

    /// Removes what is dead by now, and tells how many entries that were.
    pub(crate) fn sweep(&self) -> Result<usize> {
        let mut removed = 0;
        loop {
            // Others may write between two batches.
            let batch = self.remove_expired(&mut *self.lock()?, SWEEP_BATCH_LEN);
            removed += batch;
            if batch < SWEEP_BATCH_LEN {
                self.cache.run_pending_tasks();
                return Ok(removed);
            }
        }
    }

    /// The entries and bytes held, and how many live entries were dropped so far.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        self.cache.run_pending_tasks();
        let dropped = self.dropped.count.load(Ordering::Relaxed);
        (self.cache.entry_count(), self.cache.weighted_size(), dropped)
    }

    /// Refuses all later calls and lets go of the data.
    pub(crate) fn close(&self) {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        *writers = Writers::default();
        self.cache.invalidate_all();
        self.cache.run_pending_tasks();
    }

    /// Waits for the writers' lock and brings the index up to date.
    fn lock(&self) -> Result<MutexGuard<'_, Writers>> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        self.ensure_open()?;
        for key in self.dropped.take() {
            // It may have been written again since.
            if !self.cache.contains_key(&key) {
                writers.index.remove(&key);
            }
        }
        Ok(writers)
    }

    fn record(&self, key: &Key, now_us: u64) -> Option<Record> {
        live(self.cache.get(key), now_us)
    }

    fn apply_if_admitted(&self, writers: &mut Writers, write: &Write) -> Written {
        self.remove_expired(writers, SWEEP_PER_WRITE_LEN);
        let now_us = self.clock.now_us();
        let current = self.record(write.key(), now_us);
        if write.admits(current.as_ref().map(|record| record.version)) {
            Written::Applied { version: self.apply(writers, write, current, now_us) }
        } else {
            Written::Refused { current: current.map(|record| record.into_entry(now_us)) }
        }
    }

    /// Makes a change that the key's `current` record admits, and returns the version that the key
    /// has now. It does not look again: a reader may have made the cache drop the record since.
    fn apply(
        &self,
        writers: &mut Writers,
        write: &Write,
        current: Option<Record>,
        now_us: u64,
    ) -> Option<Version> {
        match write {
            Write::Put { key, value, ttl, .. } => {
                let version = self.clock.next_version();
                let record = Record::new(value.clone(), version, *ttl, now_us);
                self.insert(writers, key.clone(), record);
                Some(version)
            }
            Write::Touch { key, ttl, .. } => {
                let record = current?.touched(*ttl, now_us);
                let version = record.version;
                self.insert(writers, key.clone(), record);
                Some(version)
            }
            Write::Delete { key, .. } => {
                writers.index.remove(key);
                self.cache.invalidate(key);
                None
            }
            Write::Check { .. } => current.map(|record| record.version),
        }
    }

    fn insert(&self, writers: &mut Writers, key: Key, record: Record) {
        writers.index.set(&key, record.deadline_us);
        writers.unsettled_bytes += u64::from(Record::weight(&key, record.value.len()));
        self.cache.insert(key, record);
        if writers.unsettled_bytes > UNSETTLED_BYTES_MAX {
            writers.unsettled_bytes = 0;
            self.cache.run_pending_tasks();
        }
    }

    /// Removes up to `len_max` dead records; true if there may be more.
    fn remove_expired(&self, writers: &mut Writers, len_max: usize) -> usize {
        let now_us = self.clock.now_us();
        for removed in 0..len_max {
            let Some(key) = writers.index.pop_expired(now_us) else { return removed };
            self.cache.invalidate(&key);
        }
        len_max
    }
}

impl Dropped {
    fn note(&self, key: &Key, live: bool) {
        self.count.fetch_add(u64::from(live), Ordering::Relaxed);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
    }

    fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn live(record: Option<Record>, now_us: u64) -> Option<Record> {
    record.filter(|record| record.is_live(now_us))
}

#[cfg(test)]
mod tests;
