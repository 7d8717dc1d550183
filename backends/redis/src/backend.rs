use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::Value;
use steadfast_backend::{
    Backend, BackendInfo, Capabilities, Durability, Entry, Error, ErrorKind, Health, Key,
    Namespace, Result, ScanPage, ScanRequest, Start, Transacted, Transactions, Watch, Watcher,
    Write, Written, async_trait,
};

use crate::clock::Moment;
use crate::config::{Acknowledged, RedisConfig, Servers};
use crate::contact::Contact;
use crate::error::{Fault, NAME, Outcome, Then, nonsense};
use crate::gate::{Gate, Inside};
use crate::health::Report;
use crate::lane::Progress;
use crate::large::LargeKeys;
use crate::question::{Answer, Question};
use crate::router::Router;
use crate::script::{self, Call, Together};
use crate::shard::Shard;
use crate::{feed, frame, probe, scan};

/// Entries in Redis or Valkey: one server, a Cluster, or the primary that Sentinels name.
///
/// Clones of the handle are not needed: share it in an [`Arc`].
pub struct RedisBackend {
    info: BackendInfo,
    config: Arc<RedisConfig>,
    router: Arc<Router>,
    contact: Contact,
    large: LargeKeys,
    gate: Gate,
    warned: Arc<Warned>,
}

/// The warnings that were logged last.
#[derive(Default)]
struct Warned(Mutex<Vec<String>>);

impl RedisBackend {
    /// Connects, and finds out what the servers can do. Of a Cluster, the primaries that are there
    /// are enough. With [`Start::Disconnected`] it returns at once: the servers are found later,
    /// and until then what depends on them is as [`RedisConfig::evicts`] says it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for settings that cannot work, or do not suit the servers;
    /// [`ErrorKind::Rejected`] for wrong credentials or a user that lacks a permission;
    /// [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`] if no primary answers within the
    /// connect timeout and the timeout, or the time of [`Start::Within`].
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        config.check()?;
        let config = Arc::new(config);
        let router = Arc::new(Router::start(&config));
        let warned = Arc::new(Warned::default());
        let (contact, can) = if config.start == Start::Disconnected {
            let warned = Arc::clone(&warned);
            let warn = move |warnings: &[String]| warned.warn(warnings);
            let can = capabilities(&config, config.evicts.unwrap_or(true), true);
            (Contact::begin(&config, &router, warn), can)
        } else {
            let found = probe::servers(&router, &config).await;
            let found = found.map_err(|fault| fault.told("connect", false))?;
            warned.warn(&found.warnings);
            let can = capabilities(&config, found.evicts, found.invalidations);
            (Contact::made(found), can)
        };
        let info = BackendInfo { name: NAME, capabilities: can };
        let (large, gate) = (LargeKeys::new(), Gate::default());
        Ok(Self { info, config, router, contact, large, gate, warned })
    }

    fn enter(&self, operation: &'static str) -> Result<Inside<'_>> {
        self.gate.enter().map_err(|fault| fault.told(operation, false))
    }

    fn progress(&self) -> Progress {
        Progress::until(tokio::time::Instant::now() + self.config.timeout)
    }

    /// Waits for an answer until the deadline.
    async fn within<T>(
        &self,
        progress: &Progress,
        work: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        let work = async {
            self.contact.found().await?;
            work.await
        };
        match tokio::time::timeout_at(progress.deadline, work).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if !self.contact.is_made() => {
                let detail = format!(
                    "never connected: {}: no answer within {:?} yet; check that it is up",
                    self.config.servers, self.config.timeout
                );
                Err(Fault::new(ErrorKind::Timeout, detail).untouched())
            }
            Err(_elapsed) if progress.may_be_done() => Err(elapsed(self.config.timeout)),
            Err(_elapsed) => Err(elapsed(self.config.timeout).untouched()),
        }
    }

    /// A question about a key, by the lane that suits what it will answer.
    fn reading(&self, command: redis::Cmd, keys: &[Key]) -> Question {
        let question = Question::new(command, 0);
        let bulky = keys.iter().any(|key| self.large.contains(key));
        if bulky { question.bulky() } else { question }
    }

    /// Asks for keys of any places, all at once.
    async fn read_everywhere(
        &self,
        keys: &[Key],
        progress: &Progress,
    ) -> Outcome<Vec<Option<Entry>>> {
        let Some(first) = keys.first().map(|key| self.router.place(key)) else {
            return Ok(Vec::new());
        };
        if keys.iter().all(|key| self.router.place(key) == first) {
            return self.read_together(keys, progress).await;
        }
        let mut places: BTreeMap<_, Vec<Key>> = BTreeMap::new();
        for key in keys {
            places.entry(self.router.place(key)).or_default().push(key.clone());
        }
        let asked = places.values().map(|keys| self.read_together(keys, progress));
        let answers = try_join_all(asked).await?;
        let answers = answers.into_iter().map(Vec::into_iter);
        let mut answers: BTreeMap<_, _> = places.keys().zip(answers).collect();
        // Each place answers in the order of its keys.
        let next = |key| answers.get_mut(&self.router.place(key)).and_then(Iterator::next);
        keys.iter().map(next).map(|entry| entry.ok_or_else(nonsense)).collect()
    }

    /// Asks for several keys of one place.
    async fn read_together(
        &self,
        keys: &[Key],
        progress: &Progress,
    ) -> Outcome<Vec<Option<Entry>>> {
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(key.as_str());
        }
        let question = self.reading(command, keys);
        let (answer, shard) = self.router.read(&keys[0], &question, progress).await?;
        let Value::Array(values) = answer.value else { return Err(nonsense()) };
        if values.len() != keys.len() {
            return Err(nonsense());
        }
        let now = shard.primary.now().await?;
        values.into_iter().zip(keys).map(|(value, key)| self.entry(key, value, now)).collect()
    }

    fn entry(&self, key: &Key, value: Value, now: Moment) -> Outcome<Option<Entry>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(frame) => {
                self.large.note(key, frame.len());
                frame::entry(frame, now)
            }
            _ => Err(nonsense()),
        }
    }

    /// Calls the script for writes of one place.
    async fn call(
        &self,
        together: Together,
        writes: &[Write],
        progress: &Progress,
    ) -> Outcome<(Answer, Arc<Shard>)> {
        let by = self.config.durability;
        let call = Call::new(together, writes, by != Acknowledged::ByPrimary);
        let mut bytes = 0;
        for write in writes {
            if let Write::Put { key, value, .. } = write {
                self.large.note(key, value.len());
                bytes += value.len();
            }
        }
        let question = |command| Question::new(command, bytes).acknowledged(by);
        let key = writes[0].key();
        let asked = self.router.ask(key, &question(call.by_hash()), progress).await;
        match asked {
            Err(fault) if fault.then == Then::Load => {
                self.router.ask(key, &question(call.whole()), progress).await
            }
            asked => asked,
        }
    }

    async fn write_together(
        &self,
        writes: &[Write],
        progress: &Progress,
    ) -> Outcome<Vec<Result<Written>>> {
        let (answer, shard) = self.call(Together::Each, writes, progress).await?;
        let written = script::each(answer.value);
        if written.as_ref().is_err_and(|fault| fault.then == Then::Resolve) {
            shard.primary.resolve();
        }
        let mut written = written?;
        if written.len() != writes.len() {
            return Err(nonsense());
        }
        if !answer.confirmed {
            // A refusal, too: what it tells may be lost, and with it what its caller concludes.
            for written in written.iter_mut().filter(|written| written.is_ok()) {
                *written = Err(unconfirmed().told("write", true));
            }
        }
        Ok(written)
    }
}

