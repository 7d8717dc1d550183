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
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

const TIMEOUT: Duration = Duration::from_millis(500);

async fn connect(servers: Servers) -> Arc<dyn Backend> {
    let mut config = RedisConfig::new(servers);
    config.timeout = TIMEOUT;
    Arc::new(RedisBackend::connect(config).await.unwrap())
}

async fn connect_to(address: SocketAddr) -> Arc<dyn Backend> {
    connect(Servers::Single(Address::tcp(address.ip().to_string(), address.port()))).await
}
