//! The way to the store: it fails as the history says, and every call on it is a turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use steadfast::backend::{
    Backend, BackendInfo, Entry, Error, ErrorKind, Health, Key, Namespace, Result, ScanPage,
    ScanRequest, Transacted, Watch, Watcher, Write, Written, async_trait,
};

use crate::turns::{block_on, pause};

/// What becomes of a trip to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// It does not reach the store.
    Cut,
    /// It is done, and the answer is lost.
    ReplyLost,
}

/// Whether a call met a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Struck(pub(crate) bool);

#[derive(Debug)]
pub(crate) struct Link {
    store: Arc<dyn Backend>,
    trips: Mutex<Trips>,
}

#[derive(Debug, Default)]
struct Trips {
    /// Whose turn it is.
    caller: usize,
    /// What becomes of the next trips of each caller; then all is fine.
    fates: Vec<VecDeque<Fate>>,
    struck: Vec<Struck>,
}

impl Link {
    pub(crate) fn to(store: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { store, trips: Mutex::default() })
    }

    /// Sets the fates of the callers' next trips.
    pub(crate) fn expect(&self, fates: Vec<Vec<Fate>>) {
        let mut trips = self.trips.lock().unwrap();
        trips.struck = vec![Struck::default(); fates.len()];
        trips.fates = fates.into_iter().map(VecDeque::from).collect();
    }

    /// From now on the trips are this caller's.
    pub(crate) fn enter(&self, caller: usize) {
        self.trips.lock().unwrap().caller = caller;
    }

    /// Which callers met a fault.
    pub(crate) fn struck(&self) -> Vec<Struck> {
        self.trips.lock().unwrap().struck.clone()
    }

    fn next_fate(&self) -> Fate {
        let mut trips = self.trips.lock().unwrap();
        let caller = trips.caller;
        let fate = trips.fates.get_mut(caller).and_then(VecDeque::pop_front);
        let fate = fate.unwrap_or(Fate::Fine);
        if fate != Fate::Fine {
            trips.struck[caller] = Struck(true);
        }
        fate
    }

    /// What the store did is done before the next turn; the caller learns of it in its own.
    async fn trip<T>(&self, writes: bool, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fate = self.next_fate();
        if fate == Fate::Cut {
            pause().await;
            return Err(Error::new(ErrorKind::Unavailable, "the history cut the link"));
        }
        let answer = block_on(call);
        pause().await;
        if fate == Fate::ReplyLost {
            let error = Error::new(ErrorKind::Timeout, "the history lost the reply");
            return Err(if writes { error.ambiguous() } else { error });
        }
        answer
    }
}

#[async_trait]
impl Backend for Link {
    fn info(&self) -> &BackendInfo {
        self.store.info()
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.store.endpoint(key)
    }

    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.trip(false, self.store.get(key)).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.trip(false, self.store.get_many(keys)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.trip(true, self.store.write(write)).await
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.trip(true, self.store.write_many(writes)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.trip(true, self.store.transact(writes)).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.trip(false, self.store.scan(request)).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.trip(false, self.store.sweep()).await
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        self.store.watch(namespace, watcher).await
    }

    async fn check(&self) -> Result<Health> {
        self.trip(false, self.store.check()).await
    }

    async fn close(&self) -> Result<()> {
        self.trip(true, self.store.close()).await
    }
}
