//! A store that all histories of a test share, each in a namespace of its own.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::{Backend, Clock, Group, Key, ManualClock, Namespace, ScanRequest, Write};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::redb::{Options, RedbBackend};
use steadfast::sled::SledBackend;
use tempfile::TempDir;

use crate::alone::Alone;
use crate::turns::block_on;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Memory, where each key changes alone.
    Alone,
    Memory,
    Redb,
    Sled,
}

pub(crate) struct Place {
    engine: Engine,
    dir: TempDir,
    open: RefCell<Open>,
    histories: Cell<u32>,
}

#[derive(Clone)]
struct Open {
    backend: Arc<dyn Backend>,
    clock: ManualClock,
    /// How far the store's time is ahead of the clock, which was set back.
    lead_us: u64,
}

impl Place {
    pub(crate) fn of(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = RefCell::new(open(engine, &dir, ManualClock::at_us(1_700_000_000_000_000)));
        Self { engine, dir, open, histories: Cell::new(0) }
    }

    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        self.open.borrow().backend.clone()
    }

    /// Whether records can change together.
    pub(crate) fn transacts(&self) -> bool {
        self.engine != Engine::Alone
    }

    /// A name that no other history has.
    pub(crate) fn namespace(&self) -> String {
        self.histories.set(self.histories.get() + 1);
        format!("h{}", self.histories.get())
    }

    /// The store's time.
    pub(crate) fn now_us(&self) -> u64 {
        let open = self.open.borrow();
        open.clock.now_us() + open.lead_us
    }

    pub(crate) fn advance_us(&self, by_us: u64) {
        self.open.borrow().clock.advance(Duration::from_micros(by_us));
    }

    /// Opens the store anew, on a machine whose clock was set forward or back meanwhile. False
    /// for a store that would be empty then.
    pub(crate) fn restart(&self, by_us: i64) -> bool {
        if matches!(self.engine, Engine::Alone | Engine::Memory) {
            return false;
        }
        let clock = self.open.borrow().clock.clone();
        block_on(self.backend().close()).unwrap();
        let clock = ManualClock::at_us(clock.now_us().checked_add_signed(by_us).unwrap());
        // The file is free when nobody has the backend any more.
        self.open.borrow_mut().backend = Arc::new(MemoryBackend::new(MemoryConfig::default()));
        *self.open.borrow_mut() = open(self.engine, &self.dir, clock);
        true
    }

    /// The live keys of a history.
    pub(crate) fn keys(&self, namespace: &str) -> Vec<Key> {
        let namespace = Namespace::new(namespace).unwrap();
        let limit = NonZeroUsize::new(1_000).unwrap();
        let request = ScanRequest { namespace, after: None, limit };
        let page = block_on(self.backend().scan(request)).unwrap();
        assert!(page.next.is_none(), "a history has few keys");
        page.keys
    }
}

fn open(engine: Engine, dir: &TempDir, clock: ManualClock) -> Open {
    let path = dir.path().join("db");
    let options = Options { clock: clock.clone(), sweep_every: None };
    let memory = || Arc::new(MemoryBackend::with_clock(MemoryConfig::default(), clock.clone()));
    let backend: Arc<dyn Backend> = match engine {
        Engine::Alone => Alone::over(memory(), false),
        Engine::Memory => memory(),
        Engine::Redb => Arc::new(RedbBackend::open_with(path.as_path(), options).unwrap()),
        Engine::Sled => Arc::new(SledBackend::open_with(path.as_path(), options).unwrap()),
    };
    let lead_us = store_now_us(&*backend).saturating_sub(clock.now_us());
    Open { backend, clock, lead_us }
}

/// What a write says.
fn store_now_us(backend: &dyn Backend) -> u64 {
    let namespace = Namespace::new("time").unwrap();
    let key = Key::new(&namespace, &Group::new("g").unwrap(), "now").unwrap();
    assert!(block_on(backend.write(&Write::put(key.clone(), "now"))).unwrap().is_applied());
    let entry = block_on(backend.get(&key)).unwrap().unwrap();
    entry.now_us()
}
