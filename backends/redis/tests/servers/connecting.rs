use std::time::Duration;

use steadfast_backend::{Backend, ErrorKind, Write};
use steadfast_conformance::servers::{RedisSentinel, RedisServer};
use steadfast_redis::{Acknowledged, Address, Login, RedisBackend, RedisConfig, Servers};

use crate::{config, key};

const PASSWORD: &str = "correct horse battery staple";

fn login(username: Option<&str>, password: &str) -> Login {
    Login { username: username.map(str::to_owned), password: Some(password.to_owned()) }
}

#[tokio::test]
async fn a_user_and_a_password_are_taken() {
    let server = RedisServer::builder().user("shop", PASSWORD).start().unwrap();
    let mut config = config(&server);
    config.login = login(Some("shop"), PASSWORD);
    let backend = RedisBackend::connect(config).await.unwrap();
    assert!(backend.write(&Write::put(key("k"), "v")).await.unwrap().is_applied());
}

#[tokio::test]
async fn a_wrong_password_is_rejected_shown_nowhere_and_not_tried_again_and_again() {
    let server = RedisServer::builder().password(PASSWORD).start().unwrap();
    let mut config = config(&server);
    config.login = login(None, "open sesame");
    let shown = format!("{config:?}");
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert!(!error.is_outage() && !error.is_ambiguous(), "{error:?}");
    for text in [shown, error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("sesame"), "{text}");
    }
    // The next attempt would be seconds later.
    let refused = server.stat("errorstats", "errorstat_WRONGPASS").unwrap();
    assert_eq!(refused, "count=1");
}

#[tokio::test]
async fn a_password_that_is_changed_under_way_is_told_as_such() {
    let server = RedisServer::start().unwrap();
    let user = ["ACL", "SETUSER", "shop", "on", ">first", "~*", "&*", "+@all"];
    server.command(&user).unwrap();
    let mut config = config(&server);
    config.login = login(Some("shop"), "first");
    let backend = RedisBackend::connect(config).await.unwrap();
    server.command(&["ACL", "SETUSER", "shop", "resetpass", ">second"]).unwrap();
    server.command(&["CLIENT", "KILL", "USER", "shop"]).unwrap();
    crate::eventually("calls are rejected", async || {
        let error = backend.get(&key("k")).await.err();
        error.is_some_and(|error| error.kind() == ErrorKind::Rejected)
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_says_where() {
    let server = RedisServer::start().unwrap();
    let mut config = config(&server);
    (config.timeout, config.connect_timeout) =
        (Duration::from_millis(200), Duration::from_millis(200));
    server.kill().unwrap();
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_server_that_starts_meanwhile_is_waited_for() {
    let server = RedisServer::start().unwrap();
    let config = config(&server);
    server.kill().unwrap();
    let connecting = tokio::spawn(RedisBackend::connect(config));
    tokio::task::yield_now().await;
    server.restart().unwrap();
    assert!(connecting.await.unwrap().is_ok());
}

#[tokio::test]
async fn databases_are_apart() {
    let server = RedisServer::start().unwrap();
    let zero = RedisBackend::connect(config(&server)).await.unwrap();
    let mut config = config(&server);
    config.database = 3;
    let three = RedisBackend::connect(config).await.unwrap();
    assert!(three.write(&Write::put(key("k"), "three")).await.unwrap().is_applied());
    assert_eq!(zero.get(&key("k")).await.unwrap(), None);
    assert_eq!(three.get(&key("k")).await.unwrap().unwrap().value, "three");
}

#[tokio::test]
async fn a_replica_is_no_place_for_writes() {
    let primary = RedisServer::start().unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let mut config = config(&replica);
    (config.timeout, config.connect_timeout) =
        (Duration::from_millis(300), Duration::from_millis(300));
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("Replica"), "{error}");
}

#[tokio::test]
async fn a_primary_that_the_sentinels_do_not_know_is_named() {
    let group = RedisSentinel::start().unwrap();
    let address = |sentinel: &RedisServer| Address::tcp("127.0.0.1", sentinel.port());
    let config = RedisConfig::new(Servers::Sentinel {
        sentinels: group.sentinels().iter().map(address).collect(),
        primary: "nobody".to_owned(),
        login: Login::default(),
    });
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let single = || RedisConfig::new(Servers::Single(Address::tcp("127.0.0.1", 1)));
    let mut cases = vec![RedisConfig::new(Servers::Cluster(Vec::new()))];
    let mut cluster = RedisConfig::new(Servers::Cluster(vec![Address::tcp("h", 1)]));
    cluster.database = 1;
    cases.push(cluster);
    let changes: [fn(&mut RedisConfig); 4] = [
        |config| config.lanes = 0,
        |config| config.timeout = Duration::ZERO,
        |config| config.queue_len_max = 0,
        |config| config.durability = Acknowledged::ByReplicas(0),
    ];
    for change in changes {
        let mut config = single();
        change(&mut config);
        cases.push(config);
    }
    for config in cases {
        let error = RedisBackend::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    }
}

#[tokio::test]
async fn a_user_without_a_permission_is_rejected_and_the_write_is_not_made() {
    let server = RedisServer::start().unwrap();
    let user = ["ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-set"];
    server.command(&user).unwrap();
    let mut config = config(&server);
    config.login = login(Some("reader"), "pw");
    let backend = RedisBackend::connect(config).await.unwrap();
    let error = backend.transact(&[Write::put(key("k"), "v")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert!(!error.is_ambiguous(), "{error:?}");
    let error = backend.write(&Write::put(key("k"), "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert_eq!(backend.get(&key("k")).await.unwrap(), None);
}
