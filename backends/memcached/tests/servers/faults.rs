//! Servers that die, stand still or hear and do not answer. Whatever happens, a call is answered
//! within its timeout and a tenth, an outage is never a miss, and no restart of this side is
//! needed.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use steadfast_backend::{Backend, Condition, Error, ErrorKind, Write};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

use crate::common::{config, connect, get, key, put, secs, until, until_it_answers, until_out};

const TIMEOUT: Duration = Duration::from_millis(400);
const RECOVERY_MAX: Duration = Duration::from_secs(2);

async fn impatient(address: impl ToString) -> MemcachedBackend {
    let config = MemcachedConfig::new(address.to_string()).timeout(TIMEOUT);
    MemcachedBackend::connect(config).await.unwrap()
}

/// The call must end within the timeout and a tenth. A busy machine makes this late as well, and
/// the call is looked at first.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT * 11 / 10, call).await.unwrap()
}

/// The call must wait for nothing at all.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().unwrap()
}

/// Makes a read and a write that must fail in time, and returns how.
async fn fail_in_time(backend: &MemcachedBackend) -> [Error; 2] {
    let read = in_time(backend.get(&key("k"))).await.unwrap_err();
    let write = in_time(backend.write(&Write::put(key("k"), "lost"))).await.unwrap_err();
    assert!(!read.is_ambiguous(), "a read is ambiguous: {read}");
    for error in [&read, &write] {
        assert!(error.is_outage(), "{error:?}");
    }
    [read, write]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_out_and_is_used_again_within_two_seconds() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    for round in 0..3 {
        put(&backend, Write::put(key("k"), "v")).await;
        server.kill().unwrap();
        let error = until_out(&backend, &key("k")).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
        server.restart().unwrap();
        let took = until_it_answers(&backend, &key("k")).await;
        assert!(took < RECOVERY_MAX, "round {round}: back after {took:?}");
        assert_eq!(backend.get(&key("k")).await.unwrap(), None, "of an empty server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_fails_at_once_while_the_server_is_out() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    server.kill().unwrap();
    until_out(&backend, &key("k")).await;
    for _ in 0..100 {
        let (key, keys) = (key("k"), [key("k"), key("l")]);
        assert!(at_once(backend.get(&key)).unwrap_err().is_outage());
        let write = at_once(backend.write(&Write::put(key.clone(), "v"))).unwrap_err();
        assert!(!write.is_ambiguous(), "nothing was sent: {write}");
        at_once(backend.get_many(&keys)).unwrap_err();
        at_once(backend.check()).unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_server_is_seen_before_anybody_calls() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    server.kill().unwrap();
    // The debug text asks nobody.
    let took = until(|| async { format!("{backend:?}").contains("is out") }).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_out_after_the_timeout() {
    let server = MemcachedServer::start().unwrap();
    let backend = impatient(server.addr()).await;
    let version = put(&backend, Write::put(key("kept"), "v")).await;
    server.pause().unwrap();
    let [read, write] = fail_in_time(&backend).await;
    assert_eq!(read.kind(), ErrorKind::Timeout);
    assert!(write.is_ambiguous() || write.to_string().contains("is out"), "{write}");
    until_out(&backend, &key("k")).await;
    server.resume().unwrap();
    let took = until_it_answers(&backend, &key("kept")).await;
    assert!(took < RECOVERY_MAX, "back after {took:?}");
    assert_eq!(get(&backend, &key("kept")).await.version, version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_answer_has_the_server_looked_at_at_once() {
    const QUICK: Duration = Duration::from_millis(200);
    let server = MemcachedServer::start().unwrap();
    let config = MemcachedConfig::new(server.addr().to_string()).timeout(QUICK);
    let backend = MemcachedBackend::connect(config).await.unwrap();
    for round in 0..3 {
        server.pause().unwrap();
        backend.get(&key("k")).await.unwrap_err();
        let took = until(|| async { format!("{backend:?}").contains("is out") }).await;
        server.resume().unwrap();
        // Otherwise it is looked at once a second.
        assert!(took < QUICK * 3, "round {round}: out after {took:?}");
        until_it_answers(&backend, &key("k")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_stalls_is_out_after_the_timeout() {
    let server = MemcachedServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let backend = impatient(proxy.addr()).await;
    put(&backend, Write::put(key("k"), "v")).await;
    proxy.stall();
    fail_in_time(&backend).await;
    until_out(&backend, &key("k")).await;
    fail_in_time(&backend).await;
    proxy.heal();
    let took = until_it_answers(&backend, &key("k")).await;
    assert!(took < RECOVERY_MAX, "back after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_connection_is_answered_in_time_too() {
    let server = MemcachedServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let config = MemcachedConfig::new(proxy.addr().to_string()).timeout(TIMEOUT).connections(1);
    let backend = MemcachedBackend::connect(config).await.unwrap();
    put(&backend, Write::put(key("k"), "v")).await;
    proxy.stall();
    let (key, writes) = (key("k"), [0; 8].map(|_| Write::put(key("k"), "v")));
    let (first, writes, last) = tokio::join!(
        in_time(backend.get(&key)),
        in_time(backend.write_many(&writes)),
        in_time(backend.get(&key)),
    );
    assert!(first.is_err() && last.is_err());
    let writes = writes.unwrap();
    let ambiguous = writes.iter().filter(|it| it.as_ref().unwrap_err().is_ambiguous()).count();
    assert!(ambiguous <= 1, "{ambiguous} of 8 writes are ambiguous, over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_ambiguous_and_was_made() {
    let server = MemcachedServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let backend = connect(&server).await;
    let cut_off = impatient(proxy.addr()).await;
    let version = put(&backend, Write::put(key("k"), "v")).await;
    let writes = [
        Write::put(key("k"), "new").only_if(Condition::VersionIs(version)),
        Write::touch(key("k"), Some(secs(60))),
        Write::delete(key("k")),
    ];
    for write in writes {
        until_it_answers(&cut_off, &key("k")).await;
        let started = Instant::now();
        // The connection that watches over the server must not use it up.
        let error = loop {
            assert!(started.elapsed() < Duration::from_secs(30), "no answer is lost");
            proxy.swallow_next_reply();
            match cut_off.write(&write.clone()).await {
                Err(error) if error.to_string().contains("is out") => {
                    until_it_answers(&cut_off, &key("k")).await;
                }
                Err(error) => break error,
                Ok(_) => {}
            }
        };
        assert!(error.is_outage() && error.is_ambiguous(), "{write:?}: {error:?}");
    }
    assert_eq!(backend.get(&key("k")).await.unwrap(), None, "the last one was a delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_answer_is_lost_is_not_ambiguous() {
    let server = MemcachedServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let backend = impatient(proxy.addr()).await;
    put(&backend, Write::put(key("k"), "v")).await;
    proxy.swallow_replies();
    let calls = [
        backend.get(&key("k")).await.map(drop),
        backend.get_many(&[key("k"), key("l")]).await.map(drop),
        backend.write(&Write::check(key("k"), Condition::Absent)).await.map(drop),
        backend.write(&Write::delete(key("k")).only_if(Condition::Absent)).await.map(drop),
    ];
    for call in calls {
        let error = call.unwrap_err();
        assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_keys_of_the_failing_server_fail_and_they_go_nowhere_else() {
    let servers: Vec<_> = (0..3).map(|_| MemcachedServer::start().unwrap()).collect();
    let backend = MemcachedBackend::connect(config(&servers)).await.unwrap();
    let keys: Vec<_> = (0..60).map(|number| key(&number.to_string())).collect();
    for key in &keys {
        put(&backend, Write::put(key.clone(), "v")).await;
    }
    servers[1].kill().unwrap();
    let dead = until_dead(&backend, &keys).await;
    assert!((5..40).contains(&dead.len()), "{} of 60 keys fail", dead.len());
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(backend.endpoint(key) == 1, dead.contains(&number), "the server of {number}");
    }
    let health = backend.check().await.unwrap();
    let named = |text: &String| text.contains(&servers[1].addr().to_string());
    assert!(health.warnings.iter().any(named), "{health:?}");
    assert!(backend.get_many(&keys).await.unwrap_err().is_outage(), "an outage is not a miss");
    servers[1].restart().unwrap();
    until_it_answers(&backend, &keys[dead[0]]).await;
    for (number, key) in keys.iter().enumerate() {
        let found = backend.get(key).await.unwrap().is_some();
        assert_eq!(found, !dead.contains(&number), "whether {number} is there");
    }
    assert!(!backend.check().await.unwrap().warnings.iter().any(named));
}

/// The positions of the keys that fail.
async fn until_dead(backend: &MemcachedBackend, keys: &[steadfast_backend::Key]) -> Vec<usize> {
    until(|| async { format!("{backend:?}").contains("is out") }).await;
    let mut dead = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        if backend.get(key).await.is_err() {
            dead.push(number);
        }
    }
    dead
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_is_used_when_it_comes() {
    let servers: Vec<_> = (0..2).map(|_| MemcachedServer::start().unwrap()).collect();
    servers[1].kill().unwrap();
    let backend = MemcachedBackend::connect(config(&servers)).await.unwrap();
    let keys: Vec<_> = (0..20).map(|number| key(&number.to_string())).collect();
    let dead = until_dead(&backend, &keys).await;
    assert!(!dead.is_empty() && dead.len() < 20);
    servers[1].restart().unwrap();
    let took = until_it_answers(&backend, &keys[dead[0]]).await;
    assert!(took < RECOVERY_MAX, "used after {took:?}");
    assert_eq!(backend.get_many(&keys).await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_server_has_misses() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    put(&backend, Write::put(key("k"), "v")).await;
    assert_eq!(server.command("flush_all").unwrap(), "OK\r\n");
    assert_eq!(backend.get(&key("k")).await.unwrap(), None);
}
