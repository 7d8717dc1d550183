//! What a disk that fails does to a store: full, not syncing, losing power. What was acknowledged
//! must stay, the error must be typed, and the store must work again when the disk does.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_backend::{Backend, Bytes, ErrorKind, Group, Key, Namespace, Write};

use crate::disk::Disk;
use crate::{Options, RedbBackend, RedbConfig};

fn open(disk: &Disk) -> steadfast_backend::Result<RedbBackend> {
    // A path that exists: of it, only its length is asked for.
    let mut config = RedbConfig::new(env!("CARGO_MANIFEST_DIR"));
    config.disk = Some(disk.clone());
    RedbBackend::open_with(config, Options { sweep_every: None, ..Options::default() })
}

fn key(name: impl std::fmt::Display) -> Key {
    let (namespace, group) = (Namespace::new("disk").unwrap(), Group::new("g").unwrap());
    Key::new(&namespace, &group, &name.to_string()).unwrap()
}

fn put(name: impl std::fmt::Display, len: usize) -> Write {
    Write::put(key(name), vec![b'x'; len])
}

async fn is_there(backend: &RedbBackend, name: impl std::fmt::Display) -> bool {
    backend.get(&key(name)).await.unwrap().is_some()
}

/// A small generator of numbers that look random; the seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[tokio::test]
async fn a_full_disk_is_typed_and_passes() {
    let disk = Disk::default();
    let backend = open(&disk).unwrap();
    assert!(backend.write(&put("before", 10)).await.unwrap().is_applied());
    let len = redb::StorageBackend::len(&disk).unwrap();
    disk.state().len_max = Some(len);
    let mut kept = Vec::new();
    let error = loop {
        match backend.write(&put(kept.len(), 100_000)).await {
            Ok(_) => kept.push(kept.len()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(!error.is_ambiguous(), "the file tells that nothing was made");
    assert!(is_there(&backend, "before").await);
    assert!(!is_there(&backend, kept.len()).await);
    disk.state().len_max = None;
    assert!(backend.write(&put("after", 100_000)).await.unwrap().is_applied());
    for name in kept {
        assert!(is_there(&backend, name).await);
    }
}

#[tokio::test]
async fn a_full_disk_lets_deletes_through() {
    let disk = Disk::default();
    let backend = open(&disk).unwrap();
    for name in 0..10 {
        assert!(backend.write(&put(name, 50_000)).await.unwrap().is_applied());
    }
    let len = redb::StorageBackend::len(&disk).unwrap();
    disk.state().len_max = Some(len);
    for name in 0..10 {
        let batch = vec![put("big", 2_000_000), Write::delete(key(name))];
        let mut done = backend.write_many(&batch).await.unwrap();
        assert!(done.remove(1).unwrap().is_applied(), "delete {name}");
        let error = done.remove(0).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Full, false), "{error:?}");
        assert!(!is_there(&backend, name).await);
    }
    assert!(backend.write(&put("small", 50_000)).await.unwrap().is_applied(), "the room is back");
}

/// Not a page is left but what is in reserve, and nothing was ever removed, so that there is no
/// page to use again.
#[tokio::test]
async fn a_disk_that_is_full_to_the_brim_lets_sessions_end() {
    let disk = Disk::default();
    let backend = open(&disk).unwrap();
    let mut names = 0;
    let mut fill = async |len: usize| {
        loop {
            let put = put(format!("{names}"), len);
            match backend.write(&put).await {
                Ok(_) => names += 1,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::Full, "{error:?}"),
            }
        }
    };
    disk.state().pages_max = Some(800);
    for len in [10_000, 1_000, 100, 1] {
        fill(len).await;
    }
    for session in (0..names).step_by(7) {
        let end = [
            Write::delete(key(session)).only_if(steadfast_backend::Condition::Present),
            Write::check(key("list"), steadfast_backend::Condition::Absent),
        ];
        let ended = backend.transact(&end).await;
        assert!(ended.is_ok(), "{session} of {names}: {ended:?}");
        assert!(!is_there(&backend, session).await);
    }
}

