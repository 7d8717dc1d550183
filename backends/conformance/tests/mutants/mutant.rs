//! The reference backend behind a wrapper that makes one mistake.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use steadfast_backend::{
    Backend, BackendInfo, Bytes, Capabilities, Clock, Condition, Entry, Error, ErrorKind, Health,
    Key, ManualClock, Namespace, Result, ScanPage, ScanRequest, Transacted, Transactions, Version,
    Watch, Watcher, Write, Written, async_trait,
};
use steadfast_conformance::ModelBackend;

use crate::fault::Fault;

pub(crate) struct Mutant {
    pub(crate) inner: ModelBackend,
    pub(crate) info: BackendInfo,
    pub(crate) fault: Fault,
    pub(crate) clock: ManualClock,
    pub(crate) notes: Mutex<Notes>,
    /// Held where a mistake must stay the only one.
    pub(crate) turn: tokio::sync::Mutex<()>,
    closed: AtomicBool,
}

/// What the mistakes need to remember.
#[derive(Default)]
pub(crate) struct Notes {
    /// The keys that were put and not deleted since.
    pub(crate) keys: BTreeSet<Key>,
    /// Every key that was ever written to.
    pub(crate) known: BTreeSet<Key>,
    pub(crate) values: HashMap<Key, Bytes>,
    pub(crate) touched_us: HashMap<Key, u64>,
    pub(crate) deadline_us: HashMap<Key, u64>,
    /// By how much the shown versions are lower than the true ones.
    pub(crate) shift: HashMap<Key, u64>,
    pub(crate) shift_all: u64,
    pub(crate) answers: VecDeque<Option<Entry>>,
    pub(crate) broken: bool,
    /// From now on, entries with a deadline are gone.
    pub(crate) swept: bool,
    pub(crate) last_value: String,
}

impl Mutant {
    pub(crate) fn new(inner: ModelBackend, fault: Fault, clock: ManualClock) -> Self {
        let mut info = inner.info().clone();
        let inner = inner.declaring(|can| loosen(can, fault));
        if fault == Fault::InfoDiffers {
            info.capabilities.ttl_step = Duration::from_millis(1);
        }
        let (notes, turn, closed) = (Mutex::default(), tokio::sync::Mutex::default(), false.into());
        Self { inner, info, fault, clock, notes, turn, closed }
    }

