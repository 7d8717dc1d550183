//! What stands between a caller and the store, as ratios and nanoseconds within one run: the
//! breaker alone, the guard over a backend that answers at once, and a hit in the near cache beside
//! a bare `moka` cache with the same entry.
//!
//! `cargo bench --bench guard`, or with one of `breaker`, `guard`, `near` and `threads` behind a
//! `--`; the ways take turns, so that a busy machine slows all of them.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast::backend::{Backend, Condition, Entry, Group, Key, Write};
use steadfast::breaker::{Breaker, BreakerConfig};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::store::{NearConfig, Reads};
use steadfast::{State, Store};
use tokio::runtime::Runtime;

const ROUNDS: usize = 41;
const CALLS: u32 = 50_000;

#[derive(Serialize, Deserialize)]
struct Flag(u64);

impl State for Flag {
    const SCHEMA: u16 = 1;
}

/// Nanoseconds a call took in each round.
type Took = Vec<f64>;

fn main() {
    let runtime = Runtime::new().unwrap();
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if is_wanted("breaker") {
        breaker();
    }
    if is_wanted("guard") {
        runtime.block_on(guard());
    }
    if is_wanted("near") {
        runtime.block_on(near());
    }
    if is_wanted("threads") {
        threads(&runtime);
    }
}

fn nanos(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn breaker() {
    let breaker = Breaker::new(BreakerConfig::default()).unwrap();
    let (mut given, mut own, mut clock) = (Took::new(), Took::new(), Took::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let now = tokio::time::Instant::now();
        for _ in 0..CALLS {
            black_box(&breaker).admit_at(now).unwrap().success_at(now);
        }
        given.push(nanos(started));
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(&breaker).admit().unwrap().success();
        }
        own.push(nanos(started));
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(tokio::time::Instant::now());
            black_box(tokio::time::Instant::now());
        }
        clock.push(nanos(started));
    }
    tell("breaker, closed: let a call through and count it", given);
    tell("the same, with a look at the clock before and after", own);
    tell("two looks at the clock alone", clock);
}

async fn guard() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let store = Store::builder(Arc::clone(&backend)).build().unwrap();
    let key = key(&store);
    let check = || Write::check(key.clone(), Condition::Absent);
    let (mut bare, mut guarded) = (Took::new(), Took::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            assert!(backend.write(black_box(&check())).await.unwrap().is_applied());
        }
        bare.push(nanos(started));
        let started = Instant::now();
        for _ in 0..CALLS {
            assert!(store.write(black_box(&check())).await.unwrap().is_applied());
        }
        guarded.push(nanos(started));
    }
    let over: Took = guarded.iter().zip(&bare).map(|(guarded, bare)| guarded - bare).collect();
    tell("a write that the memory backend only checks", bare);
    tell("the same through a store", guarded);
    tell("guard over the bare backend", over);
}

async fn near() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let near = NearConfig::default().keep(Duration::from_secs(3_600));
    let store = Store::builder(Arc::clone(&backend)).near(near).build().unwrap();
    let key = key(&store);
    let put = store.put_write(&key, &Flag(7)).unwrap();
    assert!(store.write(&put).await.unwrap().is_applied());
    let entry = backend.get(&key).await.unwrap().unwrap();
    let bare = moka::sync::Cache::<Key, Entry>::builder();
    let bare = bare.max_capacity(64 << 20).time_to_live(Duration::from_secs(3_600)).build();
    bare.insert(key.clone(), entry);
    let reads = Reads::within(Duration::from_secs(3_600));
    let (mut ours, mut moka, mut ratios) = (Took::new(), Took::new(), Took::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            let flag = store.get_as::<Flag>(black_box(&key), reads).await.unwrap().unwrap();
            assert_eq!(flag.value.0, 7);
        }
        ours.push(nanos(started));
        let started = Instant::now();
        for _ in 0..CALLS {
            let entry = bare.get(black_box(&key)).unwrap();
            assert_eq!(store.decode::<Flag>(&key, &entry).unwrap().value.0, 7);
        }
        moka.push(nanos(started));
        ratios.push(ours[ours.len() - 1] / moka[moka.len() - 1]);
    }
    tell("a typed read that hits the near cache", ours);
    tell("a bare moka get, decoded", moka);
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    println!("near hit / bare moka: {:.2} x ({least:.2} to {most:.2})", ratios[ratios.len() / 2]);
}

/// Hits of two threads, each on a key of its own, against those of one in the same time.
fn threads(runtime: &Runtime) {
    let near = NearConfig::default().keep(Duration::from_secs(3_600));
    let backend = MemoryBackend::new(MemoryConfig::default());
    let backend: Arc<dyn Backend> = Arc::new(backend);
    let store = runtime.block_on(async { Store::builder(backend).near(near).build().unwrap() });
    let reads = Reads::within(Duration::from_secs(3_600));
    let keys = ["one", "other"].map(|name| store.key("flag", &group(name), "k").unwrap());
    runtime.block_on(async {
        for key in &keys {
            assert!(
                store.write(&store.put_write(key, &Flag(7)).unwrap()).await.unwrap().is_applied()
            );
            store.get_as::<Flag>(key, reads).await.unwrap();
        }
    });
    let bare = moka::sync::Cache::new(64);
    for key in &keys {
        bare.insert(key.clone(), Flag(7).0);
    }
    let hits = |key: &Key| {
        runtime.block_on(async {
            for _ in 0..CALLS {
                assert!(store.get_as::<Flag>(black_box(key), reads).await.unwrap().is_some());
            }
        });
    };
    let gets = |key: &Key| (0..CALLS).for_each(|_| assert!(bare.get(black_box(key)).is_some()));
    let spins = |_key: &Key| {
        black_box((0..CALLS * 100).fold(1_u64, |x, n| black_box(x.rotate_left(5) ^ u64::from(n))));
    };
    tell_threads("near hits", &keys, hits);
    tell_threads("gets of a bare moka cache", &keys, gets);
    tell_threads("of work that shares nothing", &keys, spins);
}

fn tell_threads(what: &str, keys: &[Key], work: impl Fn(&Key) + Sync) {
    let seconds = |count: usize| {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for key in &keys[..count] {
                scope.spawn(|| work(key));
            }
        });
        started.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<_> = (0..ROUNDS).map(|_| 2.0 * seconds(1) / seconds(2)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
    println!("{what}, two threads / one: {:.2} x ({least:.2} to {most:.2})", ratios[ROUNDS / 2]);
}

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

fn key(store: &Store) -> Key {
    store.key("flag", &group("all"), "dark-mode").unwrap()
}

fn tell(what: &str, mut took: Took) {
    took.sort_unstable_by(f64::total_cmp);
    let (least, most) = (took[0], took[took.len() - 1]);
    println!("{what}: {:.0} ns ({least:.0} to {most:.0})", took[took.len() / 2]);
}
