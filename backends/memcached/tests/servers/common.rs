//! What the tests share.

use std::future::Future;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, Entry, Error, Group, Key, Namespace, Ttl, Version, Write, Written,
};
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

pub(crate) async fn connect(server: &MemcachedServer) -> MemcachedBackend {
    MemcachedBackend::connect(server.addr().to_string()).await.unwrap()
}

pub(crate) fn config(servers: &[MemcachedServer]) -> MemcachedConfig {
    let first = MemcachedConfig::new(servers[0].addr().to_string());
    servers[1..].iter().fold(first, |config, server| config.server(server.addr().to_string()))
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(&Namespace::new("test").unwrap(), &Group::new("g").unwrap(), name).unwrap()
}

pub(crate) fn secs(seconds: u64) -> Ttl {
    Ttl::new(Duration::from_secs(seconds)).unwrap()
}

pub(crate) async fn put(backend: &MemcachedBackend, put: Write) -> Version {
    match backend.write(&put).await.unwrap() {
        Written::Applied { version } => version.unwrap(),
        Written::Refused { current } => panic!("refused by {current:?}"),
    }
}

pub(crate) async fn get(backend: &MemcachedBackend, key: &Key) -> Entry {
    backend.get(key).await.unwrap().unwrap()
}

pub(crate) fn refused(written: Written) -> Option<Entry> {
    match written {
        Written::Refused { current } => current,
        Written::Applied { version } => panic!("applied as {version:?}"),
    }
}

/// Asks until the answer is true, and returns how long that took, without what a busy machine made
/// the pauses in between longer.
pub(crate) async fn until<Asked: Future<Output = bool>>(
    mut ask: impl FnMut() -> Asked,
) -> Duration {
    const PAUSE: Duration = Duration::from_millis(5);
    let (started, mut late) = (Instant::now(), Duration::ZERO);
    while !ask().await {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not come true");
        let paused = Instant::now();
        tokio::time::sleep(PAUSE).await;
        late += paused.elapsed().saturating_sub(PAUSE);
    }
    started.elapsed().saturating_sub(late)
}

/// Reads until there is an answer, and returns how long that took.
pub(crate) async fn until_it_answers(backend: &MemcachedBackend, key: &Key) -> Duration {
    until(|| async { backend.get(key).await.is_ok() }).await
}

/// Reads until it fails in no time, which it does once the server is out.
pub(crate) async fn until_out(backend: &MemcachedBackend, key: &Key) -> Error {
    let is_out = |error: &Error| error.to_string().contains("is out");
    until(|| async { backend.get(key).await.is_err_and(|error| is_out(&error)) }).await;
    backend.get(key).await.unwrap_err()
}