impl Warned {
    /// Says what an operator should change, each time that is something else.
    fn warn(&self, warnings: &[String]) {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings.iter().filter(|warning| !warned.contains(warning)) {
            tracing::warn!(warning, "Redis may lose what must be kept");
        }
        warnings.clone_into(&mut warned);
    }
}

/// It counts as ambiguous whatever was answered: what refused the write may be an earlier attempt
/// at it.
fn unconfirmed() -> Fault {
    let detail = "the server has it, but not as many replicas or disks confirmed it in time as \
                  were asked for, so that a failover may lose it; see INFO replication";
    Fault::new(ErrorKind::Unconfirmed, detail)
}

fn elapsed(time: Duration) -> Fault {
    let detail =
        format!("no answer within {time:?}; see whether the server is up and not overloaded");
    Fault::new(ErrorKind::Timeout, detail)
}

/// A server's longest value is 512 MiB; with that, one write would stall all others for seconds.
const VALUE_LEN_MAX: usize = 16 << 20;
/// While the script runs, the server does nothing else.
const BATCH_LEN_MAX: usize = 1_024;

fn capabilities(config: &RedisConfig, evicts: bool, invalidations: bool) -> Capabilities {
    Capabilities {
        transactions: match config.servers {
            Servers::Single(_) | Servers::Sentinel { .. } => Transactions::Any,
            Servers::Cluster(_) => Transactions::SameGroup,
        },
        scan: true,
        shared: true,
        evicts,
        invalidations,
        durability: match config.durability {
            Acknowledged::ByPrimary => Durability::Volatile,
            Acknowledged::ByReplicas(_) => Durability::Replicated,
            Acknowledged::OnDisk { .. } => Durability::Durable,
        },
        ttl_step: Duration::from_millis(1),
        value_len_max: VALUE_LEN_MAX,
        batch_len_max: BATCH_LEN_MAX,
    }
}

