//! Every backend under random faults: what many tasks were told must be linearizable per key, and
//! calls that are dropped must not mix up the answers to others.
//!
//! `STEADFAST_HISTORY_WRITES` sets how many writes each of the tasks makes,
//! `STEADFAST_CANCELLATION_SECONDS` for how long calls are dropped; seeds are printed, and
//! `STEADFAST_HISTORY_SEED` and `STEADFAST_CANCELLATION_SEED` set them.

#![cfg(all(feature = "memory", feature = "redb", feature = "sled"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod restarts;

use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::Backend;
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::redb::{Options, RedbBackend};
use steadfast::sled::SledBackend;
use steadfast_conformance::{Cancellation, Faults, History};

use restarts::{Restarts, SetBack};

const TASKS: usize = 16;
const WRITES: usize = 10_000;
/// Sweeps are one more thing that happens meanwhile.
const SWEEP_EVERY: Option<Duration> = Some(Duration::from_millis(10));

/// Runs a history while `inject` makes faults, and checks it.
async fn check_history<F: Future<Output = ()>>(
    backend: Arc<dyn Backend>,
    inject: impl FnOnce(Faults) -> F,
) {
    let name = backend.info().name;
    let history = History::new(TASKS, WRITES).from_env();
    let recorded = history.run(backend, inject).await.unwrap();
    let figures = recorded.check().unwrap();
    println!("{name}: {figures}");
    assert!(figures.applied > 0 && figures.refused > 0);
}

/// Drops calls of many tasks for a while.
async fn check_cancellation(backend: Arc<dyn Backend>, time: Duration) {
    let name = backend.info().name;
    let drops = Cancellation::new(64, time).from_env().run(Arc::clone(&backend)).await.unwrap();
    println!("{name}: {drops}");
    assert!(drops.dropped > 0 && drops.answered > 0);
    backend.close().await.unwrap();
}

/// For stores in this process; a link that drops calls has more to get wrong.
const LOCAL: Duration = Duration::from_secs(10);

fn memory(clock: SetBack) -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::with_clock(MemoryConfig::default(), clock))
}

fn redb(clock: SetBack, dir: &tempfile::TempDir) -> Arc<dyn Backend> {
    let options = Options { clock, sweep_every: SWEEP_EVERY };
    Arc::new(RedbBackend::open_with(dir.path().join("state.redb"), options).unwrap())
}

fn sled(clock: SetBack, dir: &tempfile::TempDir) -> Arc<dyn Backend> {
    let options = Options { clock, sweep_every: SWEEP_EVERY };
    Arc::new(SledBackend::open_with(dir.path().join("state"), options).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_linearizable_while_it_is_replaced() {
    let backend = Restarts::of(memory);
    check_history(backend.clone(), |mut faults| async move {
        while faults.wait(20..200).await {
            let losing = faults.losing();
            backend.restart(faults.below(600)).await;
            drop(losing);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redb_is_linearizable_while_it_is_closed_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Restarts::of(move |clock| redb(clock, &dir));
    check_history(backend.clone(), |mut faults| async move {
        while faults.wait(200..1_000).await {
            backend.restart(faults.below(600)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sled_is_linearizable_while_it_is_closed_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Restarts::of(move |clock| sled(clock, &dir));
    check_history(backend.clone(), |mut faults| async move {
        while faults.wait(200..1_000).await {
            backend.restart(faults.below(600)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_answers_apart_when_calls_are_dropped() {
    check_cancellation(memory(SetBack::start(0)), LOCAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redb_keeps_answers_apart_when_calls_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    check_cancellation(redb(SetBack::start(0), &dir), LOCAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sled_keeps_answers_apart_when_calls_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    check_cancellation(sled(SetBack::start(0), &dir), LOCAL).await;
}
