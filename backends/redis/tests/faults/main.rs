//! What happens to callers when servers and links fail.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test panics when it fails")]

mod cluster;
mod link;
mod load;
mod process;
mod sentinel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::Backend;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

const TIMEOUT: Duration = Duration::from_millis(500);
/// Where no call may fail for want of time, on however busy a machine.
const PATIENT: Duration = Duration::from_secs(20);

async fn connect(servers: Servers) -> Arc<dyn Backend> {
    connect_within(servers, TIMEOUT).await
}

async fn connect_within(servers: Servers, timeout: Duration) -> Arc<dyn Backend> {
    let mut config = RedisConfig::new(servers);
    config.timeout = timeout;
    Arc::new(RedisBackend::connect(config).await.unwrap())
}

async fn connect_patiently(server: &RedisServer) -> Arc<dyn Backend> {
    connect_within(Servers::Single(Address::tcp("127.0.0.1", server.port())), PATIENT).await
}

async fn connect_to(address: SocketAddr) -> Arc<dyn Backend> {
    connect(Servers::Single(Address::tcp(address.ip().to_string(), address.port()))).await
}
