//! News from the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::backend::{Backend, ErrorKind, Key, Namespace, Watcher};

use super::fence::Fence;
use super::{Echoes, Near, Refresh, stripe};
use crate::nanos::nanos;

/// How long to wait after the store could not be listened to.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// What is listened to.
#[derive(Debug)]
pub(in crate::store) struct Watched {
    pub(in crate::store) backend: Arc<dyn Backend>,
    pub(in crate::store) namespace: Namespace,
}

#[derive(Debug)]
pub(super) struct Feed {
    fence: Arc<Fence>,
    born: Instant,
    echoes: Arc<Echoes>,
    /// Whether what somebody else changed is asked for again, too.
    refresh_changed: bool,
    refreshes: mpsc::WeakSender<Refresh>,
}

impl Watcher for Feed {
    fn changed(&self, key: &Key) {
        self.fence.hard(stripe(&self.fence, key));
        if (self.refresh_changed || self.echoes.is_expected(key))
            && let Some(refreshes) = self.refreshes.upgrade()
        {
            let _ = refreshes.try_send(Refresh::Overtaken(key.clone()));
        }
    }

    fn everything(&self) {
        self.fence.everything();
    }

    fn told_until(&self, moment: std::time::Instant) {
        let until = Instant::from_std(moment).saturating_duration_since(self.born);
        self.fence.prove(nanos(until));
    }
}

impl Feed {
    pub(super) fn of(near: &Near) -> Arc<Self> {
        Arc::new(Self {
            fence: Arc::clone(&near.fence),
            born: near.born,
            echoes: Arc::clone(&near.echoes),
            refresh_changed: near.config.refresh_changed,
            refreshes: near.refreshes.downgrade(),
        })
    }
}

/// Listens for as long as the near cache is there, if the store tells anything.
pub(super) fn listen(near: &Arc<Near>, watched: Watched) {
    if !watched.backend.info().capabilities.invalidations {
        return;
    }
    tokio::spawn(keep_listening(Arc::downgrade(near), watched, Feed::of(near)));
}

async fn keep_listening(
    near: Weak<Near>,
    Watched { backend, namespace }: Watched,
    feed: Arc<Feed>,
) {
    let mut watch = None;
    while near.strong_count() > 0 {
        if watch.is_none() {
            let watcher = Arc::clone(&feed);
            watch = match backend.watch(&namespace, watcher).await {
                Ok(watch) => Some(watch),
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(_) => None,
            };
        }
        sleep(RETRY_PERIOD).await;
    }
}
