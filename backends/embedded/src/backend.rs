use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, BackendInfo, Clock, Entry, Error, ErrorKind, Health, Key, Namespace, Result, ScanPage,
    ScanRequest, StoreClock, SystemClock, Transacted, Watch, Watcher, Write, Written, async_trait,
};
use tokio::runtime::Handle;

use crate::fault::Outcome;
use crate::frame::Meta;
use crate::job::{Job, Queue, Reply};
use crate::pace::Pace;
use crate::writer::{Writer, meta_op, read_meta};
use crate::{Engine, Fault, Span, Table, read};

/// Room for four values of the greatest length.
const QUEUE_KIB: usize = 64 * 1024;
/// How long a dropped backend waits for its last commit.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// A [`Backend`] on an embedded [`Engine`].
///
/// * Writes go through one thread, which commits those that wait at the same time together. An
///   acknowledged write has the durability that the engine declares.
/// * Reads run on the blocking threads of the current Tokio runtime; without one, on the caller's.
/// * Expired entries are never served; they are removed once a second in small pieces, or by
///   [`sweep`](Backend::sweep).
/// * Dropping it finishes what was accepted and releases the file, for which it waits up to five
///   seconds. [`close`](Backend::close) does the same without blocking, and reports errors.
pub struct Embedded<E: Engine> {
    info: BackendInfo,
    engine: Arc<E>,
    clock: Arc<StoreClock>,
    closing: AtomicBool,
    queue: Option<Queue>,
    /// Disconnects when the writer thread has ended.
    ended: std::sync::Mutex<mpsc::Receiver<()>>,
}

/// How an [`Embedded`] store behaves, beside its engine's own settings.
///
/// ```
/// use steadfast_backend::ManualClock;
/// use steadfast_embedded::Options;
///
/// // For a test: time moves when told to, and nothing is swept unless asked for.
/// let options = Options { clock: ManualClock::at_us(1), sweep_every: None };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options<C = SystemClock> {
    /// Where the time comes from.
    pub clock: C,
    /// How often expired entries are removed; `None`: only by [`Backend::sweep`].
    pub sweep_every: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: SystemClock::start(), sweep_every: Some(Duration::from_secs(1)) }
    }
}

impl<E: Engine> Embedded<E> {
    /// Opens or creates a store. Blocks while the file is read; call it before serving.
    ///
    /// # Errors
    ///
    /// Those of the engine: a path that cannot be used, a file that is in use, damaged, foreign
    /// or of a newer format. A file that is refused is left as it is.
    pub fn open(config: impl Into<E::Config>) -> Result<Self> {
        Self::open_with(config, Options::default())
    }

    /// As [`open`](Embedded::open), with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Embedded::open).
    pub fn open_with(config: impl Into<E::Config>, options: Options<impl Clock>) -> Result<Self> {
        let name = E::INFO.name;
        Self::start(config.into(), options).map_err(|fault| fault.into_error(name, "open"))
    }

    fn start(config: E::Config, options: Options<impl Clock>) -> Outcome<Self> {
        let engine = Arc::new(E::open(config)?);
        let meta = open_meta(&*engine)?;
        let clock = Arc::new(StoreClock::new(options.clock, meta.floor_us));
        let (queue, jobs) = Queue::new(QUEUE_KIB);
        let writer = Writer {
            engine: Arc::clone(&engine),
            clock: Arc::clone(&clock),
            jobs,
            meta: Some(meta),
            sweep_every: options.sweep_every,
            pace: Pace::default(),
        };
        let ended = spawn(writer)?;
        let closing = AtomicBool::new(false);
        Ok(Self { info: E::INFO, engine, clock, closing, queue: Some(queue), ended })
    }

    /// Hands a job to the writer thread.
    async fn job<T>(
        &self,
        operation: &'static str,
        make: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T> {
        self.check_open(operation)?;
        self.enqueue(make).await.map_err(|fault| self.error(operation, fault))
    }

    async fn enqueue<T>(&self, make: impl FnOnce(Reply<T>) -> Job) -> Outcome<T> {
        match &self.queue {
            Some(queue) => queue.run(make).await,
            None => Err(Fault::closed()),
        }
    }

    /// Reads off the threads that run futures, because a read may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&E, &StoreClock) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.check_open(operation)?;
        let (engine, clock) = (Arc::clone(&self.engine), Arc::clone(&self.clock));
        let work = move || work(&engine, &clock);
        let done = match Handle::try_current() {
            Err(_) => work(),
            Ok(runtime) => runtime.spawn_blocking(work).await.unwrap_or_else(|error| {
                let detail = "the read was given up because the runtime is shutting down";
                Err(Fault::new(ErrorKind::Unavailable, detail).caused_by(error))
            }),
        };
        done.map_err(|fault| self.error(operation, fault))
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(self.error(operation, Fault::closed()));
        }
        Ok(())
    }

    fn error(&self, operation: &'static str, fault: Fault) -> Error {
        fault.into_error(self.info.name, operation)
    }

    fn named<T>(&self, operation: &'static str, checked: Result<T>) -> Result<T> {
        checked.map_err(|error| error.at(self.info.name, operation))
    }
}

