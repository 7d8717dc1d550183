//! Starting without the servers, or with those that are there.

use std::time::Duration;

use steadfast_backend::{Backend, ErrorKind, Health, Start, Write};
use steadfast_conformance::servers::{RedisCluster, RedisSentinel, RedisServer};
use steadfast_redis::{Acknowledged, RedisBackend, RedisConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{config, eventually, key};

/// A socket that takes connections and says nothing, and a port where nobody listens.
struct Dead {
    silent: TcpListener,
    closed: RedisServer,
}

impl Dead {
    async fn start() -> Self {
        let (silent, closed) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), RedisServer::start().unwrap());
        closed.kill().unwrap();
        Self { silent, closed }
    }

    /// Several of them, as a part of a URL.
    fn addresses(&self) -> String {
        let silent = self.silent.local_addr().unwrap();
        format!("{silent},{},localhost:{}", self.closed.addr(), silent.port())
    }
}

async fn connect(url: &str) -> steadfast_backend::Result<RedisBackend> {
    RedisBackend::connect(url.parse::<RedisConfig>()?).await
}

async fn works(backend: &RedisBackend) -> bool {
    backend.write(&Write::put(key("k"), "v")).await.is_ok() && backend.check().await.is_ok()
}

#[tokio::test]
async fn dead_seeds_in_front_of_a_live_one_do_not_keep_from_starting() {
    let (cluster, dead) = (RedisCluster::start(1, 0).unwrap(), Dead::start().await);
    let live = cluster.nodes()[0].addr();
    let url = format!("redis-cluster://{},{live}?connect_timeout=20s", dead.addresses());
    let backend = tokio::time::timeout(Duration::from_secs(15), connect(&url)).await;
    assert!(works(&backend.expect("no dead seed is waited for").unwrap()).await);
}

#[tokio::test]
async fn dead_sentinels_in_front_of_a_live_one_do_not_keep_from_starting() {
    let (group, dead) = (RedisSentinel::start().unwrap(), Dead::start().await);
    let live = group.sentinels()[2].addr();
    let url = format!("redis-sentinel://{},{live}/mymaster?connect_timeout=20s", dead.addresses());
    let backend = tokio::time::timeout(Duration::from_secs(15), connect(&url)).await;
    assert!(works(&backend.expect("no dead Sentinel is waited for").unwrap()).await);
}

#[tokio::test]
async fn a_cluster_with_one_primary_down_starts_with_the_others() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).unwrap();
    }
    let down = cluster.slot_owner(cluster.slot_of(key("k").as_str()).unwrap()).unwrap();
    cluster.nodes()[down].kill().unwrap();
    let backend = connect(&format!("{}?timeout=10s", cluster.url())).await.unwrap();
    let group = |name: &str| steadfast_backend::Group::new(name).unwrap();
    let there = (0..).map(|number| {
        steadfast_backend::Key::new(&crate::namespace(), &group(&format!("g{number}")), "k")
            .unwrap()
    });
    let is_there = |key: &steadfast_backend::Key| {
        let owner = cluster.slot_of(key.as_str()).and_then(|slot| cluster.slot_owner(slot));
        owner.unwrap() != down
    };
    let there = there.into_iter().find(is_there).unwrap();
    assert!(backend.write(&Write::put(there, "v")).await.unwrap().is_applied());
    assert!(backend.get(&key("k")).await.unwrap_err().is_outage());
    let port = cluster.nodes()[down].port().to_string();
    let named = |health: &Health| health.warnings.iter().any(|text| text.contains(&port));
    let health = backend.check().await.unwrap();
    assert!(named(&health), "{health:?}");
    cluster.nodes()[down].restart().unwrap();
    eventually("the missing one is used", async || backend.get(&key("k")).await.is_ok()).await;
    assert!(!named(&backend.check().await.unwrap()));
}

#[tokio::test]
async fn whoever_begins_disconnected_works_once_the_server_is_there() {
    let server = RedisServer::start().unwrap();
    server.kill().unwrap();
    let mut config = config(&server);
    config.start = Start::Disconnected;
    let backend = RedisBackend::connect(config).await.unwrap();
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("never connected"), "{error:?}");
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    let error = backend.write(&Write::put(key("k"), "v")).await.unwrap_err();
    assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    server.restart().unwrap();
    eventually("it works", async || works(&backend).await).await;
    server.kill().unwrap();
    eventually("it is out", async || backend.check().await.is_err()).await;
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage() && !error.to_string().contains("never"), "{error:?}");
}

