use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use steadfast_backend::{
    Backend, BackendInfo, Capabilities, Durability, Entry, Error, ErrorKind, Health, Key,
    Namespace, Result, ScanPage, ScanRequest, Start, Transacted, Transactions, Watch, Watcher,
    Write, Written, async_trait,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use crate::admin::Found;
use crate::config::MemcachedConfig;
use crate::health;
use crate::keeper::{self, Keeper};
use crate::router::Router;
use crate::server::Server;

const NAME: &str = "memcached";
/// What is rounded up, the lag that is added, and the second that a server takes to notice.
const TTL_STEP: Duration = Duration::from_secs(4);
/// Writes of a batch are made one after another, and all within one timeout.
const BATCH_LEN_MAX: usize = 256;
/// How many calls may be under way at once; only closing asks for all of them.
const CALLS_MAX: u32 = 1 << 28;

/// Keeps entries on one or several Memcached servers. See the [crate] page.
pub struct MemcachedBackend {
    info: BackendInfo,
    timeout: Duration,
    servers: Vec<Arc<Server>>,
    router: Router,
    /// Every call holds one while it is under way.
    calls: Semaphore,
    keepers: Vec<AbortHandle>,
}

impl MemcachedBackend {
    /// Reaches the servers, and watches over them from now on, on the Tokio runtime it is called
    /// in. A server that cannot be reached is out until it can be, if any other is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for bad settings and for a server that is not fit: none of Memcached,
    /// too old, with a password, or without CAS numbers. [`ErrorKind::Unavailable`] or
    /// [`ErrorKind::Timeout`] if no server answers, unless the settings say
    /// [otherwise](MemcachedConfig::start).
    pub async fn connect(config: impl Into<MemcachedConfig>) -> Result<Self> {
        Self::open(config.into()).await.map_err(|error| error.at(NAME, "connect"))
    }

    async fn open(config: MemcachedConfig) -> Result<Self> {
        config.check()?;
        let MemcachedConfig { servers, timeout, connections, start } = config;
        let router = Router::new(servers.iter().map(|it| (it.address.as_str(), it.weight)));
        let servers = servers.into_iter().map(|it| Server::new(it.address, timeout, connections));
        let servers: Vec<_> = servers.map(Arc::new).collect();
        let (reached, value_len_max) = match start {
            Start::Disconnected => {
                let not_yet = servers.iter().map(|_server| Err(keeper::not_reached()));
                (not_yet.collect(), keeper::USUAL_VALUE_LEN_MAX)
            }
            Start::Within(time) => reach(&servers, time).await?,
            _ => reach(&servers, Duration::ZERO).await?,
        };
        let mut keepers = Vec::new();
        for (server, reached) in servers.iter().zip(reached) {
            let keeper = Keeper::new(Arc::clone(server), reached, value_len_max);
            let watching = async move {
                if start == Start::Disconnected {
                    keeper.begin().await;
                } else {
                    keeper.run().await;
                }
            };
            keepers.push(tokio::spawn(watching).abort_handle());
        }
        let info = BackendInfo { name: NAME, capabilities: capabilities(value_len_max) };
        let calls = Semaphore::new(CALLS_MAX as usize);
        Ok(Self { info, timeout, servers, router, calls, keepers })
    }

    fn begin(&self) -> Result<SemaphorePermit<'_>> {
        self.calls
            .try_acquire()
            .map_err(|_| Error::new(ErrorKind::Closed, "the backend was closed; connect a new one"))
    }

    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.timeout
    }

    fn server(&self, key: &Key) -> &Server {
        &self.servers[self.router.route(key.as_str())]
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let _call = self.begin()?;
        self.server(key).get(key, self.deadline()).await
    }

    async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let _call = self.begin()?;
        self.info.capabilities.check_batch_len(keys.len())?;
        let deadline = self.deadline();
        let mut positions = vec![Vec::new(); self.servers.len()];
        for (position, key) in keys.iter().enumerate() {
            positions[self.router.route(key.as_str())].push(position);
        }
        let asked = self.servers.iter().zip(&positions).filter(|(_, asked)| !asked.is_empty());
        let answers = asked.map(|(server, positions)| async move {
            let keys: Vec<&str> = positions.iter().map(|at| keys[*at].as_str()).collect();
            let entries = server.get_many(&keys, deadline).await?;
            Ok(positions.iter().copied().zip(entries))
        });
        let mut entries = vec![None; keys.len()];
        for answer in join_all(answers).await {
            for (position, entry) in answer? {
                entries[position] = entry;
            }
        }
        Ok(entries)
    }

    async fn change(&self, write: &Write, deadline: tokio::time::Instant) -> Result<Written> {
        self.info.capabilities.check_write(write)?;
        self.server(write.key()).write(write, deadline).await
    }

    async fn change_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let _call = self.begin()?;
        self.info.capabilities.check_batch_len(writes.len())?;
        let deadline = self.deadline();
        let mut answers = Vec::with_capacity(writes.len());
        // One after the other: they may be for different servers, and a server that fails one
        // leaves the client without the answers to those behind it.
        for write in writes {
            let answer = self.change(write, deadline).await;
            answers.push(answer.map_err(|error| error.at(NAME, "write_many")));
        }
        Ok(answers)
    }

    async fn ask_all(&self) -> Result<Health> {
        let _call = self.begin()?;
        let started = Instant::now();
        let asked = self.servers.iter().map(|server| async {
            server.link()?;
            health::ask(server, self.deadline()).await
        });
        let (mut states, mut away) = (Vec::new(), Vec::new());
        for answer in join_all(asked).await {
            match answer {
                Ok(state) => states.push(state),
                Err(error) if error.is_outage() => away.push(error),
                Err(error) => return Err(error),
            }
        }
        if states.is_empty()
            && let Some(error) = away.pop()
        {
            return Err(error);
        }
        let mut health = health::sum(&states, started.elapsed());
        health.warnings.extend(away.iter().map(ToString::to_string));
        Ok(health)
    }
}

