//! A backend that declares other capabilities than the real one behind it.

use std::sync::Arc;

use steadfast::backend::{
    Backend, BackendInfo, Capabilities, Entry, Health, Key, Namespace, Result, ScanPage,
    ScanRequest, Transacted, Watch, Watcher, Write, Written, async_trait,
};

#[derive(Debug)]
pub(crate) struct Declared {
    inner: Arc<dyn Backend>,
    info: BackendInfo,
}

impl Declared {
    pub(crate) fn by(inner: Arc<dyn Backend>, less: impl FnOnce(&mut Capabilities)) -> Arc<Self> {
        let mut info = BackendInfo { name: "declared", ..inner.info().clone() };
        less(&mut info.capabilities);
        Arc::new(Self { inner, info })
    }
}

#[async_trait]
impl Backend for Declared {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn endpoint(&self, key: &Key) -> usize {
        self.inner.endpoint(key)
    }

    fn get_ready(&self, key: &Key) -> Option<Option<Entry>> {
        self.inner.get_ready(key)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.inner.get_many(keys).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.inner.write(write).await
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        self.inner.write_many(writes).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.info.capabilities.check_transaction(writes)?;
        self.inner.transact(writes).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.inner.scan(request).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.inner.sweep().await
    }

    async fn watch(&self, namespace: &Namespace, watcher: Arc<dyn Watcher>) -> Result<Watch> {
        self.inner.watch(namespace, watcher).await
    }

    async fn check(&self) -> Result<Health> {
        self.inner.check().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
