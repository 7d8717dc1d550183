use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, BackendInfo, Capabilities, Clock, Durability, Entry, Error, Health, Key, Namespace,
    Result, ScanPage, ScanRequest, StoreClock, SystemClock, Transacted, Transactions, Watch,
    Watcher, Write, Written, async_trait,
};

use crate::MemoryConfig;
use crate::record::Record;
use crate::store::Store;
use crate::sweeper::Sweeper;

const NAME: &str = "memory";
const VALUE_LEN_MAX: usize = 16 << 20;

/// A bounded store in the memory of this process.
///
/// ```
/// use steadfast_backend::Backend;
/// use steadfast_memory::{MemoryBackend, MemoryConfig};
///
/// let backend = MemoryBackend::new(MemoryConfig { limit_bytes: 64 << 20 });
/// assert!(backend.info().capabilities.evicts);
/// ```
///
/// Where the time must be told to it, as in a test:
///
/// ```
/// use std::time::Duration;
/// use steadfast_backend::{Backend, Group, Key, ManualClock, Namespace, Ttl, Write};
/// use steadfast_memory::{MemoryBackend, MemoryConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast_backend::Result<()> {
/// let clock = ManualClock::at_us(1);
/// let backend = MemoryBackend::with_clock(MemoryConfig::default(), clock.clone());
/// let key = Key::new(&Namespace::new("shop")?, &Group::new("alice")?, "cart")?;
/// let ttl = Ttl::new(Duration::from_secs(60))?;
/// let _ = backend.write(&Write::put(key.clone(), "milk").expiring(ttl)).await?;
/// clock.advance(Duration::from_secs(60));
/// assert!(backend.get(&key).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct MemoryBackend {
    info: BackendInfo,
    limit_bytes: u64,
    store: Arc<Store>,
    _sweeper: Sweeper,
}

impl MemoryBackend {
    /// An empty store. Needs no async runtime.
    pub fn new(config: MemoryConfig) -> Self {
        Self::with_clock(config, SystemClock::start())
    }

    /// An empty store that lives by this clock.
    pub fn with_clock(config: MemoryConfig, clock: impl Clock) -> Self {
        let limit_bytes = config.limit_bytes.max(MemoryConfig::LIMIT_BYTES_MIN);
        let store = Arc::new(Store::new(limit_bytes, StoreClock::new(clock, 0)));
        let info = BackendInfo { name: NAME, capabilities: capabilities(limit_bytes) };
        Self { info, limit_bytes, _sweeper: Sweeper::start(&store), store }
    }
}

fn capabilities(limit_bytes: u64) -> Capabilities {
    // A value that does not fit beside its key would be dropped at once.
    let room = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    let room = room.saturating_sub(Key::MAX_LEN + Record::OVERHEAD_BYTES);
    Capabilities {
        transactions: Transactions::Any,
        scan: true,
        shared: false,
        evicts: true,
        invalidations: false,
        durability: Durability::Process,
        ttl_step: Duration::from_millis(1),
        value_len_max: room.min(VALUE_LEN_MAX),
        batch_len_max: 1024,
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, _key: &Key) -> usize {
        0
    }

    fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
        self.store.get(key).ok()
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.store.get(key).map_err(|error| error.at(NAME, "get"))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let checked = self.info.capabilities.check_batch_len(keys.len());
        let entries = checked.and_then(|()| self.store.get_many(keys));
        entries.map_err(|error| error.at(NAME, "get_many"))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let checked = self.info.capabilities.check_write(write);
        let written = checked.and_then(|()| self.store.write(write));
        written.map_err(|error| error.at(NAME, "write"))
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let can = &self.info.capabilities;
        let check =
            |write: &Write| can.check_write(write).map_err(|error| error.at(NAME, "write_many"));
        let checked = can.check_batch_len(writes.len());
        let written = checked.and_then(|()| self.store.write_many(writes, check));
        written.map_err(|error| error.at(NAME, "write_many"))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let checked = self.info.capabilities.check_transaction(writes);
        let transacted = checked.and_then(|()| self.store.transact(writes));
        transacted.map_err(|error| error.at(NAME, "transact"))
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.store.scan(&request).map_err(|error| error.at(NAME, "scan"))
    }

    async fn sweep(&self) -> Result<usize> {
        self.store.sweep().map_err(|error| error.at(NAME, "sweep"))
    }

    async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
        Err(Error::unwatched().at(NAME, "watch"))
    }

    async fn check(&self) -> Result<Health> {
        let started = Instant::now();
        self.store.ensure_open().map_err(|error| error.at(NAME, "check"))?;
        let (entries, used_bytes, evicted) = self.store.usage();
        Ok(Health {
            entries: Some(entries),
            latency: started.elapsed(),
            used_bytes: Some(used_bytes),
            limit_bytes: Some(self.limit_bytes),
            evicted: Some(evicted),
            ..Health::default()
        })
    }

    async fn close(&self) -> Result<()> {
        self.store.close();
        Ok(())
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("info", &self.info)
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}
