//! Deadlines, the sweep, the floor of the store's clock, and frames that cannot be read.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::support::{Map, START_US, brief, claim, key, open, open_at, value};
use steadfast_backend::{
    Backend, ErrorKind, ManualClock, Namespace, ScanRequest, Ttl, Write, Written,
};
use steadfast_embedded::Table;

fn index_len(map: &Map) -> usize {
    map.state().tables.keys().filter(|(table, _)| *table == Table::Expiry).count()
}

#[tokio::test]
async fn a_sweep_removes_what_is_due_and_nothing_else() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    let writes: Vec<_> = (0..600).map(|n| brief(&format!("k{n}"), 1 + n % 2)).collect();
    backend.write_many(&writes).await.unwrap();
    assert!(backend.write(&claim("stays")).await.unwrap().is_applied());
    clock.advance(Duration::from_millis(1));
    assert_eq!(backend.sweep().await.unwrap(), 300);
    assert_eq!(index_len(&map), 300);
    clock.advance(Duration::from_millis(1));
    assert_eq!(backend.sweep().await.unwrap(), 300);
    assert_eq!(index_len(&map), 0);
    assert_eq!(backend.sweep().await.unwrap(), 0);
    assert!(value(&*backend, "stays").await.is_some());
}

#[tokio::test]
async fn the_index_follows_each_change_of_a_deadline() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    let touch =
        |millis| Write::touch(key("a"), Some(Ttl::new(Duration::from_millis(millis)).unwrap()));
    let writes = vec![brief("a", 10), touch(20), touch(30)];
    backend.write_many(&writes).await.unwrap();
    assert_eq!(index_len(&map), 1);
    clock.advance(Duration::from_millis(29));
    assert_eq!(backend.sweep().await.unwrap(), 0);
    let kept = backend.write(&Write::touch(key("a"), None)).await.unwrap();
    assert!(kept.is_applied());
    assert_eq!(index_len(&map), 0);
    let changes = vec![brief("a", 5), Write::delete(key("a")), brief("b", 5), brief("b", 6)];
    backend.write_many(&changes).await.unwrap();
    assert_eq!(index_len(&map), 1);
}

#[tokio::test]
async fn a_clock_set_back_revives_nothing_and_repeats_no_version() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    let Written::Applied { version: Some(before) } = backend.write(&brief("a", 1)).await.unwrap()
    else {
        panic!("refused")
    };
    clock.advance(Duration::from_secs(60));
    assert!(value(&*backend, "a").await.is_none());
    backend.close().await.unwrap();

    let backend = open_at(&map, ManualClock::at_us(START_US / 2));
    assert!(value(&*backend, "a").await.is_none(), "it was seen to be gone");
    let Written::Applied { version: Some(after) } = backend.write(&claim("a")).await.unwrap()
    else {
        panic!("refused")
    };
    assert!(after > before);
    assert!(after.get() >= START_US + 60_000_000);
}

#[tokio::test]
async fn a_slow_read_serves_nothing_dead_and_overstates_no_time_to_live() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    backend.write_many(&[brief("a", 10), brief("b", 30)]).await.unwrap();
    map.state().read_takes = Some((clock, Duration::from_millis(10)));
    let found = backend.get_many(&[key("a"), key("b")]).await.unwrap();
    assert!(found[0].is_none(), "it died during the read");
    let kept = found[1].as_ref().unwrap();
    assert_eq!(kept.left, Some(Duration::from_millis(20)));
    assert_eq!(kept.age.as_millis(), 9, "written 1 us after `a`");
    let namespace = Namespace::new("test").unwrap();
    let request = ScanRequest { namespace, after: None, limit: NonZeroUsize::MAX };
    assert_eq!(backend.scan(request).await.unwrap().keys, [key("b")]);
    assert!(backend.get(&key("b")).await.unwrap().is_none());
}

#[tokio::test]
async fn no_version_comes_again_though_its_entry_was_gone_before_the_commit() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    let both = || [Write::put(key("a"), "1"), Write::delete(key("a"))];
    let done = backend.write_many(&[both(), both(), both()].concat()).await.unwrap();
    let versions = done.into_iter().filter_map(|one| match one.unwrap() {
        Written::Applied { version } => version,
        Written::Refused { .. } => None,
    });
    let last = versions.max().unwrap();
    let backend = open_at(&map.killed(), clock);
    let Written::Applied { version } = backend.write(&claim("a")).await.unwrap() else {
        panic!("refused")
    };
    assert!(version.unwrap() > last);
}

#[tokio::test]
async fn what_cannot_be_read_is_reported_and_kept() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    assert!(backend.write(&brief("a", 1)).await.unwrap().is_applied());
    let place = (Table::Data, key("a").as_str().as_bytes().to_vec());
    for damage in [0, 7, 21] {
        let good = map.state().tables[&place].clone();
        map.state().tables.get_mut(&place).unwrap()[damage] ^= 0x40;
        let bad = map.state().tables[&place].clone();
        let corrupt =
            |error: steadfast_backend::Error| assert_eq!(error.kind(), ErrorKind::Corrupt);
        corrupt(backend.get(&key("a")).await.unwrap_err());
        corrupt(backend.write(&claim("a")).await.unwrap_err());
        corrupt(backend.write(&Write::put(key("a"), "over")).await.unwrap_err());
        corrupt(backend.write(&Write::delete(key("a"))).await.unwrap_err());
        let both = vec![Write::put(key("b"), "1"), Write::delete(key("a"))];
        corrupt(backend.transact(&both).await.unwrap_err());
        assert!(value(&*backend, "b").await.is_none());
        clock.advance(Duration::from_millis(2));
        assert_eq!(backend.sweep().await.unwrap(), 0);
        assert_eq!(map.state().tables[&place], bad);
        map.state().tables.insert(place.clone(), good);
    }
}

#[tokio::test]
async fn a_newer_or_damaged_store_is_refused() {
    let map = Map::default();
    drop(open(&map));
    let place = (Table::Meta, b"steadfast".to_vec());
    for at in [0, 5] {
        let good = map.state().tables[&place].clone();
        map.state().tables.get_mut(&place).unwrap()[at] = 9;
        let refused = steadfast_embedded::Embedded::<crate::support::MapEngine>::open(map.clone());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
        map.state().tables.insert(place.clone(), good);
    }
}
