//! A backend that fails on command: the fault is made up, the store behind it is real.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use steadfast::Store;
use steadfast::backend::{
    Backend, BackendInfo, Entry, Error, ErrorKind, Health, Key, Namespace, Result, ScanPage,
    ScanRequest, Transacted, Watch, Watcher, Write, Written, async_trait,
};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not reach the store.
    Cut,
    /// It never ends.
    Hang,
    /// It is done, and the answer is lost.
    ReplyLost,
    /// It takes half a second.
    Slow,
    /// It takes 1.1 seconds.
    #[allow(dead_code, reason = "only the tests of `http` need it")]
    VerySlow,
}

/// Fails the next calls, counts them all, and lets every call wait once before and once after it
/// reaches the store, so that a test can drop it there.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    info: BackendInfo,
    next: Mutex<Vec<Option<Fault>>>,
    calls: AtomicUsize,
    writes: AtomicUsize,
    is_read_only: AtomicBool,
    is_full: AtomicBool,
    confirms_nothing: AtomicBool,
    /// Whoever has it holds back the replies to writes.
    replies: tokio::sync::Mutex<()>,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        let info = inner.info().clone();
        Self::with_info(inner, info)
    }

    /// It says that other processes use it, too.
    #[allow(dead_code, reason = "only the tests of `http` need it")]
    pub(crate) fn shared(inner: Arc<dyn Backend>) -> Arc<Self> {
        let mut info = inner.info().clone();
        info.capabilities.shared = true;
        Self::with_info(inner, info)
    }

    fn with_info(inner: Arc<dyn Backend>, info: BackendInfo) -> Arc<Self> {
        Arc::new(Self {
            inner,
            info,
            next: Mutex::default(),
            calls: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            is_read_only: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            confirms_nothing: AtomicBool::new(false),
            replies: tokio::sync::Mutex::default(),
        })
    }

    /// It makes no attempt again by itself, so that each fault is met by somebody.
    pub(crate) fn store(self: &Arc<Self>) -> Store {
        Store::builder(self.clone()).attempts(1).build().unwrap()
    }

    /// The next calls meet these faults, the first first.
    pub(crate) fn fail_next(&self, faults: &[Fault]) {
        self.next.lock().unwrap().extend(faults.iter().rev().copied().map(Some));
    }

    /// Whether reads pass and writes do not.
    #[allow(dead_code, reason = "the tests of `http` need it not")]
    pub(crate) fn read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::SeqCst);
    }

    /// Whether no write is confirmed, made or refused.
    #[allow(dead_code, reason = "the tests of `http` need it not")]
    pub(crate) fn confirm_nothing(&self, confirms_nothing: bool) {
        self.confirms_nothing.store(confirms_nothing, Ordering::SeqCst);
    }

    /// Until this is dropped, writes are made and get no reply.
    #[allow(dead_code, reason = "the tests of `http` need it not")]
    pub(crate) async fn hold_replies(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.replies.lock().await
    }

    /// Whether nothing more can be stored: puts fail, and what holds one.
    pub(crate) fn full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    fn check_room(&self, writes: &[Write]) -> Result<()> {
        let puts = writes.iter().any(|write| matches!(write, Write::Put { .. }));
        if puts && self.is_full.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Full, "the test left no room"));
        }
        Ok(())
    }

    /// No more faults.
    pub(crate) fn heal(&self) {
        self.next.lock().unwrap().clear();
    }

    /// So many calls pass, and the next one meets this fault.
    pub(crate) fn fail_after(&self, passing: usize, fault: Fault) {
        let mut next = self.next.lock().unwrap();
        next.push(Some(fault));
        next.extend(std::iter::repeat_n(None, passing));
    }

    /// How many calls were made since the last time this was asked.
    pub(crate) fn trips(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }

    /// How many of them were writes, counted in the same way.
    #[allow(dead_code, reason = "the tests of `http` need it not")]
    pub(crate) fn writes(&self) -> usize {
        self.writes.swap(0, Ordering::SeqCst)
    }

    async fn pass_write<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let write = async {
            if self.is_read_only.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Unavailable, "the test allows no writes"));
            }
            let written = write.await;
            drop(self.replies.lock().await);
            if written.is_ok() && self.confirms_nothing.load(Ordering::SeqCst) {
                let error = Error::new(ErrorKind::Unconfirmed, "the test confirms nothing");
                return Err(error.ambiguous());
            }
            written
        };
        self.pass(write).await
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.next.lock().unwrap().pop().flatten();
        tokio::task::yield_now().await;
        if fault == Some(Fault::Cut) {
            return Err(Error::new(ErrorKind::Unavailable, "the test cut the link"));
        }
        if fault == Some(Fault::Hang) {
            std::future::pending::<()>().await;
        }
        if fault == Some(Fault::Slow) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if fault == Some(Fault::VerySlow) {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        let answer = call.await;
        tokio::task::yield_now().await;
        if fault == Some(Fault::ReplyLost) {
            return Err(Error::new(ErrorKind::Timeout, "the test lost the reply").ambiguous());
        }
        answer
    }
}

#[async_trait]
impl Backend for Faulty {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.inner.endpoint(key)
    }

    fn get_ready(&self, _key: &Key) -> Option<Option<Entry>> {
        None
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.pass(self.inner.get(key)).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.pass(self.inner.get_many(keys)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let write = async {
            self.check_room(std::slice::from_ref(write))?;
            self.inner.write(write).await
        };
        self.pass_write(write).await
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.pass_write(self.inner.write_many(writes)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        let transact = async {
            self.check_room(writes)?;
            self.inner.transact(writes).await
        };
        self.pass_write(transact).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.pass(self.inner.scan(request)).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.pass(self.inner.sweep()).await
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        self.inner.watch(namespace, watcher).await
    }

    async fn check(&self) -> Result<Health> {
        self.pass(self.inner.check()).await
    }

    async fn close(&self) -> Result<()> {
        self.pass(self.inner.close()).await
    }
}
