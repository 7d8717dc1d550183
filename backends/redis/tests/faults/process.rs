//! The server itself.

use std::time::Duration;

use steadfast_backend::ErrorKind;
use steadfast_conformance::servers::RedisServer;

use crate::load::{Loss, under_load};
use crate::{PATIENT, TIMEOUT, connect_patiently, connect_to};

/// Long enough for the watchdog to notice, and for pauses between attempts to grow.
const OUTAGE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_it_loses_nothing_that_it_had_on_disk() {
    let server = RedisServer::builder().persist().arg("appendfsync", "always").start().unwrap();
    let backend = connect_to(server.addr()).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        server.kill().unwrap();
        tokio::time::sleep(OUTAGE).await;
        server.restart().unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Unavailable), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_without_a_disk_it_is_empty_and_nothing_else() {
    let server = RedisServer::start().unwrap();
    let backend = connect_to(server.addr()).await;
    under_load(&backend, TIMEOUT, Loss::Anything, async {
        server.kill().unwrap();
        server.restart().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_for_long_it_times_out_and_comes_back() {
    let server = RedisServer::start().unwrap();
    let backend = connect_to(server.addr()).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        server.pause().unwrap();
        tokio::time::sleep(OUTAGE).await;
        server.resume().unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Timeout) && report.ambiguous > 0, "{report:?}");
    // Once the links are given up, nobody waits for the deadline any more.
    assert!(report.met(ErrorKind::Unavailable), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_for_a_moment_it_loses_no_link() {
    let server = RedisServer::start().unwrap();
    let backend = connect_patiently(&server).await;
    let connections = || server.stat("stats", "total_connections_received").unwrap();
    let mut before = String::new();
    let report = under_load(&backend, PATIENT, Loss::Nothing, async {
        before = connections();
        server.pause().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.resume().unwrap();
    })
    .await;
    assert_eq!(report.ambiguous, 0, "{report:?}");
    // Each question of ours is a connection, too.
    let opened = connections().parse::<u64>().unwrap() - before.parse::<u64>().unwrap();
    assert!(opened <= 2, "{opened} connections were opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_it_is_empty_and_no_write_is_made_on_what_was() {
    let server = RedisServer::start().unwrap();
    let backend = connect_patiently(&server).await;
    let report = under_load(&backend, PATIENT, Loss::Anything, async {
        for _flush in 0..20 {
            server.command(&["FLUSHALL"]).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(report.kinds.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_scripts_it_is_given_them_again() {
    let server = RedisServer::start().unwrap();
    let backend = connect_patiently(&server).await;
    let report = under_load(&backend, PATIENT, Loss::Nothing, async {
        for _flush in 0..20 {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(report.kinds.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_it_refuses_puts_as_full_and_still_deletes() {
    use steadfast_backend::{Group, Key, Namespace, Write};
    let server = RedisServer::start().unwrap();
    let backend = connect_patiently(&server).await;
    let namespace = Namespace::new("full").unwrap();
    let key = Key::new(&namespace, &Group::new("g").unwrap(), "k").unwrap();
    assert!(backend.write(&Write::put(key.clone(), "v")).await.unwrap().is_applied());
    let report = under_load(&backend, PATIENT, Loss::Nothing, async {
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let put = backend.write(&Write::put(key.clone(), "w")).await.unwrap_err();
        assert_eq!(put.kind(), ErrorKind::Full, "{put:?}");
        assert!(!put.is_ambiguous() && !put.is_outage(), "{put:?}");
        let touch = Write::touch(key.clone(), None);
        assert!(backend.write(&touch).await.unwrap().is_applied());
        assert!(backend.write(&Write::delete(key.clone())).await.unwrap().is_applied());
        assert_eq!(backend.get(&key).await.unwrap(), None);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    })
    .await;
    assert!(report.met(ErrorKind::Full) && report.ambiguous == 0, "{report:?}");
}
