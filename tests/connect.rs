//! Each URL leads to the store that it names. The servers are real.

#![cfg(all(feature = "memcached", feature = "redis-tls"))]

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast::backend::{ErrorKind, Group};
use steadfast::{Result, State, Store};
use steadfast_conformance::servers::{MemcachedServer, RedisCluster, RedisSentinel, RedisServer};

#[derive(Serialize, Deserialize)]
struct Hits(u64);

impl State for Hits {
    const SCHEMA: u16 = 1;
}

/// A busy machine is no outage.
const PATIENCE: &str = "timeout=20s&connect_timeout=20s";
/// For what fails.
const BRIEFLY: &str = "timeout=300ms&connect_timeout=1s";

/// How often this was called on this store.
async fn hit(url: &str) -> Result<u64> {
    let store = Store::builder(steadfast::connect(url).await?).build()?;
    let key = store.key("hits", &Group::new("page")?, "total")?;
    let counted = store.update(&key, None, |hits: &mut Option<Hits>| {
        let hits = hits.get_or_insert(Hits(0));
        hits.0 += 1;
        hits.0
    });
    Ok(counted.await?.output)
}

#[tokio::test]
async fn one_redis_is_reached_by_tcp_and_by_its_socket() {
    let server = RedisServer::start().unwrap();
    let (addr, socket) = (server.addr(), server.socket().display());
    for (url, count) in [
        (format!("redis://{addr}?{PATIENCE}"), 1),
        (format!("valkey://{addr}/0?lanes=1&{PATIENCE}"), 2),
        (format!("redis+unix://{socket}?{PATIENCE}"), 3),
        (format!("unix:{socket}?db=0&{PATIENCE}"), 4),
        (format!("redis://{addr}/1?{PATIENCE}"), 1),
        (format!("unix:{socket}?db=1&{PATIENCE}"), 2),
        (format!("redis://{addr}?namespace=other&{PATIENCE}"), 1),
        (format!("redis://{addr}?namespace=app&{PATIENCE}"), 5),
    ] {
        assert_eq!(hit(&url).await.unwrap(), count, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_primary_behind_sentinels_are_reached() {
    let (cluster, group) = (RedisCluster::start(3, 0).unwrap(), RedisSentinel::start().unwrap());
    for url in [cluster.url(), group.url()] {
        assert_eq!(hit(&format!("{url}?{PATIENCE}")).await.unwrap(), 1, "{url}");
        assert_eq!(hit(&format!("{url}?{PATIENCE}")).await.unwrap(), 2, "{url}");
    }
}

#[tokio::test]
async fn a_memcached_or_two_are_reached() {
    let (one, other) = (MemcachedServer::start().unwrap(), MemcachedServer::start().unwrap());
    assert_eq!(hit(&one.url()).await.unwrap(), 1);
    let options = "weights=1,3&connections=2&namespace=shop&timeout=20s";
    let both = format!("memcached://{},{}?{options}", one.addr(), other.addr());
    assert_eq!(hit(&both).await.unwrap(), 1);
    assert_eq!(hit(&both).await.unwrap(), 2);
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_redb_file_is_checked_at_each_opening_where_the_url_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("redb:{}", dir.path().join("state.redb").display());
    for (option, count) in [("", 1), ("?verify=true", 2), ("?verify=false", 3)] {
        assert_eq!(hit(&format!("{url}{option}")).await.unwrap(), count);
    }
    let error = hit(&format!("{url}?verify=often")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("verify") && error.to_string().contains("true or false"));
}

#[tokio::test]
async fn whoever_logs_in_needs_the_right_password_and_it_is_not_shown() {
    let server = RedisServer::builder().user("canary-user", "canary:w/rd").start().unwrap();
    let addr = server.addr();
    let right = format!("redis://canary-user:canary:w%2Frd@{addr}?{PATIENCE}");
    assert_eq!(hit(&right).await.unwrap(), 1);
    for login in ["", ":canary-wrong@", "canary-user:canary-wrong@", "canary-other:canary@"] {
        let error = hit(&format!("redis://{login}{addr}?{PATIENCE}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{login}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn durability_is_what_the_url_says() {
    let server = RedisServer::start().unwrap();
    let url = server.url();
    assert_eq!(hit(&format!("{url}?{PATIENCE}")).await.unwrap(), 1);
    let url = format!("{url}?durability=replicas:1&timeout=2s");
    let error = hit(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_an_outage_within_the_timeout() {
    let (redis, memcached) = (RedisServer::start().unwrap(), MemcachedServer::start().unwrap());
    redis.kill().unwrap();
    memcached.kill().unwrap();
    for url in [redis.url(), memcached.url()] {
        let started = Instant::now();
        let error = hit(&format!("{url}?timeout=300ms")).await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
        // It had a third of a second; a busy machine may make that longer.
        assert!(started.elapsed() < Duration::from_secs(20), "{error:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_named_authority_vouches_for() {
    let server = RedisServer::builder().tls().start().unwrap();
    let (url, authority) = (server.url(), server.ca_path());
    let trusted = format!("tls_ca={}", authority.display());
    assert_eq!(hit(&format!("{url}?{trusted}&{PATIENCE}")).await.unwrap(), 1);
    // The system's authorities do not know this server, and it does not speak without TLS.
    assert!(hit(&format!("{url}?{BRIEFLY}")).await.unwrap_err().is_outage());
    assert!(hit(&format!("redis://{}?{BRIEFLY}", server.addr())).await.is_err());

    server.command(&["CONFIG", "SET", "tls-auth-clients", "yes"]).unwrap();
    assert!(hit(&format!("{url}?{trusted}&{BRIEFLY}")).await.is_err(), "without a certificate");
    let own = |name: &str| authority.with_file_name(name).display().to_string();
    let known = format!("tls_cert={}&tls_key={}", own("server.pem"), own("server.key"));
    assert_eq!(hit(&format!("{url}?{trusted}&{known}&{PATIENCE}")).await.unwrap(), 2);
}
