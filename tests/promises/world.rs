//! A store on each backend, with a clock in the test's hand.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast::backend::{Backend, Bytes, Key, ManualClock, Namespace, ScanRequest};
use steadfast::idempotency::{
    Begin, Claim, Fingerprint, IdempotencyBuilder, IdempotencyKey, Scope,
};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::redb::{Options, RedbBackend};
use steadfast::session::SessionId;
use steadfast::sled::SledBackend;
use steadfast::{Idempotency, Principal, Sessions, State, Store};
use tempfile::TempDir;

use crate::alone::Alone;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const IDLE: Duration = Duration::from_secs(600);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(3_600);
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Runs each test of a file on each backend, and where each key changes alone; those after the
/// semicolon need transactions.
macro_rules! on_every_backend {
    ($($test:ident),+ ; $($together:ident),+ $(,)?) => {
        $crate::world::where_keys_change_together!($($test),+, $($together),+);
        $crate::world::where_keys_change_alone!($($test),+);
    };
    ($($test:ident),+ $(,)?) => {
        $crate::world::where_keys_change_together!($($test),+);
        $crate::world::where_keys_change_alone!($($test),+);
    };
}
pub(crate) use on_every_backend;

macro_rules! where_keys_change_alone {
    ($($test:ident),+ $(,)?) => {
        mod alone {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::alone()).await;
            })+
        }
    };
}
pub(crate) use where_keys_change_alone;

macro_rules! where_keys_change_together {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::memory()).await;
            })+
        }
        mod redb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::redb()).await;
            })+
        }
        mod sled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::sled()).await;
            })+
        }
    };
}
pub(crate) use where_keys_change_together;

/// Runs tests on real servers, too: those that move no clock, since a server has its own. Those
/// after the semicolon need transactions, or a list of all keys.
macro_rules! on_servers {
    ($($test:ident),+ ; $($more:ident),+ $(,)?) => {
        $crate::world::on_memcached!($($test),+);
        $crate::world::on_redis!($($test),+, $($more),+);
    };
    ($($test:ident),+ $(,)?) => {
        $crate::world::on_memcached!($($test),+);
        $crate::world::on_redis!($($test),+);
    };
}
pub(crate) use on_servers;

macro_rules! on_memcached {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "memcached")]
        mod memcached {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::memcached().await).await;
            })+
        }
    };
}
pub(crate) use on_memcached;

macro_rules! on_redis {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "redis")]
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::World::redis().await).await;
            })+
        }
    };
}
pub(crate) use on_redis;

/// A backend, its clock, and the folder or the server it lives in.
pub(crate) struct World {
    /// A server has a clock of its own, which this one does not move.
    pub(crate) clock: ManualClock,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store: Store,
    /// The folder or the server, which ends with the test.
    _place: Box<dyn Any + Send + Sync>,
}

