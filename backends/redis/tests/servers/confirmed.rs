//! Every answer of a write that waits for replicas is one that they confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Backend, Condition, ErrorKind, Key, Transacted, Ttl, Version, Write};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Acknowledged, RedisBackend};

use crate::{connect, key, namespace};

async fn waiting(server: &RedisServer) -> Arc<dyn Backend> {
    let mut config = crate::config(server);
    config.durability = Acknowledged::ByReplicas(1);
    Arc::new(RedisBackend::connect(config).await.unwrap())
}

/// What a call that changes nothing may find: an entry with a deadline, one without, a deleted one.
async fn places(backend: &dyn Backend) -> [Key; 4] {
    let keys = ["with a deadline", "without", "deleted", "absent"];
    let keys = keys.map(|name| key(&name.replace(' ', "-")));
    let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
    for (at, key) in keys.iter().enumerate().take(3) {
        let put = Write::put(key.clone(), "v");
        let put = if at == 0 { put.expiring(ttl) } else { put };
        assert!(backend.write(&put).await.unwrap().is_applied());
    }
    assert!(backend.write(&Write::delete(keys[2].clone())).await.unwrap().is_applied());
    keys
}

/// Calls that change nothing of what is under a key.
fn idle(key: &Key, live: bool) -> Vec<Vec<Write>> {
    let check = |condition| Write::check(key.clone(), condition);
    let put = |condition| Write::put(key.clone(), "other").only_if(condition);
    let stale = Condition::VersionIs(Version::MIN);
    let (holds, fails) = if live {
        (Condition::Present, Condition::Absent)
    } else {
        (Condition::Absent, Condition::Present)
    };
    let mut calls = vec![
        vec![check(Condition::Always)],
        vec![check(holds)],
        vec![check(fails)],
        vec![put(fails)],
        vec![put(stale)],
        vec![Write::delete(key.clone()).only_if(stale)],
    ];
    if !live {
        calls.push(vec![Write::delete(key.clone())]);
        calls.push(vec![Write::touch(key.clone(), None)]);
    }
    calls
}

/// How far the primary's changes go. It sends nothing else: it pings no replica.
fn offset(server: &RedisServer) -> u64 {
    server.stat("replication", "master_repl_offset").unwrap().parse().unwrap()
}

/// `WAIT` asks for the last change that its connection has made: a call without one would be
/// confirmed by nothing.
#[tokio::test]
async fn a_call_that_changes_nothing_leaves_replicas_something_to_confirm() {
    leaves_something_to_confirm(None).await;
}

/// It needs no memory.
#[tokio::test]
async fn a_call_that_changes_nothing_is_confirmed_on_a_full_server() {
    leaves_something_to_confirm(Some("1")).await;
}

/// What calls leave under an absent key is gone at once, also after several of them. The end of it
/// is sent to replicas, too.
fn until_absent(server: &RedisServer, place: &Key) {
    while server.value(place.as_str()).unwrap().is_some() {
        let left: i64 = server.command(&["PTTL", place.as_str()]).unwrap().parse().unwrap();
        assert!(left <= 1, "it stays for {left} ms");
    }
}

async fn leaves_something_to_confirm(maxmemory: Option<&str>) {
    let primary = RedisServer::builder().arg("repl-ping-replica-period", "3600");
    let primary = primary.start().unwrap();
    let _replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let (plain, waiting) = (connect(&primary).await, waiting(&primary).await);
    let places = places(&*plain).await;
    if let Some(maxmemory) = maxmemory {
        primary.command(&["CONFIG", "SET", "maxmemory", maxmemory]).unwrap();
    }
    let absent = places[3].clone();
    for (at, place) in places.into_iter().enumerate() {
        let before = plain.get(&place).await.unwrap();
        for writes in idle(&place, at < 2) {
            if at == 3 {
                until_absent(&primary, &place);
            }
            let sent = offset(&primary);
            let _ = plain.write(&writes[0]).await.unwrap();
            let _ = plain.transact(&writes).await.unwrap();
            let _ = plain.write_many(&writes).await.unwrap();
            assert_eq!(offset(&primary), sent, "it costs those nothing that wait for nobody");
            for way in ["write", "transact", "write_many"] {
                let sent = offset(&primary);
                match way {
                    "write" => drop(waiting.write(&writes[0]).await.unwrap()),
                    "transact" => drop(waiting.transact(&writes).await.unwrap()),
                    _ => drop(waiting.write_many(&writes).await.unwrap().remove(0).unwrap()),
                }
                assert!(offset(&primary) > sent, "{way} {writes:?} of {place:?}");
            }
        }
        let after = plain.get(&place).await.unwrap();
        let shown = |entry: &steadfast_backend::Entry| {
            (entry.value.clone(), entry.version, entry.left.is_some())
        };
        assert_eq!(before.as_ref().map(shown), after.as_ref().map(shown));
        if let (Some(before), Some(after)) = (before, after) {
            assert!(before.left >= after.left, "no deadline moves");
        }
    }
    // A scan may list what ends under way.
    until_absent(&primary, &absent);
    let request = steadfast_backend::ScanRequest {
        namespace: namespace(),
        after: None,
        limit: std::num::NonZeroUsize::new(100).unwrap(),
    };
    let keys = plain.scan(request).await.unwrap().keys;
    assert_eq!(keys.len(), 2, "none appears: {keys:?}");
}

