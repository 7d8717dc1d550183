use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::store::Store;

const PERIOD: Duration = Duration::from_millis(500);

/// A thread that removes dead records, until this handle is dropped or the store is closed.
#[derive(Debug)]
pub(crate) struct Sweeper {
    _stop: Sender<()>,
}

impl Sweeper {
    pub(crate) fn start(store: &Arc<Store>) -> Self {
        let (stop, stopped) = mpsc::channel();
        // Weak, so that the thread keeps no data alive.
        let store = Arc::downgrade(store);
        let run = move || {
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) && sweep(&store) {}
        };
        // Where no thread can be had, writers still take the dead along.
        drop(thread::Builder::new().name("steadfast-memory".into()).spawn(run));
        Self { _stop: stop }
    }
}

/// False once there is nothing left to sweep, ever.
fn sweep(store: &Weak<Store>) -> bool {
    let Some(store) = store.upgrade() else { return false };
    store.sweep().is_ok()
}
