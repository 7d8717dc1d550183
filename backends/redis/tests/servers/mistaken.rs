//! What is said where the settings and the servers do not suit each other.

use std::num::NonZeroUsize;

use steadfast_backend::{Backend, Error, ErrorKind, Result, ScanRequest, Write};
use steadfast_conformance::servers::{RedisCluster, RedisSentinel, RedisServer};
use steadfast_redis::{RedisBackend, RedisConfig};

use crate::{key, namespace};

async fn connect(url: &str) -> Result<RedisBackend> {
    RedisBackend::connect(url.parse::<RedisConfig>()?).await
}

async fn refused(url: &str) -> Error {
    let error = connect(url).await.unwrap_err();
    assert!(!error.is_outage() && !error.to_string().contains("TLS"), "{error:?}");
    error
}

/// An entry is written, read and listed.
async fn works(backend: &RedisBackend) {
    assert!(backend.write(&Write::put(key("k"), "v")).await.unwrap().is_applied());
    assert_eq!(backend.get(&key("k")).await.unwrap().unwrap().value, "v");
}

#[tokio::test]
async fn a_cluster_is_not_taken_for_a_single_server() {
    let cluster = RedisCluster::start(1, 0).unwrap();
    let addr = cluster.nodes()[0].addr();
    for url in [format!("redis://{addr}"), format!("redis://{addr}/1")] {
        let error = refused(&url).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        let told = error.to_string();
        assert!(told.contains("redis-cluster://") && told.contains(&addr.to_string()), "{told}");
    }
}

#[tokio::test]
async fn what_a_server_is_not_is_said_with_its_address() {
    let (server, group) = (RedisServer::start().unwrap(), RedisSentinel::start().unwrap());
    let (addr, sentinel) = (server.addr(), group.sentinels()[0].addr());
    for (url, at, words) in [
        (format!("redis-cluster://{addr}"), addr, "no Redis Cluster"),
        (format!("redis-sentinel://{addr}/main"), addr, "no Sentinel"),
        (format!("redis://{addr}/99"), addr, "no such database"),
        (format!("redis://:canary@{addr}"), addr, "wants no password"),
        (format!("redis://{sentinel}"), sentinel, "redis-sentinel://"),
        (format!("redis-cluster://{sentinel}"), sentinel, "no Redis Cluster"),
    ] {
        let error = refused(&url).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error:?}");
        let told = format!("{error} {error:?}");
        assert!(told.contains(words) && told.contains(&at.to_string()), "{url}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_takes_connections_and_is_silent_may_expect_tls_and_one_that_is_away_not() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent, away) = (silent.local_addr().unwrap(), RedisServer::start().unwrap());
    away.kill().unwrap();
    for (addr, tls) in [(silent, true), (away.addr(), false)] {
        let url = format!("redis://{addr}?timeout=300ms&connect_timeout=100ms");
        let told = connect(&url).await.unwrap_err();
        assert!(told.is_outage(), "{told:?}");
        assert_eq!(told.to_string().contains("TLS"), tls, "{told}");
        assert!(told.to_string().contains(&addr.to_string()), "{told}");
    }
}

#[tokio::test]
async fn a_user_without_dangerous_commands_works_and_eviction_is_unknown() {
    let server = RedisServer::start().unwrap();
    let rules = ["on", ">pw", "~*", "&*", "+@all", "-@dangerous"];
    server.command(&[&["ACL", "SETUSER", "app"], &rules[..]].concat()).unwrap();
    let url = format!("redis://app:pw@{}?timeout=10s", server.addr());
    let backend = connect(&url).await.unwrap();
    works(&backend).await;
    assert!(backend.info().capabilities.evicts);
    let health = backend.check().await.unwrap();
    assert!(health.warnings.iter().any(|warning| warning.contains("INFO")), "{health:?}");
    assert_eq!((health.used_bytes, health.replication), (None, None));
    let request = ScanRequest { namespace: namespace(), after: None, limit: NonZeroUsize::MIN };
    let error = backend.scan(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert!(error.to_string().contains("+info"), "{error}");

    let declared = connect(&format!("{url}&evicts=no")).await.unwrap();
    assert!(!declared.info().capabilities.evicts);
    assert!(refused(&format!("{url}&read=replicas")).await.to_string().contains("+info"));
}

#[tokio::test]
async fn the_command_that_a_user_may_not_call_is_named() {
    let server = RedisServer::start().unwrap();
    let rules = ["on", ">pw", "~*", "&*", "+@all", "-time"];
    server.command(&[&["ACL", "SETUSER", "app"], &rules[..]].concat()).unwrap();
    let error = refused(&format!("redis://app:pw@{}", server.addr())).await;
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert!(error.to_string().contains("may not call TIME"), "{error}");
}

#[tokio::test]
async fn an_empty_password_is_sent() {
    let server = RedisServer::start().unwrap();
    server.command(&["ACL", "SETUSER", "free", "on", "nopass", "~*", "&*", "+@all"]).unwrap();
    server.command(&["ACL", "SETUSER", "default", "off"]).unwrap();
    // Without the default user the server cannot be asked by the test itself.
    let addr = server.addr();
    works(&connect(&format!("redis://free:@{addr}?timeout=10s")).await.unwrap()).await;
    let told = connect(&format!("redis://free@{addr}")).await.unwrap_err().to_string();
    assert!(told.contains("USER:@"), "{told}");
}

#[tokio::test]
async fn a_cluster_that_tells_addresses_which_cannot_be_reached_says_so_and_can_be_mapped() {
    let cluster = RedisCluster::start(1, 0).unwrap();
    let node = &cluster.nodes()[0];
    // Nobody listens there.
    node.command(&["CONFIG", "SET", "cluster-announce-ip", "127.0.0.9"]).unwrap();
    let (addr, port) = (node.addr(), node.port());
    let url = format!("redis-cluster://{addr}?timeout=10s&connect_timeout=200ms");
    let error = connect(&url.replace("10s", "200ms")).await.unwrap_err();
    let told = error.to_string();
    assert!(error.is_outage() && told.contains("address_map"), "{error:?}");
    assert!(told.contains(&format!("127.0.0.9:{port}")), "{told}");
    for map in [format!("127.0.0.9:{port}={addr}"), "127.0.0.9=localhost".to_owned()] {
        works(&connect(&format!("{url}&address_map={map}")).await.unwrap()).await;
    }
}

#[tokio::test]
async fn sentinels_that_tell_an_address_which_cannot_be_reached_say_so_and_can_be_mapped() {
    let group = RedisSentinel::start().unwrap();
    let (sentinel, port) = (&group.sentinels()[0], group.current_master_port().unwrap());
    sentinel.command(&["SENTINEL", "REMOVE", "mymaster"]).unwrap();
    let monitor = ["SENTINEL", "MONITOR", "mymaster", "127.0.0.9", &port.to_string(), "2"];
    sentinel.command(&monitor).unwrap();
    let url = format!("redis-sentinel://{}/mymaster?connect_timeout=10s", sentinel.addr());
    let error = connect(&format!("{url}&timeout=200ms").replace("10s", "200ms")).await.unwrap_err();
    let told = error.to_string();
    assert!(error.is_outage() && told.contains("address_map"), "{error:?}");
    assert!(told.contains(&format!("127.0.0.9:{port}")), "{told}");
    let map = format!("127.0.0.9:{port}=127.0.0.1:{port}");
    works(&connect(&format!("{url}&timeout=10s&address_map={map}")).await.unwrap()).await;
}
