//! What is between the callers and the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast_backend::{Backend, ErrorKind, Group, Key, Namespace, Write};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::load::{Loss, under_load};
use crate::{PATIENT, TIMEOUT, connect_to};

async fn proxied() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    (server, proxy)
}

fn key(name: &str) -> Key {
    let namespace = Namespace::new("links").unwrap();
    Key::new(&namespace, &Group::new("g").unwrap(), name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_told_at_once_and_healed_without_a_restart() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        proxy.cut();
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.heal();
    })
    .await;
    assert!(report.met(ErrorKind::Unavailable), "{report:?}");
    assert!(!report.met(ErrorKind::Timeout), "a caller waited: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_and_its_late_bytes_do_no_harm() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        proxy.stall();
        tokio::time::sleep(Duration::from_secs(4)).await;
        proxy.heal();
    })
    .await;
    assert!(report.ambiguous > 0, "{report:?}");
    assert!(report.met(ErrorKind::Timeout) && report.met(ErrorKind::Unavailable), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_answers_or_times_out() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    under_load(&backend, TIMEOUT, Loss::Nothing, async {
        proxy.slow_by(Duration::from_millis(150));
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.heal();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_leave_ambiguous_writes() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    let report = under_load(&backend, TIMEOUT, Loss::Nothing, async {
        proxy.swallow_replies();
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.heal();
    })
    .await;
    assert!(report.ambiguous > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_ambiguous_and_made() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    // Until it meets a write and not a question for the time.
    for round in 0.. {
        assert!(round < 20, "no answer to a write was swallowed");
        let key = key(&format!("lost-{round}"));
        proxy.swallow_next_reply();
        let Err(error) = backend.write(&Write::put(key.clone(), "made")).await else { continue };
        if !error.is_ambiguous() {
            continue;
        }
        proxy.heal();
        let entry = again(&*backend, &key).await;
        assert_eq!(entry.as_deref(), Some(&b"made"[..]), "after {error:?}");
        return;
    }
}

/// The value, as soon as there is a link again.
async fn again(backend: &dyn Backend, key: &Key) -> Option<Vec<u8>> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match backend.get(key).await {
            Ok(entry) => return entry.map(|entry| entry.value.to_vec()),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_never_sent_is_not_ambiguous() {
    let (server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    server.kill().unwrap();
    let key = key("unsent");
    let deadline = tokio::time::Instant::now() + PATIENT;
    loop {
        let error = backend.write(&Write::put(key.clone(), "v")).await.unwrap_err();
        if error.kind() == ErrorKind::Unavailable && !error.is_ambiguous() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dialler_knocks_however_many_callers_wait() {
    let (_server, proxy) = proxied().await;
    let backend = connect_to(proxy.addr()).await;
    let before = proxy.connections();
    under_load(&backend, TIMEOUT, Loss::Nothing, async {
        proxy.cut();
        tokio::time::sleep(Duration::from_secs(3)).await;
        proxy.heal();
    })
    .await;
    let knocks = proxy.connections() - before;
    // Pauses of a quarter of a second on average, and the connections that came about.
    assert!(knocks <= 40, "{knocks} connections were tried in 3 seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_stalls_no_small_read() {
    let (_server, proxy) = proxied().await;
    let backend = connect_patiently(&proxy).await;
    let written = backend.write(&Write::put(key("small"), "s")).await.unwrap();
    assert!(written.is_applied());
    // Every chunk of bytes takes its time, on each connection for itself.
    proxy.slow_by(Duration::from_millis(20));
    large_beside_small(&backend).await;
}

/// Connections come up one after the other: the first call finds the first of them alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_stalls_no_small_read_while_connections_come_up() {
    let (_server, proxy) = proxied().await;
    let backend = connect_patiently(&proxy).await;
    let written = backend.write(&Write::put(key("small"), "s")).await.unwrap();
    assert!(written.is_applied());
    proxy.cut();
    proxy.slow_by(Duration::from_millis(20));
    assert_eq!(again(&backend, &key("small")).await.as_deref(), Some(&b"s"[..]));
    large_beside_small(&backend).await;
}

/// Only the connection for large values is left, and one is under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_stalls_no_small_read_whose_connection_was_lost() {
    let (server, proxy) = proxied().await;
    let backend = Arc::new(connect_patiently(&proxy).await);
    let small = key("small");
    assert!(backend.write(&Write::put(small.clone(), "s")).await.unwrap().is_applied());
    proxy.slow_by(Duration::from_millis(20));
    let (sent, writer) = (proxy.request_bytes(), Arc::clone(&backend));
    let put = Write::put(key("large"), vec![b'x'; 5 << 20]);
    let large = tokio::spawn(async move { writer.write(&put).await });
    while proxy.request_bytes() < sent + (128 << 10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The connections for small values came up first.
    for id in connection_ids(&server).iter().take(2) {
        assert_eq!(server.command(&["CLIENT", "KILL", "ID", id]).unwrap(), "1");
    }
    let mut reads = 0;
    while !large.is_finished() {
        // Those that were lost with their connection fail.
        reads += u32::from(backend.get(&small).await.is_ok());
    }
    assert!(large.await.unwrap().unwrap().is_applied());
    assert!(reads >= 5, "{reads} small reads went through beside the large write");
}

/// The oldest first. The last one is that of who asks.
fn connection_ids(server: &RedisServer) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).unwrap();
    let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
    ids.map(str::to_owned).collect()
}

async fn connect_patiently(proxy: &FaultProxy) -> RedisBackend {
    let address = Address::tcp("127.0.0.1", proxy.addr().port());
    let mut config = RedisConfig::new(Servers::Single(address));
    (config.timeout, config.connect_timeout) = (Duration::from_secs(30), Duration::from_secs(30));
    RedisBackend::connect(config).await.unwrap()
}

/// Writes five megabytes and reads them, with small reads beside each.
async fn large_beside_small(backend: &RedisBackend) {
    const LEN: usize = 5 << 20;
    let (large, small) = (key("large"), key("small"));
    let put = Write::put(large.clone(), vec![b'x'; LEN]);
    let (written, reads) = loop {
        match beside(backend, &small, backend.write(&put)).await {
            // Who uses a connection that was cut finds out; the next one waits for another.
            (Err(error), _) if error.kind() == ErrorKind::Unavailable => {}
            done => break done,
        }
    };
    assert!(written.unwrap().is_applied());
    assert!(reads >= 5, "{reads} small reads went through beside the large write");
    let (found, reads) = beside(backend, &small, backend.get(&large)).await;
    assert_eq!(found.unwrap().unwrap().value.len(), LEN);
    assert!(reads >= 5, "{reads} small reads went through beside the large one");
}

/// What the call comes to, and how many small reads were answered meanwhile.
async fn beside<T>(backend: &RedisBackend, small: &Key, call: impl Future<Output = T>) -> (T, u32) {
    let mut call = std::pin::pin!(call);
    let mut reads = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut call => return (done, reads),
            entry = backend.get(small) => {
                assert!(entry.unwrap().is_some());
                reads += 1;
            }
        }
    }
}

/// Passes connections on, until new ones are to be taken without a word; then it tells of each.
async fn passed_on(server: SocketAddr) -> (SocketAddr, Arc<AtomicBool>, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent, taken) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default());
    let told = (listener.local_addr().unwrap(), Arc::clone(&silent), Arc::clone(&taken));
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut client, _from)) = listener.accept().await {
            if silent.load(Ordering::SeqCst) {
                held.push(client);
                taken.notify_one();
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_waits_for_its_connection_only_as_long_as_it_can_use_another_one() {
    let server = RedisServer::start().unwrap();
    let (address, silent, taken) = passed_on(server.addr()).await;
    let mut config = RedisConfig::new(Servers::Single(Address::tcp("127.0.0.1", address.port())));
    (config.timeout, config.connect_timeout) = (Duration::from_secs(4), Duration::from_secs(60));
    config.lanes = 1;
    let backend = RedisBackend::connect(config).await.unwrap();
    let put = Write::put(key("large"), vec![b'x'; 1 << 20]);
    assert!(backend.write(&put).await.unwrap().is_applied());
    silent.store(true, Ordering::SeqCst);
    // All but the first one, which small values use.
    for id in connection_ids(&server).iter().skip(1) {
        // The one that asked is gone already.
        let _killed = server.command(&["CLIENT", "KILL", "ID", id]);
    }
    tokio::time::timeout(PATIENT, taken.notified()).await.expect("it connects again");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = backend.write(&put).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
    }
    assert!(backend.get(&key("large")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_busy_and_not_sent() {
    let (_server, proxy) = proxied().await;
    let address = Address::tcp("127.0.0.1", proxy.addr().port());
    let mut config = RedisConfig::new(Servers::Single(address));
    (config.timeout, config.lanes, config.queue_len_max) = (TIMEOUT, 1, 8);
    let backend = std::sync::Arc::new(RedisBackend::connect(config).await.unwrap());
    proxy.stall();
    let calls: Vec<_> = (0..16)
        .map(|number| {
            let backend = std::sync::Arc::clone(&backend);
            let put = Write::put(key(&format!("busy-{number}")), "v");
            tokio::spawn(async move { backend.write(&put).await })
        })
        .collect();
    let mut kinds = Vec::new();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.is_ambiguous(), error.kind() == ErrorKind::Timeout, "{error:?}");
        kinds.push(error.kind());
    }
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!((count(ErrorKind::Busy), count(ErrorKind::Timeout)), (8, 8), "{kinds:?}");
}