#[async_trait]
impl Backend for RedisBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.router.endpoint(key)
    }

    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let _inside = self.enter("get")?;
        let progress = self.progress();
        let work = async {
            let mut command = redis::cmd("GET");
            command.arg(key.as_str());
            let question = self.reading(command, std::slice::from_ref(key));
            let (answer, shard) = self.router.read(key, &question, &progress).await?;
            if answer.value == Value::Nil {
                return Ok(None);
            }
            self.entry(key, answer.value, shard.primary.now().await?)
        };
        self.within(&progress, work).await.map_err(|fault| fault.told("get", false))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let _inside = self.enter("get_many")?;
        let checked = self.info.capabilities.check_batch_len(keys.len());
        checked.map_err(|error| error.at(NAME, "get_many"))?;
        let progress = self.progress();
        let work = self.read_everywhere(keys, &progress);
        self.within(&progress, work).await.map_err(|fault| fault.told("get_many", false))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let _inside = self.enter("write")?;
        let checked = self.info.capabilities.check_write(write);
        checked.map_err(|error| error.at(NAME, "write"))?;
        let progress = self.progress();
        let work = self.write_together(std::slice::from_ref(write), &progress);
        let written = self.within(&progress, work).await;
        let mut written = written.map_err(|fault| fault.told("write", true))?;
        written.pop().unwrap_or_else(|| Err(nonsense().told("write", true)))
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let _inside = self.enter("write_many")?;
        let can = &self.info.capabilities;
        can.check_batch_len(writes.len()).map_err(|error| error.at(NAME, "write_many"))?;
        let mut written = Vec::with_capacity(writes.len());
        let deadline = self.progress().deadline;
        // In order; what is of one place goes together.
        let place =
            |write: &Write| (can.check_write(write).is_ok(), self.router.place(write.key()));
        for writes in writes.chunk_by(|one, next| place(one) == place(next)) {
            if let (false, _) = place(&writes[0]) {
                let refused = writes.iter().map(|write| match can.check_write(write) {
                    Err(error) => Err(error.at(NAME, "write_many")),
                    Ok(()) => Err(nonsense().told("write_many", false)),
                });
                written.extend(refused);
                continue;
            }
            let progress = Progress::until(deadline);
            match self.within(&progress, self.write_together(writes, &progress)).await {
                Ok(answers) => written.extend(answers),
                Err(fault) => {
                    let told = |_write| Err(fault.clone().told("write_many", true));
                    written.extend(writes.iter().map(told));
                }
            }
        }
        Ok(written)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let _inside = self.enter("transact")?;
        let checked = self.info.capabilities.check_transaction(writes);
        checked.map_err(|error| error.at(NAME, "transact"))?;
        if writes.is_empty() {
            return Ok(Transacted::Applied { versions: Vec::new() });
        }
        let progress = self.progress();
        let work = async {
            let (answer, _shard) = self.call(Together::All, writes, &progress).await?;
            let transacted = script::all(answer.value)?;
            if answer.confirmed { Ok(transacted) } else { Err(unconfirmed()) }
        };
        self.within(&progress, work).await.map_err(|fault| fault.told("transact", true))
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let _inside = self.enter("scan")?;
        let page = self.within(&self.progress(), scan::page(&self.router, &request)).await;
        page.map_err(|fault| fault.told("scan", false))
    }

    /// The servers do that themselves.
    async fn sweep(&self) -> Result<usize> {
        self.enter("sweep").map(|_inside| 0)
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        let _inside = self.enter("watch")?;
        let feed = async {
            if !self.contact.found().await?.invalidations {
                return Ok(None);
            }
            feed::start(&self.config, &self.router, namespace, watcher).await.map(Some)
        };
        let feed = self.within(&self.progress(), feed).await;
        let feed = feed.map_err(|fault| fault.told("watch", false))?;
        feed.map(Watch::new).ok_or_else(|| Error::unwatched().at(NAME, "watch"))
    }

    async fn check(&self) -> Result<Health> {
        let _inside = self.enter("check")?;
        let started = Instant::now();
        let progress = self.progress();
        let work = health(&self.router, &self.config, &progress);
        let health =
            self.within(&progress, work).await.map_err(|fault| fault.told("check", false))?;
        self.warned.warn(&health.warnings);
        Ok(Health { latency: started.elapsed(), ..health })
    }

    async fn close(&self) -> Result<()> {
        self.gate.shut().await;
        self.contact.close();
        self.router.close();
        Ok(())
    }
}

/// Of the primaries that answer: one that is out takes no keys but its own with it.
async fn health(router: &Router, config: &RedisConfig, progress: &Progress) -> Outcome<Health> {
    // So that there is time to tell what the others said.
    let deadline = progress.deadline - config.timeout / 10;
    let (primaries, _map) = router.primaries();
    let (reports, mut away) = probe::each(&primaries, deadline, Report::of).await?;
    if reports.is_empty()
        && let Some((_primary, fault)) = away.pop()
    {
        return Err(fault);
    }
    let mut health = Report::health(&reports, config.durability)?;
    health.warnings.extend(away.iter().map(probe::unreached));
    Ok(health)
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("info", &self.info)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
