//! What the backend does with a server that works: how it connects, what it asks, what it tells.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod confirmed;
mod connecting;
mod feed;
mod full;
mod health;
mod mistaken;
mod replicas;
mod scans;
mod starting;
mod strangers;
#[cfg(feature = "tls")]
mod tls;
mod trips;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Backend, Group, Key, Namespace};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

fn config(server: &RedisServer) -> RedisConfig {
    let mut config = RedisConfig::new(Servers::Single(Address::tcp("127.0.0.1", server.port())));
    config.timeout = Duration::from_secs(10); // a busy machine
    config
}

async fn connect(server: &RedisServer) -> Arc<dyn Backend> {
    Arc::new(RedisBackend::connect(config(server)).await.unwrap())
}

fn namespace() -> Namespace {
    Namespace::new("servers").unwrap()
}

fn key(name: &str) -> Key {
    Key::new(&namespace(), &Group::new("g").unwrap(), name).unwrap()
}

/// Looks again and again whether something holds, for as long as a busy machine may take.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
