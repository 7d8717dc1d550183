use std::time::Duration;

use steadfast_backend::{Backend, ErrorKind, Write};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::RedisBackend;

use crate::{config, connect, eventually, key};

#[tokio::test]
async fn a_check_tells_memory_expiry_and_replication() {
    let server = RedisServer::builder().arg("maxmemory", "100mb").start().unwrap();
    let replica = RedisServer::builder().replica_of(&server).start().unwrap();
    let backend = connect(&server).await;
    let ttl = steadfast_backend::Ttl::new(Duration::from_millis(1)).unwrap();
    let put = Write::put(key("short"), "v").expiring(ttl);
    assert!(backend.write(&put).await.unwrap().is_applied());
    eventually("an entry expires", async || {
        let _ = backend.get(&key("short")).await.unwrap();
        backend.check().await.unwrap().expired == Some(1)
    })
    .await;
    eventually("the replica is counted", async || {
        let replication = backend.check().await.unwrap().replication.unwrap();
        replication.replicas == 1 && replication.lag_bytes.is_some()
    })
    .await;
    let health = backend.check().await.unwrap();
    assert_eq!((health.limit_bytes, health.evicted), (Some(100 << 20), Some(0)));
    assert!(health.used_bytes.unwrap() > 0 && health.latency > Duration::ZERO);
    assert!(health.warnings.is_empty(), "{health:?}");
    drop(replica);
}

#[tokio::test]
async fn a_policy_that_evicts_is_declared_and_warned_of() {
    let server = RedisServer::builder()
        .arg("maxmemory", "100mb")
        .arg("maxmemory-policy", "allkeys-lru")
        .start()
        .unwrap();
    let backend = connect(&server).await;
    assert!(backend.info().capabilities.evicts);
    let warnings = backend.check().await.unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("allkeys-lru")), "{warnings:?}");
}

#[tokio::test]
async fn a_policy_that_is_changed_later_is_warned_of_by_the_next_check() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    assert!(!backend.info().capabilities.evicts);
    assert!(backend.check().await.unwrap().warnings.is_empty());
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).unwrap();
    assert_eq!(backend.check().await.unwrap().warnings.len(), 1);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_not_healthy() {
    let (server, other) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    let mut config = config(&server);
    config.timeout = Duration::from_millis(500);
    let backend = RedisBackend::connect(config).await.unwrap();
    let port = other.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let error = backend.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let error = backend.write(&Write::put(key("k"), "v")).await.unwrap_err();
    assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    eventually("it is used again", async || {
        backend.write(&Write::put(key("k"), "v")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_not_read_from_for_long() {
    let (server, other) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    let mut config = config(&server);
    config.timeout = Duration::from_millis(500);
    let backend = RedisBackend::connect(config).await.unwrap();
    let port = other.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    eventually("reads fail", async || backend.get(&key("k")).await.is_err()).await;
    // And go on failing: what it shows is somebody else's data, or old.
    assert_eq!(backend.get(&key("k")).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn waiting_for_a_disk_that_the_server_does_not_write_to_is_refused_at_the_start() {
    let server = RedisServer::start().unwrap();
    let mut config = config(&server);
    config.durability = steadfast_redis::Acknowledged::OnDisk { replicas: 0 };
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("appendonly"), "{error}");
}

#[tokio::test]
async fn writes_wait_for_the_disk_where_the_server_can_tell() {
    let server = RedisServer::builder().persist().start().unwrap();
    let mut config = config(&server);
    config.durability = steadfast_redis::Acknowledged::OnDisk { replicas: 0 };
    let connected = RedisBackend::connect(config).await;
    if server.command(&["COMMAND", "INFO", "WAITAOF"]).unwrap().contains("waitaof") {
        let backend = connected.unwrap();
        assert!(backend.write(&Write::put(key("k"), "v")).await.unwrap().is_applied());
        assert!(server.calls("waitaof").unwrap() >= 2);
    } else {
        assert_eq!(connected.unwrap_err().kind(), ErrorKind::Config);
    }
}
