use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use steadfast::backend::{
    Backend, BackendInfo, Clock, Entry, Health, Key, Namespace, Result, ScanPage, ScanRequest,
    SystemClock, Transacted, Watch, Watcher, Write, Written, async_trait,
};

/// The clock of a machine that was set back while the store was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetBack {
    clock: SystemClock,
    by: Duration,
}

impl SetBack {
    pub(crate) fn start(seconds: u64) -> Self {
        Self { clock: SystemClock::start(), by: Duration::from_secs(seconds) }
    }
}

impl Clock for SetBack {
    fn now_us(&self) -> u64 {
        self.clock.now_us() - u64::try_from(self.by.as_micros()).unwrap()
    }
}

type Open = dyn Fn(SetBack) -> Arc<dyn Backend> + Send + Sync;

/// A backend that is closed and opened again while calls are under way.
pub(crate) struct Restarts {
    info: BackendInfo,
    open: Box<Open>,
    now: RwLock<Arc<dyn Backend>>,
}

impl Restarts {
    pub(crate) fn of(
        open: impl Fn(SetBack) -> Arc<dyn Backend> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let first = open(SetBack::start(0));
        let (info, now) = (first.info().clone(), RwLock::new(first));
        Arc::new(Self { info, open: Box::new(open), now })
    }

    /// Closes it, and opens it by a clock that was set back by so much.
    pub(crate) async fn restart(&self, seconds_back: u64) {
        self.now().close().await.unwrap();
        *self.now.write().unwrap() = (self.open)(SetBack::start(seconds_back));
    }

    fn now(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.now.read().unwrap())
    }
}

#[async_trait]
impl Backend for Restarts {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.now().endpoint(key)
    }

    fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
        self.now().get_ready(key)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.now().get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.now().get_many(keys).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.now().write(write).await
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.now().write_many(writes).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.now().transact(writes).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.now().scan(request).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.now().sweep().await
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        self.now().watch(namespace, watcher).await
    }

    async fn check(&self) -> Result<Health> {
        self.now().check().await
    }

    async fn close(&self) -> Result<()> {
        self.now().close().await
    }
}

impl fmt::Debug for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restarts").field("info", &self.info).finish_non_exhaustive()
    }
}
