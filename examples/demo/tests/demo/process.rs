//! What the process does with too many connections, and at its end.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::client::until;
use crate::server::{Home, Server};

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.client.url.strip_prefix("http://").unwrap()).unwrap()
}

/// The processor time is that of the process, so a busy machine does not matter.
#[tokio::test]
async fn without_free_descriptors_it_rests_says_so_once_and_goes_on_when_connections_end() {
    let mut server = Home::new("memory:").start_with_descriptors(40);
    let held: Vec<_> = (0..80).map(|_n| connect(&server)).collect();
    server.wait_for_log("no connection can be accepted");
    let before = server.cpu_ticks();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = server.cpu_ticks() - before;
    assert!(used < 40, "{used} ticks in two seconds");
    drop(held);
    assert_eq!(server.client.get("/livez").await.status, 200);
    let log = server.kill_for_log();
    assert!(!log.contains("no connection can be accepted"), "{log}");
}

/// One sends half a head, one nothing, and one waits for an answer that takes longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_ends_it_whatever_its_clients_do() {
    let server = Home::new("memory:").start();
    let (silent, mut slow) = (connect(&server), connect(&server));
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").unwrap();
    let user = server.client.log_in("alice").await;
    let waiting = tokio::spawn({
        let user = user.clone();
        async move {
            user.request(reqwest::Method::POST, "/checkout?delay_ms=10000")
                .header("idempotency-key", "k")
                .send()
                .await
        }
    });
    until("it runs", async || !user.orders().await.is_empty()).await;
    server.terminate();
    let ended = tokio::task::spawn_blocking(|| server.wait());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    ended.expect("it does not end").unwrap();
    drop((silent, slow, waiting));
}

/// The first lets a request of four seconds end.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_it_at_once() {
    for signals in [1, 2] {
        let mut server = Home::new("memory:").env("RUST_LOG", "info").start();
        let user = server.client.log_in("alice").await;
        let waiting = tokio::spawn({
            let user = user.clone();
            async move {
                user.request(reqwest::Method::POST, "/checkout?delay_ms=4000")
                    .header("idempotency-key", "k")
                    .send()
                    .await
            }
        });
        until("it runs", async || !user.orders().await.is_empty()).await;
        server.terminate();
        server.wait_for_log("shutting down");
        if signals == 2 {
            server.terminate();
        }
        assert_eq!(waiting.await.unwrap().is_ok(), signals == 1);
        assert_eq!(server.wait().success(), signals == 1);
    }
}
