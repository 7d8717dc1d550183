//! The reference backend with pauses, behind a wrapper that makes a mistake now and then.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use steadfast_backend::{
    Backend, BackendInfo, Condition, Entry, Error, ErrorKind, Health, Key, Namespace, Result,
    ScanPage, ScanRequest, SystemClock, Transacted, Version, Watch, Watcher, Write, Written,
    async_trait,
};
use steadfast_conformance::ModelBackend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No mistake.
    None,
    /// No mistake either: errors that are ambiguous where they should be, and late writes.
    LosesAnswers,

    AnswersTheNextCall,
    ComparesThenWrites,
    DeniesSuccess,
    Hangs,
    LosesPuts,
    ReadsDeleted,
    ReadsStale,
    RefusesWithStale,
    RepeatsUnanswered,
    ReusesVersions,
    SkipsDeletes,
    WritesWithoutComparing,
}

pub(crate) struct Wrong {
    info: BackendInfo,
    fault: Fault,
    one_in: u64,
    calls: AtomicU64,
    inner: Mutex<Arc<ModelBackend>>,
    notes: Mutex<Notes>,
    connection: tokio::sync::Mutex<VecDeque<Option<Entry>>>,
}

#[derive(Default)]
struct Notes {
    /// What each key held before its last put or delete.
    before: HashMap<Key, Entry>,
    /// The versions that are shown in the place of others.
    reused: HashMap<Version, Version>,
}

fn model() -> Arc<ModelBackend> {
    Arc::new(ModelBackend::with_clock(SystemClock::start()))
}

/// Lets other calls in between.
async fn pause() {
    tokio::task::yield_now().await;
}