/// Looks for the servers until one is there, or the time is over. What those can all hold comes
/// with them.
async fn reach(servers: &[Arc<Server>], time: Duration) -> Result<(Vec<Result<Found>>, usize)> {
    let deadline = tokio::time::Instant::now() + time;
    loop {
        let reached = join_all(servers.iter().map(|server| keeper::reach(server))).await;
        match value_len_max(servers, &reached) {
            Ok(len) => return Ok((reached, len)),
            Err(error) if error.is_outage() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(keeper::RETRY_PERIOD).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the servers that were reached can all hold.
fn value_len_max(servers: &[Arc<Server>], reached: &[Result<Found>]) -> Result<usize> {
    let mut smallest = None;
    for (server, reached) in servers.iter().zip(reached) {
        match reached {
            Ok(found) => {
                let len = keeper::value_len_max(found);
                smallest = Some(len.min(smallest.unwrap_or(usize::MAX)));
            }
            Err(error) if error.kind() == ErrorKind::Config => {
                let detail = format!("the server {} cannot be used: {error}", server.address);
                return Err(Error::new(ErrorKind::Config, detail));
            }
            Err(_) => {}
        }
    }
    smallest.ok_or_else(|| {
        let first = servers.iter().zip(reached).find_map(|(server, reached)| {
            let error = reached.as_ref().err()?;
            let detail = format!("no server answers; {}: {error}", server.address);
            Some(Error::new(error.kind(), detail))
        });
        first.unwrap_or_else(|| Error::new(ErrorKind::Config, "no server is named; name one"))
    })
}

fn capabilities(value_len_max: usize) -> Capabilities {
    Capabilities {
        transactions: Transactions::None,
        scan: false,
        shared: true,
        evicts: true,
        invalidations: false,
        durability: Durability::Volatile,
        ttl_step: TTL_STEP,
        value_len_max,
        batch_len_max: BATCH_LEN_MAX,
    }
}

#[async_trait]
impl Backend for MemcachedBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.router.route(key.as_str())
    }

    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.read(key).await.map_err(|error| error.at(NAME, "get"))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.read_many(keys).await.map_err(|error| error.at(NAME, "get_many"))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let made = async {
            let _call = self.begin()?;
            self.change(write, self.deadline()).await
        };
        made.await.map_err(|error| error.at(NAME, "write"))
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.change_many(writes).await.map_err(|error| error.at(NAME, "write_many"))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let refused = self.begin().and_then(|_| {
            self.info.capabilities.check_transaction(writes)?;
            Err(Error::new(ErrorKind::Unsupported, "this backend has no transactions"))
        });
        refused.map_err(|error| error.at(NAME, "transact"))
    }

    async fn scan(&self, _request: ScanRequest) -> Result<ScanPage> {
        let refused = self.begin().and_then(|_| {
            let detail = "Memcached does not list its keys; keep a list of your own, or choose \
                          a backend that scans";
            Err(Error::new(ErrorKind::Unsupported, detail))
        });
        refused.map_err(|error| error.at(NAME, "scan"))
    }

    /// The servers do that themselves.
    async fn sweep(&self) -> Result<usize> {
        self.begin().map(|_| 0).map_err(|error| error.at(NAME, "sweep"))
    }

    async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
        let refused = self.begin().and_then(|_| Err(Error::unwatched()));
        refused.map_err(|error| error.at(NAME, "watch"))
    }

    async fn check(&self) -> Result<Health> {
        self.ask_all().await.map_err(|error| error.at(NAME, "check"))
    }

    async fn close(&self) -> Result<()> {
        // Fails only if it was closed before.
        let all = self.calls.acquire_many(CALLS_MAX).await;
        self.calls.close();
        drop(all);
        for keeper in &self.keepers {
            keeper.abort();
        }
        for server in &self.servers {
            server.eject(Error::new(ErrorKind::Closed, "the backend was closed"));
        }
        Ok(())
    }
}

impl fmt::Debug for MemcachedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("MemcachedBackend");
        out.field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Drop for MemcachedBackend {
    fn drop(&mut self) {
        for keeper in &self.keepers {
            keeper.abort();
        }
    }
}
