//! The nearest rivals in one run: a closed circuit breaker around work that costs nothing, and a
//! hit in an in-process cache. The ways take turns, so that a busy machine slows all of them.
//!
//! `cargo run --release --manifest-path benches/rivals/Cargo.toml`

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use failsafe::CircuitBreaker as _;
use hitbox::backend::Backend as _;
use hitbox_core::{CacheKey, CacheValue, KeyPart};
use serde::{Deserialize, Serialize};
use steadfast::backend::Group;
use steadfast::breaker::{Breaker, BreakerConfig};
use steadfast::store::{NearConfig, Reads};
use steadfast::{State, Store};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

const ROUNDS: usize = 41;
const CALLS: u32 = 20_000;
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Serialize, Deserialize)]
struct Flag(u64);

impl State for Flag {
    const SCHEMA: u16 = 1;
}

/// One way of doing it: its name, and one call.
type Way<'a> = (&'static str, Box<dyn FnMut() + 'a>);

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    // Around the loops, not under them: a task has a budget of polls.
    let _entered = runtime.enter();
    breakers();
    caches(&runtime);
}

fn breakers() {
    let ours = Breaker::new(BreakerConfig::default()).expect("the defaults are good");
    let now = tokio::time::Instant::now();
    let recloser = recloser::Recloser::default();
    let failsafe = failsafe::Config::new().build();
    let layer = CircuitBreakerLayer::builder().build().expect("the defaults are good");
    let service = service_fn(|number: u64| async move { Ok::<_, Infallible>(number) });
    let mut tower = layer.layer_fn(service);
    compare(
        "a closed breaker around nothing",
        vec![
            ("steadfast", Box::new(|| black_box(&ours).admit().expect("it is closed").success())),
            (
                "steadfast, the time given",
                Box::new(|| black_box(&ours).admit_at(now).expect("it is closed").success_at(now)),
            ),
            (
                "recloser",
                Box::new(|| {
                    let called = black_box(&recloser).call(|| Ok::<_, Infallible>(7));
                    assert!(called.is_ok());
                }),
            ),
            (
                "failsafe",
                Box::new(|| {
                    let called = black_box(&failsafe).call(|| Ok::<_, Infallible>(7));
                    assert!(called.is_ok());
                }),
            ),
            (
                "tower-resilience-circuitbreaker",
                Box::new(|| {
                    let ready = at_once(tower.ready()).expect("it is closed");
                    assert!(at_once(ready.call(7)).is_ok());
                }),
            ),
        ],
    );
}

fn caches(runtime: &Runtime) {
    let backend = runtime.block_on(steadfast::connect("memory:")).expect("it needs nothing");
    let store = Store::builder(backend).near(NearConfig::default().keep(HOUR));
    let store = store.build().expect("the settings are good");
    let group = Group::new("all").expect("a good group");
    let key = store.key("flag", &group, "dark-mode").expect("a good key");
    let put = store.put_write(&key, &Flag(7)).expect("it encodes");
    assert!(runtime.block_on(store.write(&put)).expect("it is written").is_applied());
    let reads = Reads::within(HOUR);
    let read = || store.get_as::<Flag>(black_box(&key), reads);
    assert!(runtime.block_on(read()).expect("it is there").is_some());

    let amalgam: amalgam::Cache<u64> = amalgam::Cache::new();
    runtime.block_on(async { amalgam.set("flag:dark-mode", 7).await.expect("it is set") });

    let hitbox = hitbox_moka::MokaBackend::builder().max_entries(10_000).build();
    let hitbox_key = CacheKey::new("flag", 1, vec![KeyPart::new("name", Some("dark-mode"))]);
    let value = bytes::Bytes::from_static(b"7");
    let value = CacheValue::new(value, Some(chrono::Utc::now() + HOUR), None);
    runtime.block_on(hitbox.write(&hitbox_key, value)).expect("it is written");

    compare(
        "a hit in the in-process cache",
        vec![
            ("steadfast, decoded, its age checked", Box::new(|| assert!(at_once(read()).is_ok()))),
            (
                "amalgam-cache, a shared value",
                Box::new(|| {
                    let hit = at_once(async { amalgam.try_get(black_box("flag:dark-mode")).await });
                    assert!(hit.is_ok());
                }),
            ),
            (
                "hitbox-moka, bytes",
                Box::new(|| {
                    let hit = at_once(hitbox.read(black_box(&hitbox_key)));
                    assert!(hit.is_ok_and(|hit| hit.is_some()));
                }),
            ),
        ],
    );
}

/// The output of a future that waits for nothing.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit waits for nothing"),
    }
}

/// Each way in turn, another one first each time; and what it takes against the first of them.
fn compare(what: &str, mut ways: Vec<Way<'_>>) {
    let mut took = vec![Vec::with_capacity(ROUNDS); ways.len()];
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let way = (round + turn) % ways.len();
            let started = Instant::now();
            (0..CALLS).for_each(|_| ways[way].1());
            took[way].push(started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        }
    }
    println!("{what}:");
    let ours = took[0].clone();
    for ((name, _), took) in ways.iter().zip(&took) {
        let mut ratios: Vec<_> = took.iter().zip(&ours).map(|(took, ours)| took / ours).collect();
        let (mut took, middle) = (took.clone(), ROUNDS / 2);
        took.sort_unstable_by(f64::total_cmp);
        ratios.sort_unstable_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        println!(
            "  {name}: {:.0} ns, {:.2} x ({least:.2} to {most:.2})",
            took[middle], ratios[middle]
        );
    }
}
