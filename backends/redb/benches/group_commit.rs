//! What group commit is worth: durable writes of 64 tasks that share commits, against one commit
//! per write. The ways take turns within one run, so that a busy machine slows all of them.
//!
//! `cargo bench -p steadfast-redb`; `STEADFAST_BENCH_ROUNDS` sets how many turns each takes.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use steadfast_backend::{Backend, Group, Key, Namespace, Write};
use steadfast_embedded::{Engine, Table};
use steadfast_redb::{RedbBackend, RedbConfig, RedbEngine};
use tokio::runtime::Runtime;

const TASKS: usize = 64;
const TURN: Duration = Duration::from_secs(1);
const VALUE_LEN: usize = 256;
const RAW: TableDefinition<&[u8], &[u8]> = TableDefinition::new("raw");

fn main() {
    let rounds = std::env::var("STEADFAST_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.map_or(7, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Runtime::new().unwrap();
    let backend = Arc::new(RedbBackend::open(dir.path().join("group.redb")).unwrap());
    let raw = Database::create(dir.path().join("raw.redb")).unwrap();

    let mut against = [("one task, each write awaited", Vec::new()), ("raw redb", Vec::new())];
    for round in 0..rounds {
        let grouped = runtime.block_on(write(&backend, TASKS));
        let single = runtime.block_on(write(&backend, 1));
        let raw = write_raw(&raw);
        println!("{round}: grouped {grouped:.0}/s, one task {single:.0}/s, raw redb {raw:.0}/s");
        against[0].1.push(grouped / single);
        against[1].1.push(grouped / raw);
    }
    for (way, ratios) in &mut against {
        ratios.sort_unstable_by(f64::total_cmp);
        let (least, median) = (ratios[0], ratios[ratios.len() / 2]);
        let most = ratios[ratios.len() - 1];
        println!("{TASKS} tasks / {way}: {median:.1} x (from {least:.1} to {most:.1})");
    }
    runtime.block_on(backend.close()).unwrap();
    drop(backend);
    reads(&runtime, &dir.path().join("group.redb"));
}

fn key(name: &str) -> Key {
    Key::new(&Namespace::new("bench").unwrap(), &Group::new("g").unwrap(), name).unwrap()
}

/// Durable writes per second of so many tasks.
async fn write(backend: &Arc<RedbBackend>, tasks: usize) -> f64 {
    let started = Instant::now();
    let writers = (0..tasks).map(|task| {
        let backend = Arc::clone(backend);
        tokio::spawn(async move {
            let mut written = 0_u32;
            while started.elapsed() < TURN {
                let key = key(&format!("{task}-{}", written % 100));
                let put = Write::put(key, vec![1; VALUE_LEN]);
                assert!(backend.write(&put).await.unwrap().is_applied());
                written += 1;
            }
            written
        })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        written += writer.await.unwrap();
    }
    f64::from(written) / started.elapsed().as_secs_f64()
}

fn write_raw(raw: &Database) -> f64 {
    let started = Instant::now();
    let mut written = 0_u32;
    while started.elapsed() < TURN {
        let key = key(&format!("0-{}", written % 100));
        let changes = raw.begin_write().unwrap();
        let value = [1; VALUE_LEN];
        let mut table = changes.open_table(RAW).unwrap();
        table.insert(key.as_str().as_bytes(), &value[..]).unwrap();
        drop(table);
        changes.commit().unwrap();
        written += 1;
    }
    f64::from(written) / started.elapsed().as_secs_f64()
}

/// What it costs to read off the threads that run futures.
fn reads(runtime: &Runtime, path: &Path) {
    let micros =
        |started: Instant, count: u32| started.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    let (key, count) = (key("0-0"), 20_000);
    let engine = RedbEngine::open(RedbConfig::new(path)).unwrap();
    let started = Instant::now();
    for _ in 0..count {
        engine.read(Table::Data, &[key.as_str().as_bytes()]).unwrap();
    }
    println!("a read on the caller's thread: {:.1} us", micros(started, count));
    engine.close().unwrap();
    let backend = Arc::new(RedbBackend::open(path).unwrap());
    let started = Instant::now();
    runtime.block_on(read_on(&backend, &key, count));
    println!("a read through `get`: {:.1} us", micros(started, count));
    let started = Instant::now();
    runtime.block_on(async {
        let readers = (0..TASKS).map(|_| {
            let (backend, key) = (Arc::clone(&backend), key.clone());
            tokio::spawn(async move { read_on(&backend, &key, 1_000).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
    });
    println!("a read through `get` of {TASKS} tasks: {:.1} us each", micros(started, 64_000));
}

async fn read_on(backend: &RedbBackend, key: &Key, count: u32) {
    for _ in 0..count {
        assert!(backend.get(key).await.unwrap().is_some());
    }
}