/// Reads the store's own record, or writes the first one into an empty file.
fn open_meta<E: Engine>(engine: &E) -> Outcome<Meta> {
    if let Some(meta) = read_meta(engine)? {
        return Ok(meta);
    }
    let all = Span { after: &[], end: &[0xff], limit: 1, head_len: 0 };
    if !engine.span(Table::Data, all)?.is_empty() {
        let detail = "the file holds entries but not the store's own record; keep the file and \
                      restore a backup";
        return Err(Fault::new(ErrorKind::Corrupt, detail));
    }
    let meta = Meta::default();
    engine.commit(vec![meta_op(meta)])?;
    Ok(meta)
}

fn spawn<E: Engine>(writer: Writer<E>) -> Outcome<std::sync::Mutex<mpsc::Receiver<()>>> {
    let (alive, ended) = mpsc::channel::<()>();
    let name = format!("steadfast-{}", E::INFO.name);
    let run = move || {
        writer.run();
        drop(alive);
    };
    thread::Builder::new().name(name).spawn(run).map_err(|error| {
        let detail = "no thread could be started; raise the limit on threads";
        Fault::new(ErrorKind::Unavailable, detail).caused_by(error)
    })?;
    Ok(std::sync::Mutex::new(ended))
}

#[async_trait]
impl<E: Engine> Backend for Embedded<E> {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, _key: &Key) -> usize {
        0
    }

    /// Always `None`: the answer may be on the disk.
    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let key = key.clone();
        let found = self.read("get", move |engine, clock| read::get(engine, &[key], clock));
        Ok(found.await?.pop().flatten())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.check_open("get_many")?;
        self.named("get_many", self.info.capabilities.check_batch_len(keys.len()))?;
        let keys = keys.to_vec();
        self.read("get_many", move |engine, clock| read::get(engine, &keys, clock)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.check_open("write")?;
        self.named("write", self.info.capabilities.check_write(write))?;
        self.job("write", |reply| Job::Write(write.clone(), reply)).await
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.check_open("write_many")?;
        self.named("write_many", self.info.capabilities.check_batch_len(writes.len()))?;
        let limits = |write: &Write| self.info.capabilities.check_write(write);
        let checks: Vec<Result<()>> = writes.iter().map(limits).collect();
        let within = writes.iter().zip(&checks).filter(|(_, check)| check.is_ok());
        let within: Vec<Write> = within.map(|(write, _)| write.clone()).collect();
        let done = if within.is_empty() {
            Vec::new()
        } else {
            self.job("write_many", |reply| Job::WriteMany(within, reply)).await?
        };
        let mut done = done.into_iter();
        let merged = checks.into_iter().map(|check| {
            self.named("write_many", check)?;
            let own = done.next().unwrap_or_else(|| Err(Fault::closed()));
            own.map_err(|fault| self.error("write_many", fault))
        });
        Ok(merged.collect())
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.check_open("transact")?;
        self.named("transact", self.info.capabilities.check_transaction(writes))?;
        self.job("transact", |reply| Job::Transact(writes.to_vec(), reply)).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.read("scan", move |engine, clock| read::scan(engine, &request, clock)).await
    }

    /// Others may write meanwhile.
    async fn sweep(&self) -> Result<usize> {
        let mut removed = 0;
        loop {
            let swept = self.job("sweep", Job::Sweep).await?;
            removed += swept.removed;
            if !swept.more {
                return Ok(removed);
            }
        }
    }

    async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
        Err(Error::unwatched().at(self.info.name, "watch"))
    }

    async fn check(&self) -> Result<Health> {
        let started = Instant::now();
        // What is full still answers.
        let full = match self.job("check", Job::Check).await {
            Err(error) if error.kind() == ErrorKind::Full => Some(error.to_string()),
            tried => tried.map(|()| None)?,
        };
        let latency = started.elapsed();
        let size = |engine: &E, _: &_| Ok((engine.len(Table::Data)?, engine.size_bytes()?));
        let (entries, used_bytes) = self.read("check", size).await?;
        let (used_bytes, warnings) = (Some(used_bytes), full.into_iter().collect());
        Ok(Health { latency, entries, used_bytes, warnings, ..Health::default() })
    }

    async fn close(&self) -> Result<()> {
        self.closing.store(true, Ordering::SeqCst);
        match self.enqueue(Job::Close).await {
            // The writer is gone, so an earlier call has closed everything.
            Err(fault) if fault.kind() == ErrorKind::Closed => Ok(()),
            closed => closed.map_err(|fault| self.error("close", fault)),
        }
    }
}

impl<E: Engine> Drop for Embedded<E> {
    fn drop(&mut self) {
        // Without its queue the writer finishes and ends.
        drop(self.queue.take());
        let ended = self.ended.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(DROP_WAIT) {
            // The disk hangs. The thread goes on alone and releases the file when it can.
        }
    }
}

impl<E: Engine> fmt::Debug for Embedded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("engine", &self.engine).finish_non_exhaustive()
    }
}
