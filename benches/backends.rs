//! The backends beside each other: a read, a write as safe as the backend makes it, and an update
//! of a session, each by one task and by 64 at once. Redis and Memcached are on this machine.
//!
//! `cargo bench --bench backends --all-features`; the report is in `target/criterion`. Compare
//! within one run only.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use steadfast::backend::{Backend, Group, Key, Namespace, Write};
use steadfast::session::SessionId;
use steadfast::{Sessions, State, Store};
use steadfast_conformance::servers::{MemcachedServer, RedisServer};
use tokio::runtime::Runtime;

const VALUE_LEN: usize = 256;
const TASKS: [u64; 2] = [1, 64];

#[derive(Serialize, Deserialize)]
struct Counter(u64);

impl State for Counter {
    const SCHEMA: u16 = 1;
}

/// The servers of the backends that need one, as far as there are any to start.
struct Servers {
    redis: Option<RedisServer>,
    memcached: Option<MemcachedServer>,
}

impl Servers {
    fn start() -> Self {
        let missing = [RedisServer::missing(), MemcachedServer::missing()];
        missing.iter().flatten().for_each(|missing| println!("not measured: {missing}"));
        let redis = missing[0].is_none().then(|| RedisServer::start().unwrap());
        let memcached = missing[1].is_none().then(|| MemcachedServer::start().unwrap());
        Self { redis, memcached }
    }
}

/// Every backend, empty, under its name. The folder and the servers must outlive them.
fn backends(runtime: &Runtime, dir: &std::path::Path, servers: &Servers) -> Vec<Arc<dyn Backend>> {
    let path = dir.display();
    let local = ["memory:".to_owned(), format!("redb:{path}/redb"), format!("sled:{path}/sled")];
    let urls = local
        .into_iter()
        .chain(servers.redis.as_ref().map(RedisServer::url))
        .chain(servers.memcached.as_ref().map(MemcachedServer::url));
    urls.map(|url| runtime.block_on(steadfast::connect(&url)).unwrap().backend).collect()
}

fn key(task: u64) -> Key {
    let group = Group::new(&task.to_string()).unwrap();
    Key::new(&Namespace::new("bench").unwrap(), &group, "value").unwrap()
}

/// The time of `rounds` calls, spread over so many tasks.
async fn spread<F>(tasks: u64, rounds: u64, call: impl Fn(u64) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for round in 0..rounds {
        if running.len() as u64 >= tasks {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(call(round % tasks));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    started.elapsed()
}

fn bench<F>(
    criterion: &mut Criterion,
    name: &str,
    call: impl Fn(Arc<dyn Backend>) -> Box<dyn Fn(u64) -> F>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (runtime, dir) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let servers = Servers::start();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    for backend in backends(&runtime, dir.path(), &servers) {
        let (engine, call) = (backend.info().name, runtime.block_on(async { call(backend) }));
        for tasks in TASKS {
            group.bench_function(BenchmarkId::new(engine, tasks), |bencher| {
                bencher.to_async(&runtime).iter_custom(|rounds| spread(tasks, rounds, &call));
            });
        }
    }
}

fn read(criterion: &mut Criterion) {
    bench(criterion, "get", |backend| {
        tokio::task::block_in_place(|| {
            for task in 0..TASKS[1] {
                let put = Write::put(key(task), vec![7; VALUE_LEN]);
                let put = tokio::runtime::Handle::current().block_on(backend.write(&put)).unwrap();
                assert!(put.is_applied());
            }
        });
        Box::new(move |task| {
            let backend = backend.clone();
            async move { assert!(backend.get(&key(task)).await.unwrap().is_some()) }
        })
    });
}

fn write(criterion: &mut Criterion) {
    bench(criterion, "put", |backend| {
        Box::new(move |task| {
            let backend = backend.clone();
            let put = Write::put(key(task), vec![7; VALUE_LEN]);
            async move { assert!(backend.write(&put).await.unwrap().is_applied()) }
        })
    });
}

fn update(criterion: &mut Criterion) {
    bench(criterion, "session update", |backend| {
        let store = Store::builder(backend).build().unwrap();
        let sessions: Sessions<Counter> = Sessions::builder(&store).build().unwrap();
        let ids: Vec<SessionId> = tokio::task::block_in_place(|| {
            let create =
                |_| tokio::runtime::Handle::current().block_on(sessions.create(Counter(0)));
            (0..TASKS[1]).map(|task| create(task).unwrap().id).collect()
        });
        Box::new(move |task| {
            let (sessions, id) = (sessions.clone(), ids[usize::try_from(task).unwrap()].clone());
            async move {
                sessions.update(&id, |counter| counter.0 += 1).await.unwrap();
            }
        })
    });
}

criterion_group!(all, read, write, update);
criterion_main!(all);
