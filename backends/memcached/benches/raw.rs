//! The backend against the bare client: reads of 64 tasks through both, with values of 256 bytes.
//! The backend has the connections that it has by default; the bare client, which uses one for each
//! call under way, has 16. They take turns within one run, so that a busy machine slows both.
//!
//! `cargo bench -p steadfast-memcached`; `STEADFAST_BENCH_ROUNDS` sets how many turns each takes.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memcache::exp::{AsyncMetaClient, Get, Meta};
use steadfast_backend::{Backend, Group, Key, Namespace, Write};
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};
use tokio::runtime::Runtime;

const TASKS: usize = 64;
const TURN: Duration = Duration::from_millis(250);
const VALUE_LEN: usize = 256;
const BARE_CONNECTIONS: usize = 16;

fn main() {
    if let Some(missing) = MemcachedServer::missing() {
        println!("not measured: {missing}");
        return;
    }
    let rounds = std::env::var("STEADFAST_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.map_or(25, |rounds| rounds.parse().unwrap());
    let server = MemcachedServer::start().unwrap();
    Runtime::new().unwrap().block_on(async {
        let config = MemcachedConfig::new(server.addr().to_string());
        let backend = Arc::new(MemcachedBackend::connect(config).await.unwrap());
        let raw = AsyncMetaClient::builder().max_connections(Some(BARE_CONNECTIONS));
        let raw = raw.max_idle(BARE_CONNECTIONS).connect_async(server.addr()).await.unwrap();
        for number in 0..TASKS {
            let put = Write::put(key(number), vec![1; VALUE_LEN]);
            assert!(backend.write(&put).await.unwrap().is_applied());
        }
        let mut against = [("bare client", Vec::new()), ("bare client, same flags", Vec::new())];
        for round in 0..rounds {
            let (mut ours, mut bare, mut same) = (0.0, 0.0, 0.0);
            // Whoever goes first in a round is another one each time.
            for turn in 0..3 {
                match (round + turn) % 3 {
                    0 => ours = reads(|key| read_ours(Arc::clone(&backend), key)).await,
                    1 => bare = reads(|key| read_bare(raw.clone(), key, Meta::NONE)).await,
                    _ => {
                        let flags = Meta::NONE.cas().ttl();
                        same = reads(|key| read_bare(raw.clone(), key, flags)).await;
                    }
                }
            }
            println!("{round}: backend {ours:.0}/s, bare {bare:.0}/s, same flags {same:.0}/s");
            against[0].1.push(ours / bare);
            against[1].1.push(ours / same);
        }
        for (way, ratios) in &mut against {
            ratios.sort_unstable_by(f64::total_cmp);
            let (least, median) = (ratios[0], ratios[ratios.len() / 2]);
            let most = ratios[ratios.len() - 1];
            println!("get of {TASKS} tasks / {way}: {median:.2} x ({least:.2} to {most:.2})");
        }
        backend.close().await.unwrap();
    });
}

fn key(number: usize) -> Key {
    let group = Group::new(&format!("user-{number}")).unwrap();
    Key::new(&Namespace::new("bench").unwrap(), &group, "current").unwrap()
}

/// Reads per second of all tasks together.
async fn reads<Read: Future<Output = u32> + Send + 'static>(read: impl Fn(Key) -> Read) -> f64 {
    let started = Instant::now();
    let tasks = (0..TASKS).map(|number| tokio::spawn(read(key(number))));
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.unwrap();
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn read_ours(backend: Arc<MemcachedBackend>, key: Key) -> u32 {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        assert_eq!(backend.get(&key).await.unwrap().unwrap().value.len(), VALUE_LEN);
        count += 1;
    }
    count
}

/// Without flags it gets the value alone: no version, and nothing of how long it lives.
async fn read_bare(client: AsyncMetaClient, key: Key, flags: Meta) -> u32 {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        let found = client.run(Get::new(key.as_str()).meta(flags)).await.unwrap();
        assert!(found.value.unwrap().len() > VALUE_LEN);
        count += 1;
    }
    count
}
