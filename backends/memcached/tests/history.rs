//! Memcached under random faults: what many tasks were told must be linearizable per key, and calls
//! that are dropped must not mix up the answers to others.
//!
//! `STEADFAST_HISTORY_WRITES` sets how many writes each of the tasks makes,
//! `STEADFAST_CANCELLATION_SECONDS` for how long calls are dropped; seeds are printed, and
//! `STEADFAST_HISTORY_SEED` and `STEADFAST_CANCELLATION_SEED` set them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::Backend;
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::MemcachedServer;
use steadfast_conformance::{Cancellation, Faults, History};
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

const TASKS: usize = 16;
const WRITES: usize = 10_000;
/// Where servers take their time to fail.
const FEWER_WRITES: usize = 1_000;

async fn connect(address: SocketAddr, timeout: Duration) -> Arc<dyn Backend> {
    let config = MemcachedConfig::new(address.to_string()).timeout(timeout);
    Arc::new(MemcachedBackend::connect(config).await.unwrap())
}

async fn check_history<F: Future<Output = ()>>(
    backend: Arc<dyn Backend>,
    writes: usize,
    inject: impl FnOnce(Faults) -> F,
) {
    let history = History::new(TASKS, writes).from_env();
    let recorded = history.run(backend, inject).await.unwrap();
    let figures = recorded.check().unwrap();
    println!("{figures}");
    assert!(figures.applied > 0 && figures.refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_a_bad_link_is_linearizable() {
    let server = MemcachedServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let backend = connect(proxy.addr(), Duration::from_millis(500)).await;
    let (server, proxy) = (&server, &proxy);
    check_history(backend, WRITES, |mut faults| async move {
        while faults.wait(200..1_500).await {
            match faults.below(7) {
                0 => proxy.cut(),
                1 => proxy.stall(),
                2 => proxy.slow_by(Duration::from_millis(faults.below(50))),
                3 => proxy.swallow_replies(),
                4 | 5 => proxy.swallow_next_reply(),
                _ => {
                    let losing = faults.losing();
                    server.command("flush_all").unwrap();
                    drop(losing);
                }
            }
            faults.wait(20..1_000).await;
            proxy.heal();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_paused_is_linearizable() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(server.addr(), Duration::from_millis(500)).await;
    let server = &server;
    check_history(backend, FEWER_WRITES, |mut faults| async move {
        while faults.wait(500..2_000).await {
            server.pause().unwrap();
            faults.wait(50..1_500).await;
            server.resume().unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_mix_up_no_answers() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(server.addr(), Duration::from_secs(10)).await;
    let drops = Cancellation::new(64, Duration::from_secs(60)).from_env().run(backend).await;
    let drops = drops.unwrap();
    println!("{drops}");
    assert!(drops.dropped > 0 && drops.answered > 0);
}
