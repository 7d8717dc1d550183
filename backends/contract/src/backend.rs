use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    BackendInfo, Entry, Key, Namespace, Result, ScanPage, ScanRequest, Transacted, Watch, Watcher,
    Write, Written,
};

/// A storage engine: bytes, versions, TTL, conditions, and nothing else.
///
/// There are no default methods, so that a wrapper that forgets one does not compile.
///
/// What every method owes its caller:
///
/// * **An outage is never a miss.** `Ok(None)` means that the store answered "absent".
/// * **No entry is served after its deadline**, and none goes early because of rounding; see
///   [`Capabilities::ttl_step`](crate::Capabilities::ttl_step).
/// * **Cancellation**: dropping a future at any await leaves the backend usable, and a dropped
///   write is applied whole or not at all.
/// * **After [`close`](Backend::close)** every call answers
///   [`ErrorKind::Closed`](crate::ErrorKind::Closed).
///
/// The suite in `steadfast-conformance` checks all of it.
///
/// ```
/// use steadfast_backend::{Backend, Condition, Key, Result, Write, Written};
///
/// /// Claims a key for whoever comes first.
/// async fn claim(backend: &dyn Backend, key: Key) -> Result<bool> {
///     let claim = Write::put(key, "mine").only_if(Condition::Absent);
///     Ok(matches!(backend.write(&claim).await?, Written::Applied { .. }))
/// }
/// ```
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Name and capabilities. No I/O.
    fn info(&self) -> &BackendInfo;

    /// Which of the store's servers has this key, as a small number: 0 where there is one. Servers
    /// fail apart, so whoever counts their failures counts them apart. No I/O.
    fn endpoint(&self, key: &Key) -> usize;

    /// The answer of [`get`](Backend::get) where it is known without waiting: `Some(None)` is a
    /// miss, `None` means "ask `get`". Keeps local hits off the allocator.
    fn get_ready(&self, key: &Key) -> Option<Option<Entry>>;

    /// The live entry under a key.
    ///
    /// # Errors
    ///
    /// Only if the store did not answer, or answered with what is not an entry.
    async fn get(&self, key: &Key) -> Result<Option<Entry>>;

    /// The live entries under several keys, in the order of the keys; one trip where the store
    /// can. Where [`Capabilities::transactions`](crate::Capabilities::transactions) covers the
    /// keys, the answer shows no transaction half done.
    ///
    /// # Errors
    ///
    /// As [`get`](Backend::get), and [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) for more
    /// keys than the batch limit.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>>;

    /// Makes one change if its condition holds.
    ///
    /// # Errors
    ///
    /// Before any I/O for a value over the limit; otherwise if the store did not confirm, in
    /// which case [`Error::is_ambiguous`](crate::Error::is_ambiguous) tells whether the change
    /// may have been made.
    async fn write(&self, write: &Write) -> Result<Written>;

    /// Makes several changes in order, each atomic alone: one may fail or be refused and the next
    /// still be made.
    ///
    /// # Errors
    ///
    /// The outer error only before any change was tried; after that each change has its own
    /// answer.
    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>>;

    /// A minitransaction (Aguilera et al., *Sinfonia*, SOSP 2007): all conditions are compared
    /// with the state before, then all changes are made, or none.
    ///
    /// # Errors
    ///
    /// As [`write`](Backend::write), and before any I/O as
    /// [`Capabilities::check_transaction`](crate::Capabilities::check_transaction).
    async fn transact(&self, writes: &[Write]) -> Result<Transacted>;

    /// One page of live keys. A key that is there during the whole scan is returned at least
    /// once; one that comes or goes meanwhile may be. What cannot be read is listed, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the backend cannot scan,
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a cursor it did not make.
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage>;

    /// Removes entries whose time is over, and tells how many; none where the store does that by
    /// itself. No read shows them either way: this gives their room back.
    ///
    /// # Errors
    ///
    /// As [`write`](Backend::write).
    async fn sweep(&self) -> Result<usize>;

    /// Tells the watcher what changes in a namespace and below it, whoever changes it, from when
    /// this returns until the [`Watch`] is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without
    /// [`Capabilities::invalidations`](crate::Capabilities::invalidations), otherwise if the store
    /// did not confirm.
    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch>;

    /// A real round trip to the store; never answered from memory in front of it. On a durable
    /// engine it proves that writes still reach the disk. A store that answers and has no room left
    /// says so in its [warnings](Health::warnings), and so does one of several servers of which one
    /// does not answer: only its keys cannot be reached.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering, or all of its servers.
    async fn check(&self) -> Result<Health>;

    /// Finishes what was accepted, then refuses new calls. Calling it again is fine.
    ///
    /// # Errors
    ///
    /// If accepted writes could not be finished.
    async fn close(&self) -> Result<()>;
}

/// What [`Backend::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How long the round trip took.
    pub latency: Duration,
    /// How many entries the store holds, where it can tell at once; some of them may be over.
    pub entries: Option<u64>,
    /// How many bytes the store holds, where it can tell: in memory, or in its file.
    pub used_bytes: Option<u64>,
    /// How many bytes it may hold, where there is a bound.
    pub limit_bytes: Option<u64>,
    /// How many live entries it has dropped to make room, where it does that.
    pub evicted: Option<u64>,
    /// How many entries it has dropped because their time was over, where it counts them.
    pub expired: Option<u64>,
    /// How the store is replicated, where it can be.
    pub replication: Option<Replication>,
    /// What an operator should change, in words: why no write is possible, or a setting that can
    /// lose what must be kept.
    pub warnings: Vec<String>,
}

/// How a store is replicated, as [`Backend::check`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// How many replicas are connected to the servers that take the writes.
    pub replicas: u32,
    /// How many bytes the last of them is behind; `None` without a replica.
    pub lag_bytes: Option<u64>,
}
