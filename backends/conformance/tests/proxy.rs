//! Each fault of the proxy does to a link what it says, and no more.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_conformance::proxy::FaultProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Far longer than loopback takes: what has not come by then is held back.
const SILENCE: Duration = Duration::from_millis(100);
/// What takes longer has failed.
const LIMIT: Duration = Duration::from_secs(10);

/// A server that sends everything back, and remembers it.
struct Echo {
    addr: SocketAddr,
    heard: Arc<Mutex<String>>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<String>>::default();
        let memory = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, Arc::clone(&memory)));
            }
        });
        Self { addr, heard }
    }

    async fn hears(&self, text: &str) {
        eventually(|| *self.heard.lock().unwrap() == text).await;
    }
}

async fn echo(mut stream: TcpStream, memory: Arc<Mutex<String>>) {
    let mut chunk = [0; 1024];
    while let Ok(len @ 1..) = stream.read(&mut chunk).await {
        memory.lock().unwrap().push_str(std::str::from_utf8(&chunk[..len]).unwrap());
        if stream.write_all(&chunk[..len]).await.is_err() {
            return;
        }
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "it never came to hold");
        sleep(Duration::from_millis(1)).await;
    }
}

async fn setup() -> (Echo, FaultProxy, TcpStream) {
    let echo = Echo::start().await;
    let proxy = FaultProxy::to(echo.addr).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut client, "hello ").await;
    (echo, proxy, client)
}

async fn expect(client: &mut TcpStream, text: &str) {
    let mut reply = vec![0; text.len()];
    timeout(LIMIT, client.read_exact(&mut reply)).await.unwrap().unwrap();
    assert_eq!(reply, text.as_bytes());
}

async fn assert_echo(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
    expect(client, text).await;
}

async fn assert_silent(client: &mut TcpStream) {
    let read = timeout(SILENCE, client.read(&mut [0; 1])).await;
    assert!(read.is_err(), "{read:?}");
}

async fn assert_reset(client: &mut TcpStream) {
    let error = timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// A new connection is reset: while it is made, or when it is first used.
async fn assert_resets(proxy: &FaultProxy) {
    let connected = TcpStream::connect(proxy.addr()).await;
    match connected {
        Ok(mut client) => assert_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn it_passes_everything_on_and_counts() {
    let (echo, proxy, mut client) = setup().await;
    let text = "0123456789".repeat(100_000);
    let (mut from, mut to) = client.split();
    let mut reply = vec![0; text.len()];
    let (sent, got) = tokio::join!(to.write_all(text.as_bytes()), from.read_exact(&mut reply));
    sent.unwrap();
    got.unwrap();
    assert_eq!(reply, text.as_bytes());
    eventually(|| proxy.request_bytes() == 1_000_006 && proxy.reply_bytes() == 1_000_006).await;
    assert_eq!(proxy.connections(), 1);
    assert_eq!(proxy.swallowed(), 0);
    assert_eq!(echo.heard.lock().unwrap().len(), 1_000_006);
}

#[tokio::test]
async fn an_orderly_end_is_passed_on() {
    let (_echo, _proxy, mut client) = setup().await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "last");
}

#[tokio::test]
async fn a_cut_resets_old_connections_and_new_ones() {
    let (_echo, proxy, mut client) = setup().await;
    proxy.cut();
    assert_reset(&mut client).await;
    assert_resets(&proxy).await;
    assert_eq!(proxy.connections(), 2);
    proxy.heal();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut client, "again").await;
}

#[tokio::test]
async fn a_cut_that_is_healed_at_once_is_a_cut() {
    let (echo, proxy, mut client) = setup().await;
    client.write_all(b"lost").await.unwrap();
    proxy.cut();
    proxy.heal();
    assert_reset(&mut client).await;
    echo.hears("hello ").await;
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_healing_lets_them_flow() {
    let (echo, proxy, mut client) = setup().await;
    proxy.stall();
    client.write_all(b"held").await.unwrap();
    let mut late = TcpStream::connect(proxy.addr()).await.unwrap();
    late.write_all(b"late").await.unwrap();
    assert_silent(&mut client).await;
    assert_silent(&mut late).await;
    echo.hears("hello ").await;
    proxy.heal();
    expect(&mut client, "held").await;
    expect(&mut late, "late").await;
}

#[tokio::test]
async fn a_stall_hides_the_end_of_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::to(listener.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    proxy.stall();
    drop((server, listener));
    let mut late = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_silent(&mut client).await;
    assert_silent(&mut late).await;
    proxy.heal();
    assert_eq!(timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    assert_reset(&mut late).await;
}

#[tokio::test]
async fn a_stalled_link_can_be_cut() {
    let (echo, proxy, mut client) = setup().await;
    proxy.stall();
    client.write_all(b"held").await.unwrap();
    assert_silent(&mut client).await;
    proxy.cut();
    assert_reset(&mut client).await;
    echo.hears("hello ").await;
}

#[tokio::test]
async fn slowness_delays_both_ways_until_it_is_healed() {
    let (_echo, proxy, mut client) = setup().await;
    let delay = Duration::from_millis(50);
    proxy.slow_by(delay);
    let start = Instant::now();
    assert_echo(&mut client, "slow").await;
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    proxy.slow_by(LIMIT * 10);
    client.write_all(b"stuck").await.unwrap();
    assert_silent(&mut client).await;
    proxy.heal();
    expect(&mut client, "stuck").await;
}

#[tokio::test]
async fn dropped_requests_never_reach_the_server() {
    let (echo, proxy, mut client) = setup().await;
    proxy.drop_requests();
    client.write_all(b"dropped").await.unwrap();
    assert_silent(&mut client).await;
    proxy.heal();
    // A stream with a gap cannot go on.
    client.write_all(b"late").await.unwrap();
    assert_reset(&mut client).await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut client, "heard").await;
    echo.hears("hello heard").await;
}

#[tokio::test]
async fn swallowed_replies_leave_the_work_done() {
    let (echo, proxy, mut client) = setup().await;
    proxy.swallow_replies();
    client.write_all(b"done ").await.unwrap();
    echo.hears("hello done ").await;
    assert_silent(&mut client).await;
    assert_eq!(proxy.swallowed(), 1);
    proxy.heal();
    // A stream with a gap cannot go on.
    client.write_all(b"late").await.unwrap();
    assert_reset(&mut client).await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut client, "heard").await;
}

#[tokio::test]
async fn the_next_reply_is_swallowed_once_and_its_connection_reset() {
    let (echo, proxy, mut client) = setup().await;
    let mut idle = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut idle, "idle ").await;
    proxy.swallow_next_reply();
    client.write_all(b"done").await.unwrap();
    assert_reset(&mut client).await;
    echo.hears("hello idle done").await;
    assert_eq!(proxy.swallowed(), 1);
    assert_echo(&mut idle, "still here").await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_echo(&mut client, "again").await;
}

#[tokio::test]
async fn a_server_that_is_down_resets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let proxy = FaultProxy::to(addr).await.unwrap();
    assert_resets(&proxy).await;
}

#[tokio::test]
async fn a_dropped_proxy_leaves_nothing_open() {
    let (_echo, proxy, mut client) = setup().await;
    let addr = proxy.addr();
    drop(proxy);
    let ended = timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(TcpStream::connect(addr).await.is_err());
}
