use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_backend::{Backend, Condition, Group, Key, Namespace, Ttl, Watcher, Write};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

use crate::{connect, eventually, key, namespace};

/// Keeps what it was told.
#[derive(Debug, Default)]
struct Heard {
    keys: Mutex<Vec<Key>>,
    everything: Mutex<usize>,
    told_until: Mutex<Option<Instant>>,
    proofs: Mutex<usize>,
}

impl Watcher for Heard {
    fn changed(&self, key: &Key) {
        self.keys.lock().unwrap().push(key.clone());
    }

    fn everything(&self) {
        *self.everything.lock().unwrap() += 1;
    }

    fn told_until(&self, moment: Instant) {
        *self.told_until.lock().unwrap() = Some(moment);
        *self.proofs.lock().unwrap() += 1;
    }
}

impl Heard {
    fn heard(&self, key: &Key) -> bool {
        self.keys.lock().unwrap().contains(key)
    }

    fn everything(&self) -> usize {
        *self.everything.lock().unwrap()
    }

    fn told_until(&self) -> Option<Instant> {
        *self.told_until.lock().unwrap()
    }
}

#[tokio::test]
async fn every_change_of_others_is_told() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (connect(&server).await, connect(&server).await);
    let heard = Arc::new(Heard::default());
    let watch = here.watch(&namespace(), heard.clone()).await.unwrap();
    let [put, touched, deleted, expiring] = ["put", "touched", "deleted", "expiring"].map(key);
    for key in [&put, &touched, &deleted, &expiring] {
        assert!(there.write(&Write::put(key.clone(), "v")).await.unwrap().is_applied());
        eventually("a put is told", async || heard.heard(key)).await;
    }
    heard.keys.lock().unwrap().clear();
    assert!(there.write(&Write::touch(touched.clone(), None)).await.unwrap().is_applied());
    assert!(there.write(&Write::delete(deleted.clone())).await.unwrap().is_applied());
    let ttl = Ttl::new(Duration::from_millis(20)).unwrap();
    assert!(there.write(&Write::touch(expiring.clone(), Some(ttl))).await.unwrap().is_applied());
    eventually("a touch is told", async || heard.heard(&touched)).await;
    eventually("a delete is told", async || heard.heard(&deleted)).await;
    eventually("the touch of an expiring entry is told", async || heard.heard(&expiring)).await;
    heard.keys.lock().unwrap().clear();
    eventually("an expiry is told", async || {
        assert!(there.get(&put).await.unwrap().is_some());
        let _ = there.get(&expiring).await.unwrap();
        heard.heard(&expiring)
    })
    .await;
    assert!(!heard.heard(&put), "a read was told as a change");
    drop(watch);
}

#[tokio::test]
async fn changes_elsewhere_and_refused_writes_are_not_told() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    let heard = Arc::new(Heard::default());
    let _watch = backend.watch(&namespace(), heard.clone()).await.unwrap();
    let elsewhere = Namespace::new("servers-elsewhere").unwrap();
    let elsewhere = Key::new(&elsewhere, &Group::new("g").unwrap(), "k").unwrap();
    assert!(backend.write(&Write::put(elsewhere.clone(), "v")).await.unwrap().is_applied());
    let refused = Write::put(key("refused"), "v").only_if(Condition::Present);
    assert!(!backend.write(&refused).await.unwrap().is_applied());
    let last = key("last");
    assert!(backend.write(&Write::put(last.clone(), "v")).await.unwrap().is_applied());
    eventually("the last put is told", async || heard.heard(&last)).await;
    assert!(!heard.heard(&elsewhere) && !heard.heard(&key("refused")), "{heard:?}");
}

#[tokio::test]
async fn an_emptied_server_and_a_lost_link_are_everything() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let servers = Servers::Single(Address::tcp("127.0.0.1", proxy.addr().port()));
    let backend = RedisBackend::connect(RedisConfig::new(servers)).await.unwrap();
    let heard = Arc::new(Heard::default());
    let _watch = backend.watch(&namespace(), heard.clone()).await.unwrap();
    let before = heard.everything();
    server.command(&["FLUSHALL"]).unwrap();
    eventually("a flush is told", async || heard.everything() > before).await;
    let before = heard.everything();
    proxy.cut();
    eventually("a lost link is told", async || heard.everything() > before).await;
    let (before, asked) = (heard.everything(), Instant::now());
    proxy.heal();
    eventually("a new link is told", async || heard.everything() > before).await;
    eventually("it is up to date again", async || heard.told_until() > Some(asked)).await;
    let again = key("again");
    eventually("the backend is back", async || {
        backend.write(&Write::put(again.clone(), "v")).await.is_ok()
    })
    .await;
    eventually("changes are told again", async || heard.heard(&again)).await;
}

