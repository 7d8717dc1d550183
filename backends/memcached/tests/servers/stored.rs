//! What the server holds: values of every length, and what others wrote.

use std::time::Duration;

use steadfast_backend::{Backend, Condition, ErrorKind, Group, Key, Namespace, Version, Write};
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

use crate::common::{connect, get, key, put, secs};

fn longest_key() -> Key {
    let start = "test:{g}:".len();
    let name = "n".repeat(Key::MAX_LEN - start);
    Key::new(&Namespace::new("test").unwrap(), &Group::new("g").unwrap(), &name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_declared_length_fits_whatever_the_servers_limit_is() {
    for limit in ["512k", "1m", "3m", "8m"] {
        let server = MemcachedServer::builder().arg("-I").arg(limit).memory_mb(256).start();
        let server = server.unwrap();
        let backend = connect(&server).await;
        let len = backend.info().capabilities.value_len_max;
        let value = vec![b'x'; len];
        put(&backend, Write::put(longest_key(), value.clone())).await;
        assert_eq!(get(&backend, &longest_key()).await.value, value, "with -I {limit}");
        let over = Write::put(key("k"), vec![b'x'; len + 1]);
        let stored = server.stat("cmd_set").unwrap();
        assert_eq!(backend.write(&over).await.unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(server.stat("cmd_set").unwrap(), stored, "it was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_long_values_come_back_in_one_call() {
    let server = MemcachedServer::builder().memory_mb(256).start().unwrap();
    let config = MemcachedConfig::new(server.addr().to_string()).timeout(Duration::from_secs(30));
    let backend = MemcachedBackend::connect(config).await.unwrap();
    let keys: Vec<_> = (0..64).map(|number| key(&number.to_string())).collect();
    for key in &keys {
        put(&backend, Write::put(key.clone(), vec![b'x'; 1_000_000])).await;
    }
    let entries = backend.get_many(&keys).await.unwrap();
    assert!(entries.iter().flatten().all(|entry| entry.value.len() == 1_000_000));
    assert_eq!(entries.iter().flatten().count(), 64);
}

/// Stores what another program would.
fn store_foreign(server: &MemcachedServer, key: &Key, flags: u32) {
    let value = "a foreign value of some length";
    let command = format!("set {} {flags} 1000 {}\r\n{value}", key.as_str(), value.len());
    assert_eq!(server.command(&command).unwrap(), "STORED\r\n");
}

fn seen(server: &MemcachedServer, key: &Key) -> String {
    server.command(&format!("mg {} v f c", key.as_str())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_wrote_is_corrupt_and_left_as_it_is() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    // No flags; and the format after ours.
    for flags in [0, 0x7366_6d32] {
        let key = key(&flags.to_string());
        store_foreign(&server, &key, flags);
        let before = seen(&server, &key);
        let cas = before.split(" c").nth(1).unwrap().split_whitespace().next().unwrap();
        let version = Version::new(cas.parse().unwrap()).unwrap();
        let other = Version::new(version.get() + 1_000).unwrap();
        assert_eq!(backend.get(&key).await.unwrap_err().kind(), ErrorKind::Corrupt);
        let read = backend.get_many(std::slice::from_ref(&key)).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Corrupt);
        let put = |only_if| Write::put(key.clone(), "v").only_if(only_if);
        let touch = |only_if| Write::touch(key.clone(), Some(secs(9))).only_if(only_if);
        let delete = |only_if| Write::delete(key.clone()).only_if(only_if);
        let writes = [
            put(Condition::Absent),
            put(Condition::Present),
            put(Condition::VersionIs(other)),
            touch(Condition::Always),
            touch(Condition::Present),
            touch(Condition::VersionIs(version)),
            touch(Condition::VersionIs(other)),
            delete(Condition::Absent),
            delete(Condition::Present),
            delete(Condition::VersionIs(other)),
            Write::check(key.clone(), Condition::Always),
        ];
        for write in writes {
            let text = format!("{write:?}");
            let error = backend.write(&write).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
            assert!(!error.is_ambiguous());
            assert_eq!(seen(&server, &key), before, "after {text}");
        }
        let left = server.command(&format!("mg {} t", key.as_str())).unwrap();
        let left: u32 = left.trim().strip_prefix("HD t").unwrap().parse().unwrap();
        assert!((900..=1_001).contains(&left), "its deadline is now {left} s away");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_is_laid_out_as_documented() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    put(&backend, Write::put(key("k"), "value").expiring(secs(60))).await;
    let item = server.command("mg test:{g}:k f s t").unwrap();
    assert_eq!(item, format!("HD f{} s17 t62\r\n", 0x7366_6d31));
    let now_s: u64 = server.stat("time").unwrap().unwrap().parse().unwrap();
    let written_us = get(&backend, &key("k")).await.written_us;
    assert!(written_us.abs_diff(now_s * 1_000_000) <= 3_000_000, "{written_us} at {now_s} s");
}