#[tokio::test]
async fn whoever_begins_disconnected_with_a_server_that_is_there_waits_for_it_in_the_first_call() {
    let server = RedisServer::start().unwrap();
    let mut config = config(&server);
    config.start = Start::Disconnected;
    let backend = RedisBackend::connect(config).await.unwrap();
    assert!(works(&backend).await);
}

/// What the server answers to a command that stands in one line.
async fn said(connection: &mut TcpStream, command: &str) -> String {
    connection.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let len = connection.read(&mut answer).await.unwrap_or_default();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

#[tokio::test]
async fn a_server_that_has_all_its_connections_is_out_and_used_once_there_is_room() {
    let server = RedisServer::start().unwrap();
    server.command(&["CONFIG", "SET", "maxclients", "1"]).unwrap();
    let mut only = TcpStream::connect(server.addr()).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !said(&mut only, "PING").await.contains("PONG") {
        assert!(tokio::time::Instant::now() < deadline, "there is no room for it");
        only = TcpStream::connect(server.addr()).await.unwrap();
    }
    let mut config = config(&server);
    config.start = Start::Disconnected;
    let backend = RedisBackend::connect(config).await.unwrap();
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    assert!(said(&mut only, "CONFIG SET maxclients 100").await.contains("OK"));
    eventually("it works", async || works(&backend).await).await;
}

#[tokio::test]
async fn disconnected_from_the_start_a_server_that_is_wrong_is_no_outage() {
    let server = RedisServer::builder().password("canary").start().unwrap();
    let mut config = config(&server);
    config.start = Start::Disconnected;
    let backend = RedisBackend::connect(config).await.unwrap();
    for error in [
        backend.check().await.unwrap_err(),
        backend.get(&key("k")).await.unwrap_err(),
        backend.write(&Write::put(key("k"), "v")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
        assert!(!error.is_outage() && !error.is_ambiguous(), "{error:?}");
    }
}

#[tokio::test]
async fn what_a_server_lacks_is_found_by_whoever_began_disconnected() {
    let server = RedisServer::start().unwrap();
    let mut config = config(&server);
    (config.start, config.durability) = (Start::Disconnected, Acknowledged::OnDisk { replicas: 0 });
    let backend = RedisBackend::connect(config).await.unwrap();
    let error = backend.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("appendonly"), "{error}");
}

#[tokio::test]
async fn an_outage_at_the_start_is_waited_for_as_long_as_is_said() {
    let server = RedisServer::start().unwrap();
    server.kill().unwrap();
    let mut config = config(&server);
    (config.timeout, config.connect_timeout) =
        (Duration::from_millis(50), Duration::from_millis(50));
    let error = RedisBackend::connect(config.clone()).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    config.timeout = Duration::from_secs(10);
    config.connect_timeout = Duration::from_secs(10);
    config.start = Start::Within(Duration::from_secs(60));
    let connecting = tokio::spawn(RedisBackend::connect(config));
    // Long enough for an attempt to fail.
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.restart().unwrap();
    assert!(works(&connecting.await.unwrap().unwrap()).await);
}

#[tokio::test]
async fn a_server_that_is_wrong_is_not_waited_for() {
    let server = RedisServer::builder().password("canary").start().unwrap();
    let mut config = config(&server);
    config.start = Start::Within(Duration::from_secs(3_600));
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
}

#[tokio::test]
async fn eviction_is_as_declared_and_a_server_that_does_otherwise_is_refused() {
    let server = RedisServer::start().unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]).unwrap();
    let mut config = config(&server);
    config.start = Start::Disconnected;
    let unknown = RedisBackend::connect(config.clone()).await.unwrap();
    assert!(unknown.info().capabilities.evicts);
    config.evicts = Some(false);
    let declared = RedisBackend::connect(config.clone()).await.unwrap();
    assert!(!declared.info().capabilities.evicts);
    assert!(works(&declared).await);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    for start in [Start::Disconnected, Start::Connected] {
        config.start = start;
        let error = match RedisBackend::connect(config.clone()).await {
            Ok(backend) => backend.check().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("allkeys-lru"), "{error}");
    }
}