#[tokio::test]
async fn a_link_that_is_silent_proves_nothing() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let servers = Servers::Single(Address::tcp("127.0.0.1", proxy.addr().port()));
    let backend = RedisBackend::connect(RedisConfig::new(servers)).await.unwrap();
    let heard = Arc::new(Heard::default());
    let _watch = backend.watch(&namespace(), heard.clone()).await.unwrap();
    let first = heard.told_until();
    eventually("it is proved again and again", async || heard.told_until() > first).await;
    proxy.stall();
    let (stalled, before) = (Instant::now(), heard.everything());
    eventually("the silent link is given up", async || heard.everything() > before).await;
    assert!(heard.told_until() < Some(stalled), "proved over a link that was silent");
}

#[tokio::test]
async fn all_primaries_of_a_cluster_tell() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
    let servers = Servers::Cluster(cluster.nodes().iter().map(node).collect());
    let backend = RedisBackend::connect(RedisConfig::new(servers)).await.unwrap();
    let heard = Arc::new(Heard::default());
    let _watch = backend.watch(&namespace(), heard.clone()).await.unwrap();
    let mut endpoints = BTreeSet::new();
    for number in 0..16 {
        let group = Group::new(&number.to_string()).unwrap();
        let key = Key::new(&namespace(), &group, "k").unwrap();
        assert!(backend.write(&Write::put(key.clone(), "v")).await.unwrap().is_applied());
        eventually("a change of any slot is told", async || heard.heard(&key)).await;
        endpoints.insert(backend.endpoint(&key));
    }
    assert_eq!(endpoints.len(), 3, "the primaries of 16 keys");
    let asked = Instant::now();
    eventually("all of them are up to date", async || heard.told_until() > Some(asked)).await;
}

/// A node without a slot is on no map, so it tells nobody what is changed in its first one.
#[tokio::test]
async fn nothing_is_proved_while_keys_are_on_their_way_to_a_new_node() {
    let cluster = RedisCluster::start(1, 1).unwrap();
    let [old, new] = cluster.nodes() else { panic!("there are two") };
    new.command(&["CLUSTER", "RESET", "SOFT"]).unwrap();
    new.command(&["CLUSTER", "MEET", "127.0.0.1", &old.port().to_string()]).unwrap();
    let id = new.command(&["CLUSTER", "MYID"]).unwrap();
    eventually("the replica is a new node", async || {
        let seen = old.command(&["CLUSTER", "NODES"]).unwrap();
        let of_new = seen.lines().find(|line| line.starts_with(&id));
        of_new.is_some_and(|line| line.contains("master") && line.contains(" connected"))
    })
    .await;
    cluster.wait_settled().unwrap();

    let backend = connect_to(old).await;
    let heard = Arc::new(Heard::default());
    let _watch = backend.watch(&namespace(), heard.clone()).await.unwrap();
    let key = key("k");
    assert!(backend.write(&Write::put(key.clone(), "v")).await.unwrap().is_applied());
    let moving = cluster.begin_move(cluster.slot_of(key.as_str()).unwrap(), 1).unwrap();
    assert_eq!(moving.move_keys(100).unwrap(), 1);
    assert!(backend.get(&key).await.unwrap().is_some());
    let asked = Instant::now();
    let proofs = || *heard.proofs.lock().unwrap();
    let before = proofs();
    eventually("the old node tells on", async || proofs() > before + 3).await;
    assert!(heard.told_until() < Some(asked), "proved without the new node");
    moving.finish().unwrap();
    eventually("it is proved again", async || heard.told_until() > Some(asked)).await;
}

async fn connect_to(node: &RedisServer) -> RedisBackend {
    let servers = Servers::Cluster(vec![Address::tcp("127.0.0.1", node.port())]);
    let mut config = RedisConfig::new(servers);
    config.timeout = Duration::from_secs(10); // a busy machine
    RedisBackend::connect(config).await.unwrap()
}
