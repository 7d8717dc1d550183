use std::time::Duration;

use bytes::Bytes;
use steadfast_backend::{Group, ManualClock, Namespace, Ttl};

use super::*;

fn store(limit_bytes: u64) -> (Store, ManualClock) {
    let clock = ManualClock::at_us(1_000_000);
    (Store::new(limit_bytes, StoreClock::new(clock.clone(), 0)), clock)
}

fn key(number: usize) -> Key {
    let namespace = Namespace::new("test").unwrap();
    Key::new(&namespace, &Group::new("g").unwrap(), &format!("{number:06}")).unwrap()
}

fn put(number: usize, len: usize) -> Write {
    Write::put(key(number), vec![0; len])
}

fn everything() -> ScanRequest {
    let namespace = Namespace::new("test").unwrap();
    ScanRequest { namespace, after: None, limit: std::num::NonZeroUsize::MAX }
}

fn second() -> Ttl {
    Ttl::new(Duration::from_secs(1)).unwrap()
}

fn index_lens(store: &Store) -> (usize, usize) {
    store.lock().unwrap().index.lens()
}

#[test]
fn expired_values_do_not_linger_in_memory() {
    let (store, clock) = store(1 << 30);
    let value = Bytes::from(vec![7_u8; 1_000]);
    for number in 0..3_000 {
        let write = Write::put(key(number), value.clone()).expiring(second());
        assert!(store.write(&write).unwrap().is_applied());
    }
    assert_eq!(store.sweep().unwrap(), 0);
    assert_eq!(index_lens(&store), (3_000, 3_000));
    assert!(store.usage().1 > 3_000_000);
    assert!(!value.is_unique());

    clock.advance(Duration::from_secs(1));
    assert_eq!(store.sweep().unwrap(), 3_000);
    assert_eq!(index_lens(&store), (0, 0));
    assert_eq!(store.usage(), (0, 0, 0), "an expired entry is not an evicted one");
}

#[test]
fn writers_remove_the_dead_where_no_sweeper_runs() {
    let (store, clock) = store(1 << 30);
    for number in 0..100 {
        assert!(store.write(&put(number, 10).expiring(second())).unwrap().is_applied());
    }
    clock.advance(Duration::from_secs(2));
    for number in 100..113 {
        assert!(store.write(&put(number, 10)).unwrap().is_applied());
    }
    assert_eq!(index_lens(&store), (13, 0));
}

