//! Who answers is not Redis, or not the way it is spoken to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast_backend::{Backend, Error, ErrorKind, Start, Write};
#[cfg(feature = "tls")]
use steadfast_conformance::servers::RedisSentinel;
use steadfast_conformance::servers::{MemcachedServer, RedisServer};
use steadfast_redis::{RedisBackend, RedisConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{config, eventually, key};

const HTTP: &str = "HTTP/1.1 400 Bad Request\r\n\r\n";

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Says the same to all who ask, and hangs up.
fn answering(listener: TcpListener, answer: &'static str) -> (SocketAddr, JoinHandle<()>) {
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 4096];
            if stream.read(&mut question).await.is_ok_and(|len| len > 0) {
                // Who asked may have gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    (address, answering)
}

fn starting(url: &str, start: Start) -> RedisConfig {
    let mut config: RedisConfig = url.parse().unwrap();
    config.start = start;
    config
}

/// Why it is not waited for.
async fn refused(url: &str) -> Error {
    let hour = Start::Within(Duration::from_secs(3_600));
    let error = RedisBackend::connect(starting(url, hour)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error:?}");
    let backend = RedisBackend::connect(starting(url, Start::Disconnected)).await.unwrap();
    eventually("disconnected, it is no outage", async || {
        backend.check().await.is_err_and(|error| error.kind() == ErrorKind::Config)
    })
    .await;
    error
}

/// It is refused however it is taken for Redis.
async fn refused_in_each_form(scheme: &str, at: SocketAddr, words: &str) {
    for (form, path) in [("", ""), ("-cluster", ""), ("-sentinel", "/main")] {
        let error = refused(&format!("{scheme}{form}://:canary@{at}{path}")).await;
        let told = error.to_string();
        assert!(told.contains(words) && told.contains(&at.to_string()), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn an_http_server_is_not_waited_for() {
    let (at, _answering) = answering(listener().await, HTTP);
    refused_in_each_form("redis", at, "an HTTP server, not Redis").await;
}

#[tokio::test]
async fn a_memcached_server_is_not_waited_for() {
    let server = MemcachedServer::start().unwrap();
    refused_in_each_form("redis", server.addr(), "memcached://HOST").await;
}

#[tokio::test]
async fn who_speaks_another_protocol_is_not_waited_for() {
    let (at, _answering) = answering(listener().await, "SSH-2.0-OpenSSH_9.9\r\n");
    refused_in_each_form("redis", at, "neither Redis nor Valkey").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_of_another_service_is_not_waited_for() {
    let dir = std::env::temp_dir().join(format!("steadfast-stranger-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("http.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 4096];
            if stream.read(&mut question).await.is_ok_and(|len| len > 0) {
                let _ = stream.write_all(HTTP.as_bytes()).await;
            }
        }
    });
    let error = refused(&format!("redis+unix://{}", path.display())).await;
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(error.to_string().contains("an HTTP server"), "{error}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_that_expects_tls_is_not_waited_for_without() {
    let server = RedisServer::builder().tls().start().unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port()));
    for (form, path) in [("", ""), ("-cluster", ""), ("-sentinel", "/main")] {
        let told = refused(&format!("redis{form}://{at}{path}")).await.to_string();
        assert!(told.contains(&format!("rediss{form}://HOST")), "{told}");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_that_expects_no_tls_is_not_waited_for_with_it() {
    let (server, group) = (RedisServer::start().unwrap(), RedisSentinel::start().unwrap());
    let sentinel = group.sentinels()[0].addr();
    for (form, at, path) in
        [("", server.addr(), ""), ("-cluster", server.addr(), ""), ("-sentinel", sentinel, "/main")]
    {
        let url = format!("rediss{form}://{at}{path}?connect_timeout=500ms");
        let told = refused(&url).await.to_string();
        assert!(told.contains("no TLS") && told.contains(&format!("redis{form}://HOST")), "{told}");
    }
    let (at, _answering) = answering(listener().await, HTTP);
    let told = refused(&format!("rediss://{at}")).await.to_string();
    assert!(told.contains("an HTTP server"), "{told}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_at_the_start_is_an_outage() {
    for answer in ["*7\r\n$6\r\nser", "-LOAD", "+"] {
        let (at, _answering) = answering(listener().await, answer);
        let url = format!("redis://{at}?timeout=500ms");
        let error = RedisBackend::connect(url.parse::<RedisConfig>().unwrap()).await.unwrap_err();
        assert!(error.is_outage(), "{answer:?}: {error:?}");
    }
}

#[tokio::test]
async fn whoever_hangs_up_without_a_word_is_out() {
    let (at, _answering) = answering(listener().await, "");
    let url = format!("redis://{at}?timeout=500ms");
    let error = RedisBackend::connect(url.parse::<RedisConfig>().unwrap()).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
}

/// A link to a server that cuts off answers with this, once it is said.
async fn spoiling(server: SocketAddr, with: &'static str) -> (SocketAddr, Arc<AtomicBool>) {
    let (listener, spoils) = (listener().await, Arc::new(AtomicBool::new(false)));
    let (at, spoiled) = (listener.local_addr().unwrap(), Arc::clone(&spoils));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut far, spoils) =
                (TcpStream::connect(server).await.unwrap(), Arc::clone(&spoils));
            tokio::spawn(async move {
                let (mut question, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
                loop {
                    tokio::select! {
                        Ok(len @ 1..) = near.read(&mut question) => {
                            if spoils.load(Ordering::SeqCst) {
                                return near.write_all(with.as_bytes()).await.unwrap_or_default();
                            }
                            far.write_all(&question[..len]).await.unwrap();
                        }
                        Ok(len @ 1..) = far.read(&mut answer) => {
                            near.write_all(&answer[..len]).await.unwrap_or_default();
                        }
                        else => return,
                    }
                }
            });
        }
    });
    (at, spoiled)
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_garbled_is_an_outage_that_passes() {
    let server = RedisServer::start().unwrap();
    for with in ["$9\r\nhal", "$-", "\0\0\0\r\n", HTTP] {
        let (at, spoils) = spoiling(server.addr(), with).await;
        let url = format!("redis://{at}?timeout=10s");
        let backend = RedisBackend::connect(url.parse::<RedisConfig>().unwrap()).await.unwrap();
        spoils.store(true, Ordering::SeqCst);
        for _call in 0..50 {
            let error = backend.get(&key("k")).await.unwrap_err();
            assert!(error.is_outage(), "{with:?}: {error:?}");
            let error = backend.write(&Write::put(key("k"), "v")).await.unwrap_err();
            assert!(error.is_outage(), "{with:?}: {error:?}");
        }
        spoils.store(false, Ordering::SeqCst);
        eventually("it is used again", async || {
            backend.write(&Write::put(key("k"), "v")).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn where_redis_was_another_server_is_an_outage() {
    for answer in [HTTP, "ERROR\r\n", "+what\r\n", "*1\r\n$-"] {
        let server = RedisServer::start().unwrap();
        let backend = RedisBackend::connect(config(&server)).await.unwrap();
        server.kill().unwrap();
        let (_at, other) = answering(TcpListener::bind(server.addr()).await.unwrap(), answer);
        eventually("it is out", async || backend.get(&key("k")).await.is_err()).await;
        for _call in 0..20 {
            let error = backend.get(&key("k")).await.unwrap_err();
            assert!(error.is_outage(), "{answer:?}: {error:?}");
        }
        other.abort();
        let _ = other.await;
        eventually("the port is free", async || server.restart().is_ok()).await;
        eventually("it is used again", async || {
            backend.write(&Write::put(key("k"), "v")).await.is_ok()
        })
        .await;
    }
}