/// Looks again and again whether something holds, for as long as a busy machine may take.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < SECOND * 30, "{what}: never");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl World {
    pub(crate) fn memory() -> Self {
        Self::with(|clock, _dir| {
            Arc::new(MemoryBackend::with_clock(MemoryConfig::default(), clock))
        })
    }

    pub(crate) fn alone() -> Self {
        Self::with(|clock, _dir| {
            let memory = MemoryBackend::with_clock(MemoryConfig::default(), clock);
            Alone::over(Arc::new(memory), false)
        })
    }

    /// The same, with a time in whole seconds.
    pub(crate) fn coarse() -> Self {
        Self::with(|clock, _dir| {
            let memory = MemoryBackend::with_clock(MemoryConfig::default(), clock);
            Alone::over(Arc::new(memory), true)
        })
    }

    pub(crate) fn redb() -> Self {
        Self::with(|clock, dir| {
            let options = Options { clock, sweep_every: None };
            Arc::new(RedbBackend::open_with(dir.path().join("db").as_path(), options).unwrap())
        })
    }

    pub(crate) fn sled() -> Self {
        Self::with(|clock, dir| {
            let options = Options { clock, sweep_every: None };
            Arc::new(SledBackend::open_with(dir.path().join("db").as_path(), options).unwrap())
        })
    }

    fn with(open: impl FnOnce(ManualClock, &TempDir) -> Arc<dyn Backend>) -> Self {
        let (clock, dir) =
            (ManualClock::at_us(1_700_000_000_000_000), tempfile::tempdir().unwrap());
        let backend = open(clock.clone(), &dir);
        Self::over(backend, clock, dir)
    }

    #[cfg(feature = "memcached")]
    pub(crate) async fn memcached() -> Self {
        let server = steadfast_conformance::servers::MemcachedServer::start().unwrap();
        Self::at(&server.url(), server).await
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn redis() -> Self {
        let server = steadfast_conformance::servers::RedisServer::start().unwrap();
        Self::at(&server.url(), server).await
    }

    #[cfg(any(feature = "memcached", feature = "redis"))]
    async fn at(url: &str, server: impl Any + Send + Sync) -> Self {
        // A busy machine is no outage.
        let backend = steadfast::connect(&format!("{url}?timeout=20s")).await.unwrap().backend;
        Self::over(backend, ManualClock::at_us(0), server)
    }

    fn over(backend: Arc<dyn Backend>, clock: ManualClock, place: impl Any + Send + Sync) -> Self {
        let store = Store::builder(backend.clone()).build().unwrap();
        Self { clock, backend, store, _place: Box::new(place) }
    }

    pub(crate) fn sessions(&self) -> Sessions<Basket> {
        sessions(&self.store)
    }

    pub(crate) fn payments(&self) -> IdempotencyBuilder<Receipt> {
        Idempotency::<Receipt>::builder(&self.store).lease(LEASE)
    }
}

pub(crate) fn sessions(store: &Store) -> Sessions<Basket> {
    Sessions::<Basket>::builder(store).idle(IDLE).absolute(ABSOLUTE).build().unwrap()
}

/// An anonymous session and one of alice's.
pub(crate) async fn unsigned_and_signed(sessions: &Sessions<Basket>) -> [SessionId; 2] {
    let unsigned = sessions.create(Basket::default()).await.unwrap();
    let signed = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap();
    [unsigned.id, signed.id]
}

/// A session's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Basket {
    pub(crate) items: Vec<u32>,
}

impl State for Basket {
    const SCHEMA: u16 = 1;
}

/// What an execution answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
}

impl State for Receipt {
    const SCHEMA: u16 = 1;
}

impl Receipt {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), body: vec![0, 255, 10] }
    }
}

/// Alice pays ten euros with the key `k-1`.
pub(crate) async fn pay(payments: &Idempotency<Receipt>) -> steadfast::Result<Begin<Receipt>> {
    let key = IdempotencyKey::new("k-1").unwrap();
    payments.begin(&scope(), &key, &Fingerprint::of(["ten euros"])).await
}

pub(crate) fn scope() -> Scope {
    Scope::of(&alice(), "pay")
}

pub(crate) fn alice() -> Principal {
    Principal::new("alice").unwrap()
}

pub(crate) fn acquired(begin: Begin<Receipt>) -> Claim<Receipt> {
    acquired_as(begin)
}

pub(crate) fn acquired_as<A: State + std::fmt::Debug>(begin: Begin<A>) -> Claim<A> {
    match begin {
        Begin::Acquired(claim) => claim,
        other => panic!("not acquired: {other:?}"),
    }
}

/// Every record that is stored, by its key.
pub(crate) async fn stored_bytes(world: &World) -> Vec<(Key, Bytes)> {
    let namespace = Namespace::new("app").unwrap();
    let limit = std::num::NonZeroUsize::new(100).unwrap();
    let page = world.backend.scan(ScanRequest { namespace, after: None, limit }).await.unwrap();
    assert!(page.next.is_none());
    let entries = world.backend.get_many(&page.keys).await.unwrap();
    page.keys.into_iter().zip(entries).map(|(key, entry)| (key, entry.unwrap().value)).collect()
}

/// What a failover or an eviction does: every record is gone, and nobody was told.
pub(crate) async fn erase(world: &World) {
    for (key, _bytes) in stored_bytes(world).await {
        world.store.delete(&key).await.unwrap();
    }
}
