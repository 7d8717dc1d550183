//! A store that changes each key alone, as Memcached does: no transactions, versions that are no
//! clock, and, if asked for, a time in whole seconds. The store behind it is real.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::{
    Backend, BackendInfo, Capabilities, Condition, Entry, Health, Key, Namespace, Result, ScanPage,
    ScanRequest, Transacted, Transactions, Ttl, Version, Watch, Watcher, Write, Written,
    async_trait,
};
use tokio::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Alone {
    inner: Arc<dyn Backend>,
    info: BackendInfo,
    /// Whether times have whole seconds.
    coarse: bool,
    numbers: Mutex<Numbers>,
}

/// What stands for the versions of the store behind.
#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    shown: HashMap<Version, Version>,
    meant: HashMap<Version, Version>,
}

const COARSE_STEP: Duration = Duration::from_secs(2);

impl Alone {
    pub(crate) fn over(inner: Arc<dyn Backend>, coarse: bool) -> Arc<Self> {
        let fine = inner.info().capabilities.clone();
        let ttl_step = if coarse { COARSE_STEP } else { fine.ttl_step };
        let capabilities = Capabilities {
            transactions: Transactions::None,
            scan: false,
            evicts: true,
            ttl_step,
            ..fine
        };
        let info = BackendInfo { name: "alone", capabilities };
        Arc::new(Self { inner, info, coarse, numbers: Mutex::default() })
    }

    async fn show(&self, entry: Option<Entry>) -> Option<Entry> {
        let mut entry = entry?;
        entry.version = self.numbers.lock().await.shown[&entry.version];
        if self.coarse {
            entry.written_us -= entry.written_us % 1_000_000;
            entry.age = whole_seconds_of(entry.age);
            entry.left = entry.left.map(whole_seconds_of);
        }
        Some(entry)
    }

    /// A deadline in whole seconds is moved up, never down.
    fn rounded(&self, mut write: Write) -> Write {
        if let (true, Write::Put { ttl: Some(ttl), .. } | Write::Touch { ttl: Some(ttl), .. }) =
            (self.coarse, &mut write)
        {
            let seconds = ttl.as_millis().div_ceil(1_000) + 1;
            *ttl = Ttl::new(Duration::from_secs(seconds)).unwrap_or(Ttl::MAX);
        }
        write
    }
}

/// One less than there are, for the second that has begun.
fn whole_seconds_of(span: Duration) -> Duration {
    let part = Duration::from_nanos(span.subsec_nanos().into());
    span.saturating_sub(part + Duration::from_secs(1))
}

impl Numbers {
    fn meaning(&self, write: Write) -> Write {
        match write.condition() {
            Condition::VersionIs(version) => {
                let meant = self.meant.get(&version).copied().unwrap_or(Version::MIN);
                write.only_if(Condition::VersionIs(meant))
            }
            _ => write,
        }
    }

    fn number(&mut self, meant: Version) -> Version {
        if let Some(shown) = self.shown.get(&meant) {
            return *shown;
        }
        self.last += 1;
        let shown = Version::new(self.last).unwrap();
        self.shown.insert(meant, shown);
        self.meant.insert(shown, meant);
        shown
    }
}

#[async_trait]
impl Backend for Alone {
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
        Ok(self.show(self.inner.get(key).await?).await)
    }

    /// Each at a moment of its own.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.info.capabilities.check_batch_len(keys.len())?;
        let mut entries = Vec::new();
        for key in keys {
            entries.push(self.get(key).await?);
            tokio::task::yield_now().await;
        }
        Ok(entries)
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let mut numbers = self.numbers.lock().await;
        let written = self.inner.write(&numbers.meaning(self.rounded(write.clone()))).await?;
        match written {
            Written::Applied { version } => {
                Ok(Written::Applied { version: version.map(|version| numbers.number(version)) })
            }
            Written::Refused { current } => {
                drop(numbers);
                Ok(Written::Refused { current: self.show(current).await })
            }
        }
    }

    async fn write_many(&self, writes: &[Write]) -> Result<Vec<Result<Written>>> {
        let mut answers = Vec::new();
        for write in writes {
            answers.push(self.write(write).await);
        }
        Ok(answers)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        self.info.capabilities.check_transaction(writes)?;
        unreachable!("it has no transactions")
    }

    /// For the eyes of a test only.
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
