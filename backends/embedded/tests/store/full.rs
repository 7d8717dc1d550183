//! A store without room for more: whoever wants to store something must not keep the others from
//! removing.

use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Backend, Condition, ErrorKind, Transacted, Write};
use steadfast_embedded::Table;

use crate::support::{Fate, Map, brief, claim, key, open, settle, stop, value};

#[tokio::test]
async fn deletes_get_through_beside_puts_that_do_not() {
    let map = Map::default();
    let (backend, _) = open(&map);
    for name in ["session", "device", "other"] {
        assert!(backend.write(&claim(name)).await.unwrap().is_applied());
    }
    let first = stop(&map, &backend).await;
    let spawn = |write: Write| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { backend.write(&write).await })
    };
    let put = spawn(Write::put(key("session"), "late"));
    let refused = spawn(claim("other"));
    let logout = tokio::spawn({
        let backend = Arc::clone(&backend);
        let logout = vec![
            Write::delete(key("session")).only_if(Condition::Present),
            Write::delete(key("device")),
        ];
        async move { backend.transact(&logout).await }
    });
    let touch = spawn(Write::touch(key("other"), None));
    settle().await;
    map.state().fate = Fate::Full;
    map.go();
    first.await.unwrap();
    for stored in [put, touch] {
        let error = stored.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(!error.is_ambiguous());
    }
    let logout = logout.await.unwrap().unwrap();
    assert_eq!(logout, Transacted::Applied { versions: vec![None, None] });
    assert!(!refused.await.unwrap().unwrap().is_applied(), "a lost race is told");
    assert!(value(&*backend, "session").await.is_none());
    assert!(value(&*backend, "device").await.is_none());
    assert_eq!(value(&*backend, "other").await.unwrap(), "mine");
}

#[tokio::test]
async fn a_batch_does_the_part_that_needs_no_room() {
    let map = Map::default();
    let (backend, _) = open(&map);
    assert!(backend.write(&claim("old")).await.unwrap().is_applied());
    map.state().fate = Fate::Full;
    let batch = vec![
        Write::put(key("new"), "1"),
        Write::delete(key("old")),
        claim("old"),
        Write::check(key("old"), Condition::Absent),
    ];
    let done = backend.write_many(&batch).await.unwrap();
    let kinds: Vec<_> =
        done.into_iter().map(|one| one.map_err(|error| error.kind()).err()).collect();
    assert_eq!(kinds, [Some(ErrorKind::Full), None, Some(ErrorKind::Full), None]);
    assert!(value(&*backend, "old").await.is_none());
}

#[tokio::test]
async fn a_sweep_gets_through_beside_puts_that_do_not() {
    let map = Map::default();
    let (backend, clock) = open(&map);
    assert!(backend.write(&brief("dead", 1)).await.unwrap().is_applied());
    clock.advance(Duration::from_millis(1));
    let first = stop(&map, &backend).await;
    let sweep = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.sweep().await }
    });
    let put = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.write(&claim("new")).await }
    });
    settle().await;
    map.state().fate = Fate::Full;
    map.go();
    first.await.unwrap();
    assert_eq!(put.await.unwrap().unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(sweep.await.unwrap().unwrap(), 1);
    let left: Vec<_> = map.state().tables.keys().map(|(table, _)| *table).collect();
    assert_eq!(left, [Table::Data, Table::Meta], "the first entry and the store's own record");
}
