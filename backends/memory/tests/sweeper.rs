//! The sweeper is a real thread: these tests wait for what it does, and need no async runtime to
//! build a backend.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, Bytes, Clock, Group, Key, Namespace, Result, SystemClock, Ttl, Write,
};
use steadfast_memory::{MemoryBackend, MemoryConfig};

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "not after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn key(name: &str) -> Result<Key> {
    Key::new(&Namespace::new("test")?, &Group::new("g")?, name)
}

#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn an_expired_value_is_freed_though_nobody_calls() {
    let backend = MemoryBackend::new(MemoryConfig::default());
    let value = Bytes::from(vec![7; 1_000]);
    let ttl = Ttl::new(Duration::from_millis(1)).unwrap();
    let put = Write::put(key("k").unwrap(), value.clone()).expiring(ttl);
    assert!(run(backend.write(&put)).unwrap().is_applied());
    drop(put);
    eventually("the value is freed", || value.is_unique());
}

#[test]
fn a_closed_backend_frees_its_values() {
    let backend = MemoryBackend::new(MemoryConfig::default());
    let value = Bytes::from(vec![7; 1_000]);
    let put = Write::put(key("k").unwrap(), value.clone());
    assert!(run(backend.write(&put)).unwrap().is_applied());
    drop(put);
    run(backend.close()).unwrap();
    eventually("the value is freed", || value.is_unique());
}

#[derive(Debug)]
struct Watched(Arc<SystemClock>);

impl Clock for Watched {
    fn now_us(&self) -> u64 {
        self.0.now_us()
    }
}

#[test]
fn the_thread_keeps_a_dropped_backend_not_alive() {
    let clock = Arc::new(SystemClock::start());
    let backend = MemoryBackend::with_clock(MemoryConfig::default(), Watched(Arc::clone(&clock)));
    assert_eq!(Arc::strong_count(&clock), 2);
    drop(backend);
    eventually("the store is gone", || Arc::strong_count(&clock) == 1);
}
