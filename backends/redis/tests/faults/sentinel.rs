//! A primary that another one takes the place of.

use std::time::Duration;

use steadfast_backend::{Backend, ErrorKind, Group, Key, Namespace, Write};
use steadfast_conformance::servers::{RedisSentinel, RedisServer};
use steadfast_redis::{Acknowledged, Address, Login, RedisBackend, RedisConfig, Servers};

use crate::TIMEOUT;
use crate::load::{Loss, under_load};

fn servers(group: &RedisSentinel) -> Servers {
    let address = |sentinel: &RedisServer| Address::tcp("127.0.0.1", sentinel.port());
    Servers::Sentinel {
        sentinels: group.sentinels().iter().map(address).collect(),
        primary: "mymaster".to_owned(),
        login: Login::default(),
    }
}

async fn connect(group: &RedisSentinel, durability: Acknowledged) -> std::sync::Arc<dyn Backend> {
    let mut config = RedisConfig::new(servers(group));
    (config.timeout, config.durability) = (TIMEOUT, durability);
    std::sync::Arc::new(RedisBackend::connect(config).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_is_asked_for_is_followed_and_loses_nothing_confirmed() {
    let group = RedisSentinel::start().unwrap();
    let backend = connect(&group, Acknowledged::ByReplicas(1)).await;
    let report = under_load(&backend, TIMEOUT, Loss::Unconfirmed, async {
        tokio::task::block_in_place(|| group.failover()).unwrap();
        // The old primary becomes the replica that writes wait for.
        tokio::task::block_in_place(|| group.wait_ready()).unwrap();
    })
    .await;
    assert!(report.answers > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_killed_is_replaced() {
    let group = RedisSentinel::start().unwrap();
    let backend = connect(&group, Acknowledged::ByPrimary).await;
    let report = under_load(&backend, TIMEOUT, Loss::Anything, async {
        let old = group.master().unwrap();
        let port = old.port();
        old.kill().unwrap();
        tokio::task::block_in_place(|| group.wait_new_master(port)).unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Unavailable), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_is_replaced() {
    let group = RedisSentinel::start().unwrap();
    let backend = connect(&group, Acknowledged::ByPrimary).await;
    let report = under_load(&backend, TIMEOUT, Loss::Anything, async {
        let old = group.master().unwrap();
        let port = old.port();
        old.pause().unwrap();
        tokio::task::block_in_place(|| group.wait_new_master(port)).unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Timeout), "{report:?}");
}

/// What serves stale reads, queues writes and counts failures must know that it is one.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_one_though_a_sentinel_forgot_the_primary() {
    use steadfast_backend::{Group, Key, Namespace};
    let group = RedisSentinel::start().unwrap();
    let backend = connect(&group, Acknowledged::ByPrimary).await;
    let [forgetful, away @ ..] = group.sentinels() else { panic!("there are three") };
    forgetful.command(&["SENTINEL", "REMOVE", "mymaster"]).unwrap();
    for server in away.iter().chain(group.servers()) {
        server.kill().unwrap();
    }
    let namespace = Namespace::new("sentinel").unwrap();
    let key = Key::new(&namespace, &Group::new("g").unwrap(), "k").unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let error = backend.get(&key).await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
        if error.to_string().contains("know no primary") {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_no_replica_confirms_says_that_it_may_be_lost() {
    let group = RedisSentinel::start().unwrap();
    let backend = connect(&group, Acknowledged::ByReplicas(1)).await;
    let namespace = Namespace::new("confirmed").unwrap();
    let key = Key::new(&namespace, &Group::new("g").unwrap(), "k").unwrap();
    confirmed(&*backend, &Write::put(key.clone(), "first")).await;
    let port = group.master().unwrap().port();
    let replica = group.servers().iter().find(|server| server.port() != port).unwrap();
    replica.pause().unwrap();
    let error = backend.write(&Write::put(key.clone(), "second")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error:?}");
    assert!(error.is_ambiguous(), "{error:?}");
    let writes = vec![Write::put(key.clone(), "third")];
    let error = backend.transact(&writes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error:?}");
    // Reads wait for nobody.
    assert_eq!(backend.get(&key).await.unwrap().unwrap().value, "third");
    replica.resume().unwrap();
    confirmed(&*backend, &Write::put(key.clone(), "fourth")).await;
}

/// A replica confirms it: at once, or when it has caught up.
async fn confirmed(backend: &dyn Backend, write: &Write) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = backend.write(write).await {
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error:?}");
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
    }
}