    /// What happens to the data while the store is closed.
    pub(crate) async fn reopen_wrongly(&self, before: &Self) -> Result<()> {
        let (keys, values) = {
            let mut before = before.notes();
            (std::mem::take(&mut before.keys), std::mem::take(&mut before.values))
        };
        match self.fault {
            Fault::ClockSetBackRevives if self.now_us() < before.now_us() => {
                for (key, value) in values.into_iter().filter(|(key, _)| keys.contains(key)) {
                    let put = Write::put(key, value).only_if(Condition::Absent);
                    let _ = self.inner.write(&put).await?;
                }
            }
            Fault::DeletedComeBack => {
                for (key, value) in values.into_iter().filter(|(key, _)| !keys.contains(key)) {
                    let _ = self.inner.write(&Write::put(key, value)).await;
                }
            }
            Fault::ForgetsDeadlines => {
                for key in keys {
                    let _ = self.inner.write(&Write::touch(key, None)).await;
                }
            }
            Fault::RestartsVersions => self.notes().shift_all = 1 << 40,
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The key as the mutant takes it.
    pub(crate) fn key(&self, key: &Key) -> Key {
        match self.fault {
            Fault::IgnoresCase => Key::parse(&key.as_str().to_lowercase()).unwrap(),
            Fault::TruncatesKeys => {
                let len = key.as_str().len().min(Key::MAX_LEN - 1);
                Key::parse(&key.as_str()[..len]).unwrap()
            }
            Fault::IgnoresPunctuation => {
                Key::parse(&key.as_str().replace(['!', '~'], "-")).unwrap()
            }
            _ => key.clone(),
        }
    }

    fn shift(&self, key: &Key) -> u64 {
        let notes = self.notes();
        notes.shift.get(key).copied().unwrap_or_default() + notes.shift_all
    }

    /// A true version as the mutant shows it.
    pub(crate) fn shown(&self, key: &Key, version: Option<Version>) -> Option<Version> {
        if self.is(Fault::VersionsAreCoarse) {
            return version.map(|version| Version::new(version.get() / 1_000 * 1_000).unwrap());
        }
        version.map(|version| Version::new(version.get().wrapping_sub(self.shift(key))).unwrap())
    }

    /// A shown version as it truly is.
    pub(crate) fn truly(&self, key: &Key, version: Version) -> Version {
        if self.is(Fault::VersionsAreCoarse) {
            let current = self.inner.get_ready(key).flatten().map(|entry| entry.version);
            let same = self.shown(key, current) == Some(version);
            return current.filter(|_| same).unwrap_or(version);
        }
        Version::new(version.get().wrapping_add(self.shift(key))).unwrap_or(version)
    }

    /// An entry as the mutant shows it.
    pub(crate) fn show(&self, key: &Key, entry: Option<Entry>) -> Option<Entry> {
        if self.is(Fault::MissIsAnEmptyEntry)
            && entry.is_none()
            && !self.notes().known.contains(key)
        {
            let (value, version) = (Bytes::new(), Version::new(1).unwrap());
            let age = Duration::ZERO;
            return Some(Entry { value, version, written_us: self.now_us(), age, left: None });
        }
        let mut entry = entry?;
        entry.version = self.shown(key, Some(entry.version)).unwrap();
        match self.fault {
            Fault::SweepsTheLiving if entry.left.is_some() && self.notes().swept => return None,
            Fault::EmptyIsMiss if entry.value.is_empty() => return None,
            Fault::WrittenRunsAhead => entry.written_us += 1 << 40,
            Fault::LeftIsOverstated => {
                entry.left = entry.left.map(|left| left + Duration::from_millis(2));
            }
            Fault::AgeCountsFromTheTouch => {
                if let Some(touched_us) = self.notes().touched_us.get(key) {
                    entry.age = Duration::from_micros(self.now_us() - touched_us);
                }
            }
            _ => {}
        }
        Some(entry)
    }

    pub(crate) fn answer(&self, key: &Key, written: Written) -> Written {
        match written {
            Written::Applied { version } => Written::Applied { version: self.shown(key, version) },
            Written::Refused { .. } if self.is(Fault::RefusesEmptyHanded) => {
                Written::Refused { current: None }
            }
            Written::Refused { current } => Written::Refused { current: self.show(key, current) },
        }
    }

    /// The error as the mutant shows it.
    pub(crate) fn blame(&self, key: &Key, error: Error) -> Error {
        if self.is(Fault::ErrorShowsTheKey) {
            return Error::new(error.kind(), format!("it failed for {}", key.as_str()));
        }
        error
    }

    pub(crate) fn refuse_empty(&self, len: usize) -> Result<()> {
        if len == 0 && self.is(Fault::EmptyCallsFail) {
            return Err(Error::new(ErrorKind::Invalid, "there is nothing to do"));
        }
        Ok(())
    }

    /// Falls out of step for good where a call is dropped in the middle.
    pub(crate) async fn step(&self) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>> {
        if !self.is(Fault::BreaksWhenDropped) {
            return Ok(None);
        }
        let turn = self.turn.lock().await;
        if std::mem::replace(&mut self.notes().broken, true) {
            return Err(Error::new(ErrorKind::Other, "the connection is out of step"));
        }
        tokio::task::yield_now().await;
        self.notes().broken = false;
        Ok(Some(turn))
    }

    /// Answers in the order in which calls were sent, whoever still waits.
    async fn get_pipelined(&self, key: &Key) -> Result<Option<Entry>> {
        let _turn = self.turn.lock().await;
        let answer = self.inner.get(key).await?;
        self.notes().answers.push_back(answer);
        tokio::task::yield_now().await;
        Ok(self.notes().answers.pop_front().unwrap())
    }
}

/// Takes away the guards that some mistakes leave out.
fn loosen(can: &mut Capabilities, fault: Fault) {
    match fault {
        Fault::TakesLongValues => can.value_len_max *= 2,
        Fault::TakesLongBatches => can.batch_len_max *= 2,
        Fault::TransactsAnyway | Fault::GroupsMix => can.transactions = Transactions::Any,
        Fault::ScansAnyway => can.scan = true,
        _ => {}
    }
}

#[async_trait]
impl Backend for Mutant {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        if self.is(Fault::SpreadsGroups) {
            return key.name().bytes().map(usize::from).sum();
        }
        self.inner.endpoint(&self.key(key))
    }

    fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
        match self.inner.get_ready(&self.key(key)) {
            None if self.is(Fault::ReadyAfterClose) && self.closed.load(Ordering::SeqCst) => {
                Some(None)
            }
            Some(_) if self.is(Fault::ReadyAlwaysMisses) => Some(None),
            ready => Some(self.show(key, ready?)),
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        if self.is(Fault::AnswersTheNextCall) {
            return self.get_pipelined(key).await;
        }
        match self.inner.get(&self.key(key)).await {
            Err(error)
                if self.is(Fault::AnswersAfterClose) && error.kind() == ErrorKind::Closed =>
            {
                Ok(None)
            }
            Err(error)
                if self.is(Fault::UnreadableIsMiss) && error.kind() == ErrorKind::Corrupt =>
            {
                Ok(None)
            }
            entry => Ok(self.show(key, entry?)),
        }
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.refuse_empty(keys.len())?;
        let mut asked: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
        match self.fault {
            Fault::GetManySorts => asked.sort(),
            Fault::DropsDuplicateKeys => {
                let mut seen = BTreeSet::new();
                asked.retain(|key| seen.insert(key.clone()));
            }
            Fault::SnapshotIsTorn => {
                let mut entries = Vec::new();
                for key in keys {
                    entries.push(self.get(key).await?);
                    tokio::task::yield_now().await;
                }
                self.inner.get_many(keys).await?;
                return Ok(entries);
            }
            _ => {}
        }
        let _turn = self.turn.lock().await;
        let entries = self.inner.get_many(&asked).await?;
        let mut shown: Vec<_> =
            keys.iter().zip(entries).map(|(key, entry)| self.show(key, entry)).collect();
        if self.is(Fault::GetManyForgetsLeft) {
            shown.iter_mut().flatten().for_each(|entry| entry.left = None);
        }
        Ok(shown)
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let key = write.key().clone();
        let written = self.write_wrongly(write.clone()).await;
        written.map_err(|error| self.blame(&key, error))
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.batch_wrongly(writes.to_vec()).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.transact_wrongly(writes.to_vec()).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let _step = self.step().await?;
        self.scan_wrongly(request).await
    }

    async fn sweep(&self) -> Result<usize> {
        if self.is(Fault::SweepsTheLiving) {
            self.notes().swept = true;
        }
        match self.inner.sweep().await {
            Err(_) if self.is(Fault::AnswersAfterClose) => Ok(0),
            swept => swept,
        }
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        self.inner.watch(namespace, watcher).await
    }

    async fn check(&self) -> Result<Health> {
        let _step = self.step().await?;
        let mut health = self.inner.check().await?;
        if self.is(Fault::UsesMoreThanItsLimit) {
            (health.used_bytes, health.limit_bytes) = (Some(2), Some(1));
        }
        Ok(health)
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) && self.is(Fault::CloseFailsTheSecondTime) {
            return Err(Error::new(ErrorKind::Closed, "it is closed already"));
        }
        self.inner.close().await
    }
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutant");
        if self.is(Fault::DebugShowsTheValue) {
            out.field("last_value", &self.notes().last_value);
        }
        out.finish_non_exhaustive()
    }
}
