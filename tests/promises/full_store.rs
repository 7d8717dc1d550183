//! A store that is full keeps nobody in: whatever only ends something works there.

use std::sync::Arc;

use steadfast::backend::{Backend, ErrorKind, Group, ManualClock};
use steadfast::idempotency::Release;
use steadfast::session::{SessionError, SessionId};
use steadfast::sled::{Options, SledBackend, SledConfig};
use steadfast::{Sessions, Store};

use crate::fault::Faulty;
use crate::world::{
    Basket, LEASE, Receipt, World, acquired, alice, on_every_backend, pay, sessions,
};

on_every_backend!(what_ends_something_needs_no_room);

async fn what_ends_something_needs_no_room(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    all_can_leave(&faulty.store(), |is_full| faulty.full(is_full)).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn all_can_leave_a_redis_at_its_maxmemory() {
    let server = steadfast_conformance::servers::RedisServer::start().unwrap();
    let connected = steadfast::connect(&format!("{}?timeout=20s", server.url())).await.unwrap();
    let set = |bytes: &str| server.command(&["CONFIG", "SET", "maxmemory", bytes]).unwrap();
    all_can_leave(&Store::builder(connected).build().unwrap(), |is_full| {
        set(if is_full { "1" } else { "0" });
    })
    .await;
}

/// Checks until there are these warnings and no others: a busy machine may keep the write that is
/// tried from being answered within its second, which is a warning, too.
#[cfg(feature = "redis")]
async fn until_warned(store: &Store, named: &[&str]) {
    crate::world::until(&format!("warnings of {named:?}"), async || {
        let warnings = store.check().await.unwrap().warnings;
        let pairs = warnings.iter().zip(named);
        warnings.len() == named.len() && pairs.into_iter().all(|(text, word)| text.contains(word))
    })
    .await;
}

/// Whatever keeps writes from being made or confirmed; reads go on.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_check_warns_where_no_write_is_possible() {
    let server = steadfast_conformance::servers::RedisServer::start().unwrap();
    let connected = steadfast::connect(&format!("{}?timeout=20s", server.url())).await.unwrap();
    let store = Store::builder(connected).build().unwrap();
    until_warned(&store, &[]).await;
    for (setting, bad, good, named) in
        [("maxmemory", "1", "0", "maxmemory"), ("min-replicas-to-write", "1", "0", "replicas")]
    {
        server.command(&["CONFIG", "SET", setting, bad]).unwrap();
        until_warned(&store, &[named]).await;
        server.command(&["CONFIG", "SET", setting, good]).unwrap();
        until_warned(&store, &[]).await;
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_check_tries_each_server_of_a_cluster() {
    let cluster = steadfast_conformance::servers::RedisCluster::start(2, 0).unwrap();
    let connected = steadfast::connect(&format!("{}?timeout=20s", cluster.url())).await.unwrap();
    let store = Store::builder(connected).build().unwrap();
    until_warned(&store, &[]).await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        until_warned(&store, &["maxmemory"]).await;
        node.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_check_overwrites_nothing_that_a_user_can_name() {
    let server = steadfast_conformance::servers::RedisServer::start().unwrap();
    let connected = steadfast::connect(&format!("{}?timeout=20s", server.url())).await.unwrap();
    let store = Store::builder(connected).build().unwrap();
    store.check().await.unwrap();
    let written = server.command(&["RANDOMKEY"]).unwrap();
    let (_namespace, key) = written.split_once(":v1:").unwrap();
    let (kind, _group_and_name) = key.split_once(":{").unwrap();
    assert!(store.key(kind, &Group::new("0").unwrap(), "trial").is_err(), "{kind}");
}

/// Two sessions of alice's, one of nobody's, and a key that is claimed.
async fn all_can_leave(store: &Store, full: impl Fn(bool)) {
    let sessions = sessions(store);
    let payments = steadfast::Idempotency::<Receipt>::builder(store).lease(LEASE).build().unwrap();
    let anonymous = sessions.create(Basket::default()).await.unwrap().id;
    let laptop = signed_in(&sessions, "laptop").await;
    let phone = signed_in(&sessions, "phone").await;
    let tablet = signed_in(&sessions, "tablet").await;
    let claim = acquired(pay(&payments).await.unwrap());
    let key = store.key("note", &Group::new("g").unwrap(), "k").unwrap();
    assert!(
        store
            .write(&store.put_write(&key, &Basket::default()).unwrap())
            .await
            .unwrap()
            .is_applied()
    );

    full(true);
    let more = sessions.create(Basket::default()).await.unwrap_err();
    assert_eq!(more.kind(), ErrorKind::Full, "{more:?}");

    for id in [&anonymous, &laptop] {
        sessions.destroy(id).await.unwrap();
        assert!(sessions.load(id).await.unwrap().is_none());
    }
    let devices = sessions.devices(&alice(), Some(&tablet)).await.unwrap();
    let labels: Vec<_> = devices.iter().map(|device| device.label.as_str()).collect();
    assert_eq!(labels, ["phone", "tablet"], "what has ended is not shown");
    assert!(sessions.destroy_device(&alice(), &devices[0].short_id).await.unwrap());
    assert!(sessions.load(&phone).await.unwrap().is_none());
    assert!(sessions.load(&tablet).await.unwrap().is_some(), "the others go on");
    sessions.destroy_all(&alice()).await.unwrap();
    assert!(sessions.load(&tablet).await.unwrap().is_none());
    assert_eq!(claim.release().await.unwrap(), Release::Released);
    store.delete(&key).await.unwrap();

    full(false);
    let again = signed_in(&sessions, "laptop").await;
    for ended in [&anonymous, &laptop, &phone, &tablet] {
        assert!(sessions.load(ended).await.unwrap().is_none());
    }
    assert_eq!(sessions.devices(&alice(), Some(&again)).await.unwrap().len(), 1);
    let _claimed_anew = acquired(pay(&payments).await.unwrap());
}

async fn signed_in(sessions: &Sessions<Basket>, label: &str) -> SessionId {
    sessions.sign_in(&alice(), label, Basket::default()).await.unwrap().id
}

#[tokio::test]
async fn all_can_leave_a_sled_that_has_only_its_reserve_left() {
    let dir = tempfile::tempdir().unwrap();
    let open = |reserve_bytes| {
        let config = SledConfig::new(dir.path()).reserve_bytes(reserve_bytes);
        let options = Options { clock: ManualClock::at_us(1 << 50), sweep_every: None };
        Arc::new(SledBackend::open_with(config, options).unwrap())
    };
    let store = |backend: &Arc<SledBackend>| Store::builder(backend.clone()).build().unwrap();
    let backend = open(0);
    let sessions_before = sessions(&store(&backend));
    let laptop = signed_in(&sessions_before, "laptop").await;
    let phone = signed_in(&sessions_before, "phone").await;
    drop(sessions_before);
    backend.close().await.unwrap();
    drop(backend);
    let store = store(&open(u64::MAX / 4));
    let warnings = store.check().await.unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("reserve")), "{warnings:?}");
    let sessions = sessions(&store);
    let more = sessions.sign_in(&alice(), "tablet", Basket::default()).await.unwrap_err();
    assert!(matches!(more, SessionError::Store(error) if error.kind() == ErrorKind::Full));
    sessions.destroy(&laptop).await.unwrap();
    assert!(sessions.load(&laptop).await.unwrap().is_none());
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
    sessions.destroy_all(&alice()).await.unwrap();
    assert!(sessions.load(&phone).await.unwrap().is_none());
}
