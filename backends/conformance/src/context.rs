use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{
    Backend, Capabilities, Clock, Entry, Group, Key, ManualClock, Namespace, ScanRequest, Ttl,
    Version, Write, Written,
};

use crate::failure::{Outcome, applied, fail};
use crate::suite::{OpenStored, Settings};
use crate::{Place, Subject};

/// What a case works with: an open backend, a namespace that is its own, and time.
pub(crate) struct Context {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) namespace: Namespace,
    pub(crate) settings: Arc<Settings>,
    pub(crate) place: Place,
}

impl Context {
    pub(crate) async fn open(place: Place, settings: Arc<Settings>) -> Outcome<Self> {
        let Subject { backend } = (settings.open)(place.clone()).await?;
        Ok(Self { backend, namespace: random_namespace()?, settings, place })
    }

    /// Closes the backend and opens it again at the same place, by a clock that shows `now_us`.
    pub(crate) async fn reopen_at(&mut self, now_us: u64) -> Outcome {
        self.backend.close().await?;
        self.place.clock = ManualClock::at_us(now_us);
        self.drop_backend();
        self.open_again().await
    }

    /// Closes the backend; gives what opens its records.
    pub(crate) async fn closed(&mut self) -> Outcome<OpenStored> {
        self.backend.close().await?;
        self.drop_backend();
        match &self.settings.stored {
            Some(open) => Ok(Arc::clone(open)),
            None => fail!("the suite itself failed: nothing can be damaged"),
        }
    }

    /// Opens the backend again at the same place.
    pub(crate) async fn open_again(&mut self) -> Outcome {
        self.backend = (self.settings.open)(self.place.clone()).await?.backend;
        Ok(())
    }

    /// The old handles must be gone before the files are opened again.
    fn drop_backend(&mut self) {
        self.backend = Arc::new(crate::ModelBackend::with_clock(self.place.clock.clone()));
    }

    pub(crate) fn can(&self) -> &Capabilities {
        &self.settings.declared.capabilities
    }

    /// A key in this case's namespace; all of these are of one group.
    pub(crate) fn key(&self, name: &str) -> Outcome<Key> {
        self.key_of("group", name)
    }

    pub(crate) fn key_of(&self, group: &str, name: &str) -> Outcome<Key> {
        Ok(Key::new(&self.namespace, &Group::new(group)?, name)?)
    }

    /// Keys that are numbered from 0.
    pub(crate) fn keys(&self, count: usize) -> Outcome<Vec<Key>> {
        (0..count).map(|number| self.key(&format!("{number:04}"))).collect()
    }

    pub(crate) async fn write(&self, write: Write) -> Outcome<Written> {
        Ok(self.backend.write(&write).await?)
    }

    /// Makes a put that must be applied.
    pub(crate) async fn put(&self, put: Write) -> Outcome<Version> {
        match applied(self.write(put).await?)? {
            Some(version) => Ok(version),
            None => fail!("an applied put has no version"),
        }
    }

    pub(crate) async fn get(&self, key: &Key) -> Outcome<Option<Entry>> {
        Ok(self.backend.get(key).await?)
    }

    /// The value under a key, as text.
    pub(crate) async fn text(&self, key: &Key) -> Outcome<Option<String>> {
        Ok(self.get(key).await?.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }

    /// Lets time pass: at once on a manual clock, by waiting otherwise.
    pub(crate) async fn pass(&self, time: Duration) {
        if self.settings.real_time {
            tokio::time::sleep(time).await;
        } else {
            self.place.clock.advance(time);
        }
    }

    /// The time on the manual clock.
    pub(crate) fn now_us(&self) -> u64 {
        self.place.clock.now_us()
    }

    /// All keys in a namespace, page by page, and the number of pages.
    pub(crate) async fn scan_all(&self, namespace: &Namespace, limit: usize) -> Outcome<Vec<Key>> {
        let limit = limit.try_into().unwrap_or(std::num::NonZeroUsize::MIN);
        let mut request = ScanRequest { namespace: namespace.clone(), after: None, limit };
        let mut keys = Vec::new();
        for _ in 0..10_000 {
            let page = self.backend.scan(request.clone()).await?;
            keys.extend(page.keys);
            match page.next {
                None => return Ok(keys),
                next => request.after = next,
            }
        }
        fail!("a scan did not end after 10,000 pages")
    }
}

pub(crate) fn ttl_ms(millis: u64) -> Outcome<Ttl> {
    Ok(Ttl::new(Duration::from_millis(millis))?)
}

/// A number that no other call has returned.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn random_namespace() -> Outcome<Namespace> {
    Ok(Namespace::new(&format!("conformance:{:016x}", random()))?)
}
