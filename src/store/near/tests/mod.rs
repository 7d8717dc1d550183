mod coherence;
mod flights;
mod keeping;
mod model;
mod renewed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadfast_memory::{MemoryBackend, MemoryConfig};
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::super::guard::GuardConfig;
use super::*;
use crate::backend::{Backend, Group, Namespace, Watcher, Write, Written};

const SECOND: Duration = Duration::from_secs(1);
const WITHIN: Demand = Demand::Within(Duration::from_secs(2));

/// A near cache over a store in memory, which tells nothing: the tests do.
struct World {
    near: Arc<Near>,
    store: Arc<scripted::Scripted>,
}

impl World {
    fn new(config: NearConfig) -> Self {
        let store = Arc::new(scripted::Scripted::new(MemoryBackend::new(MemoryConfig::default())));
        let backend: Arc<dyn Backend> = store.clone();
        let guard =
            Guard::new(Arc::clone(&backend), GuardConfig { attempts: 1, ..Default::default() });
        let watched = Watched { backend, namespace: Namespace::new("test").unwrap() };
        Self { near: Near::start(config, Arc::new(guard.unwrap()), watched).unwrap(), store }
    }

    fn feed(&self) -> Arc<dyn Watcher> {
        feed::Feed::of(&self.near)
    }

    /// Writes as somebody else does.
    async fn put(&self, key: &Key, value: &str) {
        let put = Write::put(key.clone(), value.to_owned());
        assert!(self.store.inner.write(&put).await.unwrap().is_applied());
    }

    /// Writes as the store does.
    async fn own(&self, write: Write) -> Result<()> {
        let writes = [write];
        let own = self.near.writing(&writes);
        match self.near.guard.write(&writes[0]).await? {
            Written::Applied { version } => self.near.wrote(own, &writes, &[version], |_key| true),
            Written::Refused { .. } => self.near.refused(own, &writes),
        }
        Ok(())
    }

    /// Reads past the cache, as the store does.
    async fn past(&self, key: &Key) -> Option<String> {
        let keys = std::slice::from_ref(key);
        let entries = self.store.inner.get_many(keys).await.unwrap();
        self.near.saw(keys, &entries);
        entries[0].as_ref().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    }

    async fn read(&self, key: &Key, demand: Demand) -> Hit {
        self.near.read(std::slice::from_ref(key), demand, None).await.unwrap()
    }

    /// A read that goes on by itself.
    fn begin_read(&self, key: &Key) -> JoinHandle<Result<Hit>> {
        let (near, key) = (Arc::clone(&self.near), key.clone());
        tokio::spawn(async move { near.read(&[key], WITHIN, None).await })
    }

    async fn until_asked(&self, times: usize) {
        while self.store.reads() < times {
            tokio::task::yield_now().await;
        }
    }

    /// What a read gives, and whether the store was asked for it.
    async fn seen(&self, key: &Key, demand: Demand) -> (Option<String>, bool) {
        let before = self.store.reads();
        let hit = self.read(key, demand).await;
        (value(&hit), self.store.reads() > before)
    }

    async fn stale(&self, key: &Key, max_age: Duration) -> Result<Hit> {
        self.near.read(std::slice::from_ref(key), WITHIN, Some(max_age)).await
    }
}

fn key(group: &str, name: &str) -> Key {
    Key::new(&Namespace::new("test").unwrap(), &Group::new(group).unwrap(), name).unwrap()
}

/// Lets everything in the background come to rest.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What a read that went on by itself gives.
async fn joined(read: JoinHandle<Result<Hit>>) -> Option<String> {
    value(&read.await.unwrap().unwrap())
}

fn value(hit: &Hit) -> Option<String> {
    hit.entry(0).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what a read gives")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

mod scripted {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::backend::{
        BackendInfo, Entry, Health, ScanPage, ScanRequest, Transacted, Watch, async_trait,
    };

    /// A store that can be out, and whose answers can be held back.
    #[derive(Debug)]
    pub(super) struct Scripted {
        pub(super) inner: MemoryBackend,
        reads: AtomicUsize,
        fails: Mutex<Option<ErrorKind>>,
        /// Whether there are answers that nobody needs to wait for.
        pub(super) ready: AtomicBool,
        /// An answer takes one when it has been made and before it is given.
        pub(super) answers: Semaphore,
    }

    impl Scripted {
        pub(super) fn new(inner: MemoryBackend) -> Self {
            let answers = Semaphore::new(Semaphore::MAX_PERMITS);
            Self {
                inner,
                reads: AtomicUsize::new(0),
                fails: Mutex::default(),
                ready: AtomicBool::new(false),
                answers,
            }
        }

        pub(super) fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }

        pub(super) fn out(&self, out: bool) {
            self.fail(out.then_some(ErrorKind::Unavailable));
        }

        pub(super) fn fail(&self, with: Option<ErrorKind>) {
            *self.fails.lock().unwrap() = with;
        }

        /// From now on answers are held back until they are let go.
        pub(super) fn hold(&self) {
            self.answers.forget_permits(Semaphore::MAX_PERMITS);
        }

        fn meet(&self) -> Result<()> {
            let fails = *self.fails.lock().unwrap();
            fails.map_or(Ok(()), |kind| Err(Error::new(kind, "the test cut the link")))
        }
    }

    #[async_trait]
    impl Backend for Scripted {
        fn info(&self) -> &BackendInfo {
            self.inner.info()
        }

        fn endpoint(&self, key: &Key) -> usize {
            self.inner.endpoint(key)
        }

        fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
            let ready = self.ready.load(Ordering::SeqCst);
            ready.then(|| self.inner.get_ready(key)).flatten()
        }

        async fn get(&self, key: &Key) -> Result<Option<Entry>> {
            self.get_many(std::slice::from_ref(key)).await.map(|mut entries| entries.remove(0))
        }

        async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.meet()?;
            let entries = self.inner.get_many(keys).await?;
            self.answers.acquire().await.unwrap().forget();
            Ok(entries)
        }

        async fn write(&self, write: &Write) -> Result<Written> {
            self.meet()?;
            self.inner.write(write).await
        }

        async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
            self.inner.write_many(writes).await
        }

        async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
            self.inner.transact(writes).await
        }

        async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
            self.inner.scan(request).await
        }

        async fn sweep(&self) -> Result<usize> {
            self.inner.sweep().await
        }

        async fn watch(&self, _namespace: &Namespace, _watcher: Arc<dyn Watcher>) -> Result<Watch> {
            Err(Error::unwatched())
        }

        async fn check(&self) -> Result<Health> {
            self.inner.check().await
        }

        async fn close(&self) -> Result<()> {
            self.inner.close().await
        }
    }
}
