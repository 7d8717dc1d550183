//! Which servers are taken, and what is said of the others.

use std::net::SocketAddr;
use std::time::Duration;

use steadfast_backend::{Backend, Error, ErrorKind, Start, Write};
use steadfast_conformance::servers::{MemcachedServer, RedisServer};
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{connect, get, key, put, until};

async fn refused(config: impl Into<MemcachedConfig>, kind: ErrorKind, word: &str) -> Error {
    let error = MemcachedBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().starts_with("memcached connect: "), "{error}");
    assert!(error.to_string().contains(word), "{error}");
    error
}

/// Something that answers every line alike.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(self::answer(listener, answer));
    address
}

async fn answer(listener: TcpListener, answer: &'static str) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 256];
        while stream.read(&mut request).await.is_ok_and(|len| len > 0) {
            // Who asked may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// A link to a server that spoils all answers but those to `stats`.
async fn garbling(server: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(len @ 1..) = near.read(&mut bytes).await {
                    if !bytes.starts_with(b"stats") {
                        return near.write_all(b"\0\0\r\n").await.unwrap_or_default();
                    }
                    far.write_all(&bytes[..len]).await.unwrap();
                    let mut answer = Vec::new();
                    while !answer.ends_with(b"END\r\n") {
                        far.read_buf(&mut answer).await.unwrap();
                    }
                    near.write_all(&answer).await.unwrap_or_default();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_works() {
    let server = MemcachedServer::start().unwrap();
    let address = format!("localhost:{}", server.port());
    let backend = MemcachedBackend::connect(address).await.unwrap();
    put(&backend, Write::put(key("k"), "v")).await;
    assert_eq!(get(&connect(&server).await, &key("k")).await.value, "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unavailable() {
    let server = MemcachedServer::start().unwrap();
    server.kill().unwrap();
    let address = server.addr().to_string();
    refused(address.as_str(), ErrorKind::Unavailable, &address).await;
    let nowhere = "no-such-host.invalid:11211";
    refused(nowhere, ErrorKind::Unavailable, nowhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_cas_numbers_is_not_fit() {
    let server = MemcachedServer::builder().arg("-C").start().unwrap();
    refused(server.addr().to_string(), ErrorKind::Config, "without -C").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_password_is_not_fit() {
    // The spawner cannot tell that it is up, since it answers no question.
    let answer = "CLIENT_ERROR unauthenticated\r\n";
    refused(answering(answer).await, ErrorKind::Config, "password").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_memcached_is_not_fit() {
    for (answer, word) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server"),
        ("<html>400 Bad Request</html>", "an HTTP server"),
        ("-ERR unknown command\r\n", "redis://HOST"),
        ("\x15\x03\x03\0\x02\x02\x32", "TLS"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "not a Memcached server"),
        ("ERROR\r\n", "not a Memcached server"),
    ] {
        refused(answering(answer).await, ErrorKind::Config, word).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_server_is_not_waited_for_as_one_of_memcached() {
    for server in [RedisServer::start(), RedisServer::builder().password("word").start()] {
        let server = server.unwrap();
        let config = |start| MemcachedConfig::new(server.addr().to_string()).start(start);
        let hour = Start::Within(Duration::from_secs(3_600));
        refused(config(hour), ErrorKind::Config, "redis://HOST").await;
        let backend = MemcachedBackend::connect(config(Start::Disconnected)).await.unwrap();
        until(|| async { !backend.check().await.unwrap_err().is_outage() }).await;
        let error = backend.check().await.unwrap_err();
        assert!(error.to_string().contains("redis://HOST"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_all_its_connections_is_out() {
    let full = answering("ERROR Too many open connections\r\n").await;
    refused(full, ErrorKind::Unavailable, "-c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_at_its_statistics_is_out() {
    for error in ["out of memory writing stats", "backend failure"] {
        let answer = format!("SERVER_ERROR {error}\r\n").leak();
        refused(answering(answer).await, ErrorKind::Unavailable, "memory").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_memcached_was_another_server_is_an_outage() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    server.kill().unwrap();
    let other = TcpListener::bind(server.addr()).await.unwrap();
    let other = tokio::spawn(answer(other, "HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    until(|| async { format!("{backend:?}").contains("an HTTP server") }).await;
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    other.abort();
    let _ = other.await;
    until(|| async { server.restart().is_ok() }).await;
    until(|| async { backend.check().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_garbled_is_an_outage() {
    let server = MemcachedServer::start().unwrap();
    let garbling = garbling(server.addr()).await;
    let backend = MemcachedBackend::connect(garbling).await.unwrap();
    let error = backend.get(&key("k")).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_meta_protocol_is_not_fit() {
    let answer = "STAT version 1.5.22\r\nSTAT time 1700000000\r\nSTAT item_size_max 1048576\r\n\
                  STAT cas_enabled yes\r\nEND\r\n";
    refused(answering(answer).await, ErrorKind::Config, "1.6.10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unfit_server_among_fit_ones_is_named() {
    let server = MemcachedServer::start().unwrap();
    let unfit = answering("ERROR\r\n").await;
    let config = MemcachedConfig::new(server.addr().to_string()).server(unfit.as_str());
    refused(config, ErrorKind::Config, &unfit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_server_sets_the_limit_of_values() {
    let large = MemcachedServer::builder().arg("-I").arg("4m").start().unwrap();
    let small = MemcachedServer::builder().arg("-I").arg("512k").start().unwrap();
    let config = MemcachedConfig::new(large.addr().to_string()).server(small.addr().to_string());
    let backend = MemcachedBackend::connect(config).await.unwrap();
    assert_eq!(backend.info().capabilities.value_len_max, (512 << 10) - 512);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_and_takes_less_is_not_used() {
    let large = MemcachedServer::builder().arg("-I").arg("4m").start().unwrap();
    let small = MemcachedServer::start().unwrap();
    small.kill().unwrap();
    let config = MemcachedConfig::new(large.addr().to_string()).server(small.addr().to_string());
    let backend = MemcachedBackend::connect(config).await.unwrap();
    small.restart().unwrap();
    until(|| async { format!("{backend:?}").contains("item_size_max is smaller") }).await;
    // It answers, and waiting does not make it fit.
    assert_eq!(backend.check().await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_disconnected_works_once_the_server_is_there() {
    let server = MemcachedServer::start().unwrap();
    server.kill().unwrap();
    let address = server.addr().to_string();
    let config = MemcachedConfig::new(address.as_str()).start(Start::Disconnected);
    let backend = MemcachedBackend::connect(config).await.unwrap();
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("never connected"), "{error:?}");
    assert!(error.to_string().contains(&address), "{error}");
    let error = backend.write(&Write::put(key("k"), "v")).await.unwrap_err();
    assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    server.restart().unwrap();
    until(|| async { backend.check().await.is_ok() }).await;
    put(&backend, Write::put(key("k"), "v")).await;
    let usual = connect(&server).await.info().capabilities.value_len_max;
    assert_eq!(backend.info().capabilities.value_len_max, usual);
    server.kill().unwrap();
    until(|| async { backend.check().await.is_err() }).await;
    let error = backend.check().await.unwrap_err();
    assert!(error.is_outage() && !error.to_string().contains("never"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnected_from_the_start_a_server_that_is_not_fit_is_no_outage() {
    let server = MemcachedServer::builder().arg("-C").start().unwrap();
    let config = MemcachedConfig::new(server.addr().to_string()).start(Start::Disconnected);
    let backend = MemcachedBackend::connect(config).await.unwrap();
    until(|| async { !backend.check().await.unwrap_err().is_outage() }).await;
    for error in [backend.check().await.unwrap_err(), backend.get(&key("k")).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("without -C"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_at_the_start_is_waited_for_as_long_as_is_said_and_a_wrong_server_is_not() {
    let server = MemcachedServer::start().unwrap();
    server.kill().unwrap();
    let config = |server: &MemcachedServer, wait| {
        MemcachedConfig::new(server.addr().to_string()).start(Start::Within(wait))
    };
    refused(config(&server, Duration::from_millis(1)), ErrorKind::Unavailable, "no server").await;
    let minute = config(&server, Duration::from_secs(60));
    let connecting = tokio::spawn(MemcachedBackend::connect(minute));
    server.restart().unwrap();
    put(&connecting.await.unwrap().unwrap(), Write::put(key("k"), "v")).await;
    let unfit = MemcachedServer::builder().arg("-C").start().unwrap();
    let hour = config(&unfit, Duration::from_secs(3_600));
    refused(hour, ErrorKind::Config, "without -C").await;
}