#[tokio::test]
async fn the_space_may_end_at_any_call() {
    for calls in 0..40 {
        let disk = Disk::default();
        let backend = open(&disk).unwrap();
        assert!(backend.write(&put("before", 10)).await.unwrap().is_applied());
        disk.state().calls_left = Some(calls);
        let wrote = backend.write(&put("during", 10_000)).await;
        disk.state().calls_left = None;
        assert!(is_there(&backend, "before").await, "after {calls} calls");
        let there = is_there(&backend, "during").await;
        match wrote {
            Ok(written) => assert!(written.is_applied() && there, "after {calls} calls"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "after {calls} calls: {error:?}");
                assert!(!there || error.is_ambiguous(), "after {calls} calls: {error:?}");
            }
        }
        assert!(backend.write(&put("after", 10)).await.unwrap().is_applied());
    }
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing() {
    let disk = Disk::default();
    let backend = open(&disk).unwrap();
    assert!(backend.write(&put("before", 10)).await.unwrap().is_applied());
    disk.state().sync_fails = true;
    let error = backend.write(&put("during", 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_outage());
    assert!(backend.check().await.is_err(), "a check proves that writes reach the disk");
    disk.state().sync_fails = false;
    backend.check().await.unwrap();
    assert!(is_there(&backend, "before").await);
    assert!(backend.write(&put("after", 10)).await.unwrap().is_applied());
}

#[tokio::test]
async fn each_commit_is_synced_before_it_is_acknowledged() {
    let disk = Disk::default();
    let backend = open(&disk).unwrap();
    for name in 0..20 {
        let syncs = disk.state().syncs;
        assert!(backend.write(&put(name, 10)).await.unwrap().is_applied());
        assert!(disk.state().syncs > syncs);
    }
}

/// The power goes at a random call, in the middle of commits of several keys that must change
/// together. Of what was not synced any sector may have reached the disk.
#[tokio::test]
async fn a_power_cut_keeps_what_was_acknowledged() {
    let seed = std::env::var("STEADFAST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5eed_0001);
    println!("STEADFAST_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..150 {
        let disk = Disk::default();
        let backend = Arc::new(open(&disk).unwrap());
        disk.state().calls_left = Some(random.next() % 400);
        let writers = (0..4).map(|writer| tokio::spawn(write_pairs(Arc::clone(&backend), writer)));
        let mut acknowledged = BTreeMap::new();
        for (writer, writes) in writers.collect::<Vec<_>>().into_iter().enumerate() {
            acknowledged.insert(writer, writes.await.unwrap());
        }
        let found = open(&disk.after_power_cut(|| random.next().is_multiple_of(2)));
        let found = found.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        for (writer, last) in acknowledged {
            let pair = [key(format!("{writer}-a")), key(format!("{writer}-b"))];
            let pair = found.get_many(&pair).await.unwrap();
            let value = |entry: &Option<_>| {
                entry.clone().map(|entry: steadfast_backend::Entry| entry.value)
            };
            let (a, b) = (value(&pair[0]), value(&pair[1]));
            assert_eq!(a, b, "round {round}: half a transaction");
            let number = a.map_or(0, |value| number(&value));
            // The one under way when the power went may be there or not.
            assert!(number == last || number == last + 1, "round {round}: {number}, not {last}");
        }
    }
}

fn number(value: &Bytes) -> usize {
    std::str::from_utf8(&value[..8]).unwrap().trim().parse().unwrap()
}

/// Counts up in two keys at once until the disk is gone; returns the last number acknowledged.
async fn write_pairs(backend: Arc<RedbBackend>, writer: usize) -> usize {
    for count in 1.. {
        let value = format!("{count:8}{}", "-".repeat(count * 37 % 5_000));
        let both =
            ["a", "b"].map(|half| Write::put(key(format!("{writer}-{half}")), value.clone()));
        if backend.transact(&both).await.is_err() {
            return count - 1;
        }
    }
    unreachable!("the disk goes at some call")
}