#[test]
fn a_touched_entry_is_swept_at_its_new_deadline_only() {
    let (store, clock) = store(1 << 30);
    assert!(store.write(&put(1, 10).expiring(second())).unwrap().is_applied());
    clock.advance(Duration::from_millis(500));
    assert!(store.write(&Write::touch(key(1), Some(second()))).unwrap().is_applied());
    clock.advance(Duration::from_millis(999));
    assert_eq!(store.sweep().unwrap(), 0);
    assert!(store.get(&key(1)).unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(index_lens(&store), (0, 0));
}

#[test]
fn a_full_store_drops_the_oldest_and_never_the_newest() {
    let limit_bytes = 1 << 20;
    let (store, _) = store(limit_bytes);
    for number in 0..5_000 {
        assert!(store.write(&put(number, 10_000)).unwrap().is_applied());
        assert!(store.get(&key(number)).unwrap().is_some(), "{number} was just written");
    }
    let (_entries, used_bytes, evicted) = store.usage();
    assert!(used_bytes <= limit_bytes, "{used_bytes}");
    let (kept, _) = index_lens(&store);
    assert_eq!(kept as u64 + evicted, 5_000, "dropped keys leave the index");
    assert!(store.get(&key(0)).unwrap().is_none());
    assert!(store.get(&key(4_999)).unwrap().is_some());
}

#[test]
fn large_values_do_not_pile_up_before_the_cache_makes_room() {
    let (store, _) = store(8 << 20);
    let value = Bytes::from(vec![7_u8; 1 << 20]);
    for number in 0..64 {
        let write = Write::put(key(number), Bytes::copy_from_slice(&value));
        assert!(store.write(&write).unwrap().is_applied());
        let held = (0..=number).filter(|&older| store.cache.contains_key(&key(older))).count();
        assert!(held <= 8 + 5, "{held} MiB are held");
    }
}

#[test]
fn what_a_reader_used_stays() {
    let (store, _) = store(1 << 20);
    for number in 0..1_000 {
        assert!(store.write(&put(number, 10_000)).unwrap().is_applied());
        assert!(store.get(&key(0)).unwrap().is_some(), "after {number}");
    }
}

#[test]
fn a_scan_counts_as_no_use() {
    let (store, _) = store(1 << 20);
    // Written from the last key to the first, against the order in which a scan lists them.
    for number in (0..140).rev() {
        assert!(store.write(&put(number, 10_000)).unwrap().is_applied());
        assert!(store.scan(&everything()).unwrap().keys.contains(&key(number)));
        store.usage();
    }
    let kept = store.scan(&everything()).unwrap().keys;
    let newest = (0..kept.len()).map(key).collect::<Vec<_>>();
    assert_eq!(kept, newest, "the oldest went first, though all were listed");
}

#[test]
fn a_page_is_short_though_more_is_asked_for() {
    let (store, _) = store(1 << 30);
    for number in 0..2_500 {
        assert!(store.write(&put(number, 1)).unwrap().is_applied());
    }
    let mut request = everything();
    let mut lens = Vec::new();
    loop {
        let page = store.scan(&request).unwrap();
        lens.push(page.keys.len());
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(lens, [1_024, 1_024, 452]);
}

#[test]
fn a_closed_store_holds_nothing() {
    let (store, _) = store(1 << 20);
    assert!(store.write(&put(1, 10)).unwrap().is_applied());
    store.close();
    store.close();
    assert_eq!(store.get(&key(1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.write(&put(1, 10)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.usage().0, 0);
}

#[test]
fn readers_and_writers_of_a_full_store_leave_no_key_behind() {
    let (store, _) = store(200 * 1_000);
    let work = |first: usize| {
        let store = &store;
        move || {
            for number in (0..4_000).map(|step| (first + step * 7) % 500) {
                match number % 4 {
                    0 => drop(store.get(&key(number))),
                    1 => drop(store.write(&Write::delete(key(number)))),
                    2 => drop(store.write(&Write::touch(key(number), Some(second())))),
                    _ => drop(store.write(&put(number - 1, 400))),
                }
                drop(store.write(&put(number, 400)));
            }
        }
    };
    std::thread::scope(|scope| {
        for first in 0..4 {
            scope.spawn(work(first * 113));
        }
    });
    store.usage();
    let (indexed, _) = index_lens(&store);
    let cached = (0..500).filter(|&number| store.cache.contains_key(&key(number))).count();
    assert_eq!(indexed, cached, "keys in the index and in the cache");
    assert!(store.usage().1 > 0, "it was never full");
}

/// An id that leads to another record, and that record, are made together: whoever sees the one
/// must find the other.
#[test]
fn who_sees_one_key_of_a_transaction_sees_the_others() {
    const ROUNDS: u64 = 20_000;
    let (store, _clock) = store(1 << 30);
    let number = |key: &Key| {
        let entry = store.get(key).unwrap();
        entry.map_or(0, |entry| u64::from_be_bytes(entry.value[..].try_into().unwrap()))
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=ROUNDS {
                let put = |at| Write::put(key(at), Bytes::copy_from_slice(&round.to_be_bytes()));
                let made = store.transact(&[put(1), put(2), put(3)]).unwrap();
                assert!(matches!(made, Transacted::Applied { .. }));
            }
        });
        while !writer.is_finished() {
            let (first, last) = (number(&key(1)), number(&key(3)));
            assert!(last >= first, "{first} without its {last}");
        }
    });
}