impl Wrong {
    pub(crate) fn new(fault: Fault, one_in: u64) -> Self {
        let inner = model();
        Self {
            info: inner.info().clone(),
            fault,
            one_in,
            calls: AtomicU64::new(0),
            inner: Mutex::new(inner),
            notes: Mutex::default(),
            connection: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn forget_all(&self) {
        *self.inner.lock().unwrap() = model();
    }

    fn inner(&self) -> Arc<ModelBackend> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    /// True if it is time for this mistake.
    fn errs(&self, fault: Fault) -> bool {
        self.fault == fault
            && self.calls.fetch_add(1, Ordering::Relaxed) % self.one_in == self.one_in - 1
    }

    fn before(&self, key: &Key) -> Option<Entry> {
        self.notes.lock().unwrap().before.get(key).cloned()
    }

    /// An entry as this backend shows it.
    fn shown(&self, entry: Option<Entry>) -> Option<Entry> {
        let mut entry = entry?;
        if let Some(version) = self.notes.lock().unwrap().reused.get(&entry.version) {
            entry.version = *version;
        }
        Some(entry)
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let entry = self.inner().get(key).await?;
        let stale = match &entry {
            Some(_) => self.errs(Fault::ReadsStale),
            None => self.errs(Fault::ReadsDeleted),
        };
        if stale && let Some(before) = self.before(key) {
            return Ok(Some(before));
        }
        Ok(self.shown(entry))
    }

    async fn write_wrongly(&self, write: Write) -> Result<Written> {
        let key = write.key().clone();
        let is_put = matches!(write, Write::Put { .. });
        let is_delete = matches!(write, Write::Delete { .. });
        let compares = is_put && matches!(write.condition(), Condition::VersionIs(_));
        let inner = self.inner();
        if self.fault == Fault::LosesAnswers {
            return self.lose_answer(write).await;
        }
        if compares && self.fault == Fault::ComparesThenWrites {
            let current = inner.get(&key).await?;
            if !write.admits(current.as_ref().map(|entry| entry.version)) {
                return Ok(Written::Refused { current });
            }
            pause().await;
            return inner.write(&write.only_if(Condition::Always)).await;
        }
        let before = inner.get(&key).await?;
        let loses = compares && !write.admits(before.as_ref().map(|entry| entry.version));
        if loses && self.errs(Fault::WritesWithoutComparing) {
            return inner.write(&write.only_if(Condition::Always)).await;
        }
        let deletes = is_delete && write.admits(before.as_ref().map(|entry| entry.version));
        if deletes && before.is_some() && self.errs(Fault::SkipsDeletes) {
            return Ok(Written::Applied { version: None });
        }
        let written = inner.write(&write.clone()).await?;
        match written {
            Written::Refused { current } => {
                let stale = current.is_some() && self.errs(Fault::RefusesWithStale);
                let current = if stale { self.before(&key) } else { self.shown(current) };
                Ok(Written::Refused { current })
            }
            Written::Applied { version } => {
                if let Some(before) = before.clone()
                    && (is_put || is_delete)
                {
                    self.notes.lock().unwrap().before.insert(key.clone(), before);
                }
                if is_put && self.errs(Fault::LosesPuts) {
                    let _ = inner.write(&Write::delete(key)).await?;
                } else if (is_put || is_delete) && self.errs(Fault::DeniesSuccess) {
                    return Err(Error::new(ErrorKind::Unavailable, "no connection"));
                } else if (is_put || is_delete) && self.errs(Fault::RepeatsUnanswered) {
                    return Err(repeat(inner, write));
                }
                if is_put
                    && let Some(before) = before
                    && self.errs(Fault::ReusesVersions)
                {
                    let reused = &mut self.notes.lock().unwrap().reused;
                    reused.insert(version.unwrap(), before.version);
                }
                let notes = self.notes.lock().unwrap();
                let shown = version.map(|it| notes.reused.get(&it).copied().unwrap_or(it));
                Ok(Written::Applied { version: shown })
            }
        }
    }

    /// Not made and said so, or made without an answer: never, at once, or after a while.
    async fn lose_answer(&self, write: Write) -> Result<Written> {
        let inner = self.inner();
        if !self.errs(Fault::LosesAnswers) {
            return inner.write(&write).await;
        }
        let error = Error::new(ErrorKind::Timeout, "no answer in time");
        match self.calls.load(Ordering::Relaxed) / self.one_in % 4 {
            0 => Err(error),
            1 => Err(error.ambiguous()),
            2 => {
                let _ = inner.write(&write).await?;
                Err(error.ambiguous())
            }
            _ => {
                tokio::spawn(async move {
                    for _ in 0..50 {
                        pause().await;
                    }
                    inner.write(&write).await
                });
                Err(error.ambiguous())
            }
        }
    }
}

/// Makes a write again after a while, which has been made and not answered.
fn repeat(inner: Arc<ModelBackend>, write: Write) -> Error {
    tokio::spawn(async move {
        for _ in 0..50 {
            pause().await;
        }
        inner.write(&write.only_if(Condition::Always)).await
    });
    Error::new(ErrorKind::Timeout, "no answer in time").ambiguous()
}

#[async_trait]
impl Backend for Wrong {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, _key: &Key) -> usize {
        0
    }

    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        pause().await;
        if self.errs(Fault::Hangs) {
            std::future::pending::<()>().await;
        }
        let entry = self.read(key).await?;
        if self.fault == Fault::AnswersTheNextCall {
            // One connection: what nobody reads off it is the next reader's.
            let mut answers = self.connection.lock().await;
            answers.push_back(entry);
            pause().await;
            return Ok(answers.pop_front().flatten());
        }
        pause().await;
        Ok(entry)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        pause().await;
        let entries = self.inner().get_many(keys).await?;
        Ok(entries.into_iter().map(|entry| self.shown(entry)).collect())
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        pause().await;
        let written = self.write_wrongly(write.clone()).await;
        pause().await;
        written
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let mut answers = Vec::new();
        for write in writes {
            answers.push(self.write(write).await);
        }
        Ok(answers)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        pause().await;
        self.inner().transact(writes).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.inner().scan(request).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.inner().sweep().await
    }

    async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
        Err(Error::unwatched())
    }

    async fn check(&self) -> Result<Health> {
        self.inner().check().await
    }

    async fn close(&self) -> Result<()> {
        self.inner().close().await
    }
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrong").field("fault", &self.fault).finish_non_exhaustive()
    }
}
