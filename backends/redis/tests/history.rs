//! Redis under random faults: what many tasks were told must be linearizable per key, and calls
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
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_conformance::{Cancellation, Faults, History};
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

const TASKS: usize = 16;
const WRITES: usize = 10_000;
/// Where servers take their time to fail.
const FEWER_WRITES: usize = 1_000;

fn at(address: SocketAddr) -> Servers {
    Servers::Single(Address::tcp(address.ip().to_string(), address.port()))
}

async fn connect(servers: Servers, timeout: Duration) -> Arc<dyn Backend> {
    let mut config = RedisConfig::new(servers);
    config.timeout = timeout;
    Arc::new(RedisBackend::connect(config).await.unwrap())
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
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let backend = connect(at(proxy.addr()), Duration::from_millis(500)).await;
    let (server, proxy) = (&server, &proxy);
    check_history(backend, WRITES, |mut faults| async move {
        while faults.wait(200..1_500).await {
            match faults.below(8) {
                0 => proxy.cut(),
                1 => proxy.stall(),
                2 => proxy.slow_by(Duration::from_millis(faults.below(50))),
                3 => proxy.swallow_replies(),
                4 | 5 => proxy.swallow_next_reply(),
                6 => drop(server.command(&["SCRIPT", "FLUSH"]).unwrap()),
                _ => {
                    let losing = faults.losing();
                    server.command(&["FLUSHALL"]).unwrap();
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
async fn a_server_that_is_killed_and_paused_is_linearizable() {
    let server = RedisServer::builder().persist().start().unwrap();
    let backend = connect(at(server.addr()), Duration::from_millis(500)).await;
    let server = &server;
    check_history(backend, FEWER_WRITES, |mut faults| async move {
        while faults.wait(500..2_000).await {
            if faults.below(2) == 0 {
                server.kill().unwrap();
                faults.wait(0..300).await;
                server.restart().unwrap();
            } else {
                server.pause().unwrap();
                faults.wait(50..1_500).await;
                server.resume().unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_slots_move_is_linearizable() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
    let servers = Servers::Cluster(cluster.nodes().iter().map(node).collect());
    let backend = connect(servers, Duration::from_secs(2)).await;
    let cluster = &cluster;
    check_history(backend, FEWER_WRITES, |mut faults| async move {
        while faults.wait(5..50).await {
            tokio::task::block_in_place(|| {
                // Those that have keys, and some that have none.
                let slot = u16::try_from(faults.below(16_384)).unwrap();
                let slot = slots_with_keys(cluster).first().copied().unwrap_or(slot);
                let to = usize::try_from(faults.below(3)).unwrap();
                if cluster.slot_owner(slot).unwrap() != to {
                    cluster.move_slot(slot, to).unwrap();
                }
            });
        }
    })
    .await;
}

/// The slots in which any server has keys.
fn slots_with_keys(cluster: &RedisCluster) -> Vec<u16> {
    let names = cluster.nodes().iter().map(|node| node.command(&["RANDOMKEY"]).unwrap());
    let names: Vec<_> = names.filter(|name| name.contains(":{")).collect();
    names.iter().map(|name| cluster.slot_of(name.trim()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_mix_up_no_answers() {
    let server = RedisServer::start().unwrap();
    let backend = connect(at(server.addr()), Duration::from_secs(10)).await;
    let drops = Cancellation::new(64, Duration::from_secs(60)).from_env().run(backend).await;
    let drops = drops.unwrap();
    println!("{drops}");
    assert!(drops.dropped > 0 && drops.answered > 0);
}
