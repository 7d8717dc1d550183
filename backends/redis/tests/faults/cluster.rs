//! A Cluster whose slots move and whose servers fail.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Backend, Condition, ErrorKind, Group, Key, Namespace, ScanRequest, Write};
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_redis::{Address, Servers};
use tokio::time::Instant;

use crate::load::{Loss, under_load};
use crate::{TIMEOUT, connect};

async fn connected(cluster: &RedisCluster) -> Arc<dyn Backend> {
    let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
    connect(Servers::Cluster(cluster.nodes().iter().map(node).collect())).await
}

/// The key that a caller under load uses.
fn register(caller: &str) -> Key {
    let (namespace, group) = (Namespace::new("faults").unwrap(), Group::new(caller).unwrap());
    Key::new(&namespace, &group, "register").unwrap()
}

/// The slots of the keys that the callers under load use.
fn slots_under_load(cluster: &RedisCluster) -> Vec<u16> {
    let key = |caller| register(&format!("caller-{caller}"));
    let slot = |caller| cluster.slot_of(key(caller).as_str()).unwrap();
    let mut slots: Vec<u16> = (0..16).map(slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_are_followed_without_an_error() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let backend = connected(&cluster).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        tokio::task::block_in_place(|| {
            for slot in slots_under_load(&cluster) {
                let owner = cluster.slot_owner(slot).unwrap();
                cluster.move_slot(slot, (owner + 1) % 3).unwrap();
            }
        });
    })
    .await;
    assert!(report.kinds.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_midst_of_a_move_single_keys_work_on_both_sides() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let backend = connected(&cluster).await;
    let (namespace, group) = (Namespace::new("moving").unwrap(), Group::new("g").unwrap());
    let key = |name: &str| Key::new(&namespace, &group, name).unwrap();
    for name in ["there", "stays", "gone"] {
        assert!(backend.write(&Write::put(key(name), name.to_owned())).await.unwrap().is_applied());
    }
    let slot = cluster.slot_of(key("there").as_str()).unwrap();
    let to = (cluster.slot_owner(slot).unwrap() + 1) % 3;
    let moving = cluster.begin_move(slot, to).unwrap();
    // Nothing has moved yet: what is absent is asked for on the other side.
    assert!(backend.get(&key("there")).await.unwrap().is_some());
    assert!(backend.get(&key("absent")).await.unwrap().is_none());
    assert!(backend.write(&Write::put(key("new"), "new")).await.unwrap().is_applied());
    assert_eq!(backend.get(&key("new")).await.unwrap().unwrap().value, "new");
    assert!(moving.move_keys(1).unwrap() > 0);
    for name in ["there", "stays", "gone", "new"] {
        assert!(backend.get(&key(name)).await.unwrap().is_some(), "{name}");
        let put = Write::put(key(name), "changed");
        assert!(backend.write(&put).await.unwrap().is_applied(), "{name}");
    }
    // On the side that it may leave at any time, and on the other.
    for name in ["gone", "there"] {
        let delete = Write::delete(key(name)).only_if(Condition::Present);
        assert!(backend.write(&delete).await.unwrap().is_applied(), "{name}");
    }
    moving.finish().unwrap();
    for (name, there) in [("there", false), ("stays", true), ("gone", false), ("new", true)] {
        assert_eq!(backend.get(&key(name)).await.unwrap().is_some(), there, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_keys_that_are_torn_apart_waits_and_is_never_half_made() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let backend = connected(&cluster).await;
    let (namespace, group) = (Namespace::new("torn").unwrap(), Group::new("g").unwrap());
    let keys: Vec<_> =
        ["a", "b"].iter().map(|name| Key::new(&namespace, &group, name).unwrap()).collect();
    let puts = |value: &str| -> Vec<_> {
        keys.iter().map(|key| Write::put(key.clone(), value.to_owned())).collect()
    };
    let _made = backend.transact(&puts("before")).await.unwrap();
    let slot = cluster.slot_of(keys[0].as_str()).unwrap();
    let to = (cluster.slot_owner(slot).unwrap() + 1) % 3;
    let moving = cluster.begin_move(slot, to).unwrap();
    assert_eq!(moving.move_keys(1).unwrap(), 1);
    let error = backend.transact(&puts("torn")).await.unwrap_err();
    assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    let (waiting, values) = (Arc::clone(&backend), puts("after"));
    let waiting = tokio::spawn(async move { waiting.transact(&values).await });
    moving.finish().unwrap();
    let _made = waiting.await.unwrap().unwrap();
    for entry in backend.get_many(&keys).await.unwrap() {
        assert_eq!(entry.unwrap().value, "after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_killed_is_replaced_by_its_replica() {
    let cluster = RedisCluster::start(3, 1).unwrap();
    let backend = connected(&cluster).await;
    let key = register("caller-0");
    let owner = cluster.slot_owner(cluster.slot_of(key.as_str()).unwrap()).unwrap();
    let number = backend.endpoint(&key);
    let report = under_load(&backend, TIMEOUT, Loss::Anything, async {
        cluster.nodes()[owner].kill().unwrap();
        tokio::task::block_in_place(|| cluster.wait_settled()).unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Unavailable), "{report:?}");
    // Whoever counts failures by it would count those of the dead one.
    assert_ne!(backend.endpoint(&key), number);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_nobody_serves_are_no_failure_of_a_server() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let backend = connected(&cluster).await;
    let key = register("unserved");
    let slot = cluster.slot_of(key.as_str()).unwrap();
    let others = (0..64).map(|group| register(&group.to_string()));
    let served: BTreeSet<_> = others.map(|key| backend.endpoint(&key)).collect();
    assert_eq!(served.len(), 3);
    let owner = cluster.slot_owner(slot).unwrap();
    let others = (0..3).filter(|node| *node != owner);
    for node in std::iter::once(owner).chain(others).map(|node| &cluster.nodes()[node]) {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).unwrap();
        node.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while served.contains(&backend.endpoint(&key)) {
        assert!(Instant::now() < deadline, "the map is never read again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(backend.get(&key).await.unwrap_err().is_outage());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_servers_share_a_number_after_a_failover() {
    let cluster = RedisCluster::start(3, 1).unwrap();
    let backend = connected(&cluster).await;
    // A key on each of the primaries, found by their owners.
    let namespace = Namespace::new("numbers").unwrap();
    let owner = |key: &Key| cluster.slot_owner(cluster.slot_of(key.as_str()).unwrap()).unwrap();
    let mut keys = BTreeMap::new();
    for group in 0..64 {
        let group = Group::new(&group.to_string()).unwrap();
        let key = Key::new(&namespace, &group, "k").unwrap();
        keys.entry(owner(&key)).or_insert(key);
    }
    let numbers = || keys.values().map(|key| backend.endpoint(key)).collect::<BTreeSet<_>>();
    assert_eq!((keys.len(), numbers().len()), (3, 3));
    let first = keys.values().min_by_key(|key| backend.endpoint(key)).unwrap();
    let page =
        |after| ScanRequest { namespace: namespace.clone(), after, limit: NonZero::<usize>::MIN };
    let cursor = backend.scan(page(None)).await.unwrap().next;
    let old = owner(first);
    tokio::task::block_in_place(|| cluster.failover(3 + old)).unwrap();
    assert_ne!(owner(first), old);
    // Nobody is sent to the new server before the map is read, which ends what was being listed.
    let deadline = Instant::now() + Duration::from_secs(20);
    while backend.scan(page(cursor.clone())).await.is_ok() {
        assert!(Instant::now() < deadline, "the map is never read again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(numbers().len(), 3, "{:?}", numbers());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_groups_in_one_transaction_are_refused_before_anything_is_sent() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let backend = connected(&cluster).await;
    let namespace = Namespace::new("groups").unwrap();
    let put = |group: &str| {
        Write::put(Key::new(&namespace, &Group::new(group).unwrap(), "k").unwrap(), "v")
    };
    let calls = |cluster: &RedisCluster| {
        let calls = cluster.nodes().iter().map(|node| node.calls("evalsha").unwrap());
        calls.sum::<u64>()
    };
    let before = calls(&cluster);
    let error = backend.transact(&[put("one"), put("two")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert_eq!(calls(&cluster), before);
}
