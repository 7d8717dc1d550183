//! An engine in memory that stops, fails and counts on command.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use steadfast_backend::{
    Backend, BackendInfo, Bytes, Capabilities, Condition, Durability, ErrorKind, Group, Key,
    ManualClock, Namespace, Transactions, Ttl, Write,
};
use steadfast_embedded::{Embedded, Engine, Fault, Op, Options, Span, Table};

/// Where a [`MapEngine`] keeps its data; outlives the engine, as a file does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tables: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub(crate) commits: usize,
    /// Commits wait while this is true.
    pub(crate) stopped: bool,
    /// A commit is waiting.
    pub(crate) waiting: bool,
    /// How long a read takes, on this clock.
    pub(crate) read_takes: Option<(ManualClock, Duration)>,
    /// Nothing can be read.
    pub(crate) gone: bool,
    /// How the next commits end.
    pub(crate) fate: Fate,
    /// The engines that have it open.
    pub(crate) open: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Made,
    /// Refused before anything was written.
    Refused,
    /// Refused if it stores an entry, as it stands when the commit begins.
    Full,
    /// The handle is lost, and the changes were not made.
    LostBefore,
    /// The handle is lost, and the changes were made.
    LostAfter,
    /// The handle is lost, and nothing can be read any more.
    Gone,
}

impl Map {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// The same data as it is now, as a killed process leaves it.
    pub(crate) fn killed(&self) -> Self {
        let killed = Self::default();
        killed.state().tables = self.state().tables.clone();
        killed
    }

    /// Blocks until a commit waits.
    pub(crate) fn wait(&self) {
        let waiting = self.0.1.wait_while(self.state(), |state| !state.waiting);
        drop(waiting.unwrap());
    }

    pub(crate) fn go(&self) {
        self.state().stopped = false;
        self.0.1.notify_all();
    }
}

impl State {
    fn wait(&self) {
        if let Some((clock, takes)) = &self.read_takes {
            clock.advance(*takes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct MapEngine(Map);

impl Engine for MapEngine {
    type Config = Map;

    const INFO: BackendInfo = BackendInfo {
        name: "map",
        capabilities: Capabilities {
            transactions: Transactions::Any,
            scan: true,
            shared: false,
            evicts: false,
            invalidations: false,
            durability: Durability::Process,
            ttl_step: Duration::from_millis(1),
            value_len_max: 16 << 20,
            batch_len_max: 1024,
        },
    };

    fn open(map: Map) -> Result<Self, Fault> {
        map.state().open += 1;
        Ok(Self(map))
    }

    fn read(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Fault> {
        let state = self.0.state();
        if state.gone {
            return Err(Fault::new(ErrorKind::Unavailable, "gone"));
        }
        state.wait();
        let get = |key: &&[u8]| state.tables.get(&(table, key.to_vec())).cloned().map(Bytes::from);
        Ok(keys.iter().map(get).collect())
    }

    fn span(&self, table: Table, span: Span<'_>) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        let state = self.0.state();
        state.wait();
        let after = Bound::Excluded((table, span.after.to_vec()));
        let end = Bound::Excluded((table, span.end.to_vec()));
        let found = state.tables.range((after, end)).take(span.limit);
        let head = |value: &[u8]| Bytes::copy_from_slice(&value[..value.len().min(span.head_len)]);
        Ok(found.map(|((_, key), value)| (key.clone().into(), head(value))).collect())
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), Fault> {
        let mut state = self.0.state();
        let stores = |op: &Op| op.table == Table::Data && op.value.is_some();
        let refused = state.fate == Fate::Full && ops.iter().any(stores);
        state.waiting = true;
        self.0.0.1.notify_all();
        let mut state = self.0.0.1.wait_while(state, |state| state.stopped).unwrap();
        state.waiting = false;
        let fate = match state.fate {
            Fate::Full if refused => Fate::Refused,
            Fate::Full => Fate::Made,
            fate => fate,
        };
        state.gone = fate == Fate::Gone;
        if matches!(fate, Fate::Made | Fate::LostAfter) {
            state.commits += 1;
            for Op { table, key, value } in ops {
                match value {
                    Some(value) => drop(state.tables.insert((table, key), value)),
                    None => drop(state.tables.remove(&(table, key))),
                }
            }
        }
        match fate {
            Fate::Made => Ok(()),
            Fate::Refused => Err(Fault::new(ErrorKind::Full, "full")),
            _ => Err(Fault::new(ErrorKind::Unavailable, "lost").lost()),
        }
    }

    fn len(&self, _table: Table) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn size_bytes(&self) -> Result<u64, Fault> {
        Ok(0)
    }

    fn close(&self) -> Result<(), Fault> {
        self.0.state().open -= 1;
        Ok(())
    }
}

pub(crate) const START_US: u64 = 1_000_000_000;

/// A store that sweeps only when asked, and its clock.
pub(crate) fn open(map: &Map) -> (Arc<Embedded<MapEngine>>, ManualClock) {
    let clock = ManualClock::at_us(START_US);
    (open_at(map, clock.clone()), clock)
}

pub(crate) fn open_at(map: &Map, clock: ManualClock) -> Arc<Embedded<MapEngine>> {
    let options = Options { clock, sweep_every: None };
    Arc::new(Embedded::open_with(map.clone(), options).unwrap())
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(&Namespace::new("test").unwrap(), &Group::new("g").unwrap(), name).unwrap()
}

pub(crate) fn claim(name: &str) -> Write {
    Write::put(key(name), "mine").only_if(Condition::Absent)
}

pub(crate) fn brief(name: &str, millis: u64) -> Write {
    Write::put(key(name), "brief").expiring(Ttl::new(Duration::from_millis(millis)).unwrap())
}

pub(crate) async fn value(backend: &dyn Backend, name: &str) -> Option<Bytes> {
    backend.get(&key(name)).await.unwrap().map(|entry| entry.value)
}

/// Stops the commits and keeps the writer thread busy with one, so that all others wait together.
pub(crate) async fn stop(
    map: &Map,
    backend: &Arc<Embedded<MapEngine>>,
) -> tokio::task::JoinHandle<()> {
    map.state().stopped = true;
    let backend = Arc::clone(backend);
    let first = tokio::spawn(async move {
        assert!(backend.write(&Write::put(key("first"), "1")).await.unwrap().is_applied());
    });
    settle().await;
    let map = map.clone();
    tokio::task::spawn_blocking(move || map.wait()).await.unwrap();
    first
}

/// Lets everything that can run do so, up to where it waits for the writer thread.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
