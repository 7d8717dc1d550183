//! What each call costs, counted at the server.

use std::time::Duration;

use steadfast_backend::{Backend, Condition, Version, Write};
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

use crate::common::{config, connect, key, put, secs, until};

/// How many commands of each kind the server has taken: reads, stores, deletes, touches.
fn counts(server: &MemcachedServer) -> [u64; 4] {
    let count = |name: &str| server.stat(name).unwrap().unwrap().parse::<u64>().unwrap();
    let deletes = count("delete_hits") + count("delete_misses");
    [count("cmd_get"), count("cmd_set"), deletes, count("cmd_touch")]
}

async fn cost(server: &MemcachedServer, backend: &MemcachedBackend, write: Write) -> [u64; 4] {
    let before = counts(server);
    let _ = backend.write(&write).await.unwrap();
    let after = counts(server);
    std::array::from_fn(|at| after[at] - before[at])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_takes_as_many_trips_as_it_says() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    let version = put(&backend, Write::put(key("k"), "v")).await;
    let old = Condition::VersionIs(Version::new(version.get() + 1_000).unwrap());
    let this = Condition::VersionIs(version);
    let put = |name: &str, only_if| Write::put(key(name), "v").only_if(only_if);
    let touch = |only_if| Write::touch(key("k"), Some(secs(60))).only_if(only_if);
    let delete = |name: &str, only_if| Write::delete(key(name)).only_if(only_if);
    let expected = [
        (touch(Condition::Always), [0, 0, 0, 1]),
        (touch(Condition::Present), [0, 0, 0, 1]),
        (touch(this), [1, 0, 0, 1]),
        (touch(old), [2, 0, 0, 0]),
        (touch(Condition::Absent), [1, 0, 0, 0]),
        (Write::check(key("k"), this), [1, 0, 0, 0]),
        (put("k", Condition::Absent), [1, 1, 0, 0]),
        (put("new", Condition::Absent), [0, 1, 0, 0]),
        (put("new", Condition::Always), [0, 1, 0, 0]),
        (put("k", this), [0, 1, 0, 0]),
        (put("k", Condition::Present), [1, 1, 0, 0]),
        (put("none", Condition::Present), [1, 0, 0, 0]),
        (delete("none", Condition::Absent), [1, 0, 0, 0]),
        (delete("none", Condition::Always), [0, 0, 1, 0]),
        (delete("k", Condition::Present), [1, 0, 1, 0]),
        (delete("new", Condition::Always), [0, 0, 1, 0]),
    ];
    for (write, trips) in expected {
        let text = format!("{write:?}");
        assert_eq!(cost(&server, &backend, write).await, trips, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_one_command_and_many_reads_are_one_trip_to_each_server() {
    let servers: Vec<_> = (0..3).map(|_| MemcachedServer::start().unwrap()).collect();
    let backend = MemcachedBackend::connect(config(&servers)).await.unwrap();
    let keys: Vec<_> = (0..30).map(|number| key(&number.to_string())).collect();
    for key in &keys {
        put(&backend, Write::put(key.clone(), "v")).await;
    }
    let before: Vec<_> = servers.iter().map(counts).collect();
    assert!(backend.get(&keys[0]).await.unwrap().is_some());
    assert!(backend.get_many(&keys).await.unwrap().iter().all(Option::is_some));
    let reads = servers.iter().zip(before).map(|(server, before)| counts(server)[0] - before[0]);
    let reads: Vec<_> = reads.collect();
    assert_eq!(reads.iter().sum::<u64>(), 31);
    assert!(reads.iter().all(|reads| *reads > 0), "{reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_made_than_allowed_and_none_stay() {
    let server = MemcachedServer::start().unwrap();
    let connections = || {
        let stat = |name: &str| server.stat(name).unwrap().unwrap().parse::<u64>().unwrap();
        (stat("curr_connections"), stat("total_connections"))
    };
    let (none, before) = connections();
    let config = MemcachedConfig::new(server.addr().to_string()).connections(4);
    let config = config.timeout(Duration::from_secs(30)); // a busy machine
    let backend = MemcachedBackend::connect(config).await.unwrap();
    let calls = (0..64).map(|number| key(&number.to_string()));
    let calls: Vec<_> = calls.map(|key| Write::put(key, "v")).collect();
    let calls = calls.iter().map(|put| backend.write(put));
    for answer in futures_util::future::join_all(calls).await {
        assert!(answer.unwrap().is_applied());
    }
    // Four, and the one that watches; and those that asked how many there are.
    let (_, after) = connections();
    assert!(after - before <= 5 + 2, "{} were made", after - before);
    // One that asked whether the server is up may still have been counted as open before.
    until(|| async { connections().0 <= none + 5 }).await;
    backend.close().await.unwrap();
    until(|| async { connections().0 <= none }).await;
}
