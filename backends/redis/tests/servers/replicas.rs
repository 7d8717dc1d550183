use steadfast_backend::{Backend, Write};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::RedisBackend;

use crate::{config, connect, eventually, key};

#[tokio::test]
async fn reads_go_to_replicas_if_they_may_and_to_the_primary_without_one() {
    let primary = RedisServer::start().unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let mut config = config(&primary);
    config.read_from_replicas = true;
    let backend = RedisBackend::connect(config).await.unwrap();
    assert!(backend.write(&Write::put(key("k"), "v")).await.unwrap().is_applied());
    eventually("a replica is asked", async || {
        let _ = backend.get(&key("k")).await.unwrap();
        replica.calls("get").unwrap() > 0
    })
    .await;
    eventually("it has what was written", async || {
        backend.get(&key("k")).await.unwrap().is_some_and(|entry| entry.value == "v")
    })
    .await;
    let before = primary.calls("get").unwrap();
    for _read in 0..10 {
        assert!(backend.get(&key("k")).await.unwrap().is_some());
    }
    assert_eq!(primary.calls("get").unwrap(), before);
    replica.kill().unwrap();
    eventually("the primary is asked", async || {
        let entry = backend.get(&key("k")).await.unwrap();
        entry.is_some() && primary.calls("get").unwrap() > before
    })
    .await;
}

#[tokio::test]
async fn reads_stay_with_the_primary_unless_asked() {
    let primary = RedisServer::start().unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let backend = connect(&primary).await;
    for _read in 0..100 {
        assert!(backend.get(&key("k")).await.unwrap().is_none());
    }
    assert_eq!(replica.calls("get").unwrap(), 0);
    assert_eq!(primary.calls("get").unwrap(), 100);
}