/// The script calls some of them in rare cases only, which the start does not notice.
#[tokio::test]
async fn a_user_with_the_documented_commands_makes_every_call() {
    let primary = RedisServer::start().unwrap();
    let _replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let mut documented = include_str!("../../src/lib.rs").lines();
    let script = documented.find_map(|line| line.strip_prefix("//! | the script | `"));
    let script = script.unwrap().trim_end_matches("` |").split(' ').map(str::to_owned);
    let called = "PING TIME SCRIPT|LOAD GET MGET EVALSHA EVAL SCAN GETRANGE DBSIZE WAIT";
    let allowed = called.split(' ').map(str::to_owned).chain(script);
    let allowed: Vec<_> = allowed.map(|command| format!("+{command}")).collect();
    let mut rules = vec!["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "-@all"];
    rules.extend(allowed.iter().map(String::as_str));
    primary.command(&rules).unwrap();
    let url = format!("redis://app:pw@{}?timeout=10s&durability=replicas:1", primary.addr());
    let config = url.parse::<steadfast_redis::RedisConfig>().unwrap();
    let backend = RedisBackend::connect(config).await.unwrap();
    for (at, place) in places(&backend).await.into_iter().enumerate() {
        let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
        let mut calls = idle(&place, at < 2);
        calls.push(vec![Write::touch(place.clone(), Some(ttl))]);
        calls.push(vec![Write::touch(place.clone(), None)]);
        for writes in calls {
            let _ = backend.transact(&writes).await.unwrap();
            for answer in backend.write_many(&writes).await.unwrap() {
                let _ = answer.unwrap();
            }
        }
    }
    backend.check().await.unwrap();
}

#[tokio::test]
async fn nothing_is_answered_that_no_replica_confirms() {
    let primary = RedisServer::start().unwrap();
    let plain = connect(&primary).await;
    let mut config = crate::config(&primary);
    config.durability = Acknowledged::ByReplicas(1);
    config.timeout = Duration::from_millis(500);
    let waiting = RedisBackend::connect(config).await.unwrap();
    let unconfirmed = |error: steadfast_backend::Error, what: &str| {
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{what}: {error}");
        assert!(error.is_ambiguous(), "{what}: {error}");
    };
    let [live, _, _, absent] = places(&*plain).await;
    let claim = Write::put(live.clone(), "mine").only_if(Condition::Absent);
    unconfirmed(waiting.write(&claim).await.unwrap_err(), "a refusal");
    unconfirmed(
        waiting.transact(std::slice::from_ref(&claim)).await.unwrap_err(),
        "a refused transaction",
    );
    let delete = Write::delete(absent.clone());
    unconfirmed(waiting.write(&delete).await.unwrap_err(), "a delete of what is absent");
    let check = Write::check(live.clone(), Condition::Present);
    unconfirmed(waiting.write(&check).await.unwrap_err(), "a check");
    for answer in waiting.write_many(&[claim, delete, check]).await.unwrap() {
        unconfirmed(answer.unwrap_err(), "one of several");
    }
}

#[tokio::test]
async fn what_a_replica_confirms_is_answered_in_one_trip() {
    let primary = RedisServer::start().unwrap();
    let _replica = RedisServer::builder().replica_of(&primary).start().unwrap();
    let backend = waiting(&primary).await;
    let (a, b) = (key("a"), key("b"));
    let called = || -> BTreeMap<&str, u64> {
        let commands = ["eval", "evalsha", "wait"];
        commands.into_iter().map(|name| (name, primary.calls(name).unwrap())).collect()
    };
    assert!(backend.write(&Write::put(a.clone(), "v")).await.unwrap().is_applied());
    let before = called();
    assert!(backend.write(&Write::put(a.clone(), "v")).await.unwrap().is_applied());
    let claim = Write::put(a.clone(), "v").only_if(Condition::Absent);
    assert!(!backend.write(&claim).await.unwrap().is_applied());
    assert!(backend.write(&Write::delete(b.clone())).await.unwrap().is_applied());
    let both = [Write::put(a.clone(), "v"), Write::put(b.clone(), "v")];
    assert!(matches!(backend.transact(&both).await.unwrap(), Transacted::Applied { .. }));
    let after = called();
    let grown = after.iter().map(|(name, count)| (*name, count - before[name]));
    assert_eq!(grown.collect::<Vec<_>>(), [("eval", 0), ("evalsha", 4), ("wait", 4)]);
}
