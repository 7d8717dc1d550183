//! One commit for all who wait: what they are told, and what a failure means for them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::support::{Fate, Map, claim, key, open, settle, stop, value};
use steadfast_backend::{Backend, ErrorKind, Transacted, Write, Written};

#[tokio::test]
async fn writers_that_wait_together_share_a_commit() {
    let map = Map::default();
    let (backend, _) = open(&map);
    let first = stop(&map, &backend).await;
    let commits = map.state().commits;
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { backend.write(&claim(&format!("k{}", writer % 32))).await })
        })
        .collect();
    settle().await;
    map.go();
    first.await.unwrap();
    let mut applied = 0;
    for writer in writers {
        match writer.await.unwrap().unwrap() {
            Written::Applied { .. } => applied += 1,
            Written::Refused { current } => assert_eq!(current.unwrap().value, "mine"),
        }
    }
    assert_eq!(applied, 32, "each key was claimed once");
    assert_eq!(map.state().commits, commits + 2, "the first one, and all others together");
}

#[tokio::test]
async fn a_failed_commit_fails_its_group_and_shows_nothing() {
    for (fate, ambiguous) in [
        (Fate::Refused, false),
        (Fate::LostBefore, false),
        (Fate::LostAfter, true),
        (Fate::Gone, true),
    ] {
        let map = Map::default();
        let (backend, _) = open(&map);
        map.state().fate = fate;
        let error = backend.write(&claim("a")).await.unwrap_err();
        assert_eq!(error.is_ambiguous(), ambiguous, "{fate:?}");
        map.state().fate = Fate::Made;
        map.state().gone = false;
        let made = fate == Fate::LostAfter;
        assert_eq!(value(&*backend, "a").await.is_some(), made, "{fate:?}");
        assert_eq!(backend.write(&claim("a")).await.unwrap().is_applied(), !made, "{fate:?}");
    }
}

#[tokio::test]
async fn a_refusal_in_a_failed_group_is_not_ambiguous() {
    let map = Map::default();
    let (backend, _) = open(&map);
    assert!(backend.write(&Write::put(key("there"), "1")).await.unwrap().is_applied());
    map.state().fate = Fate::Gone;
    let results = backend.write_many(&[claim("there"), claim("new")]).await.unwrap();
    let ambiguous: Vec<_> =
        results.into_iter().map(|one| one.unwrap_err().is_ambiguous()).collect();
    assert_eq!(ambiguous, [false, true]);
}

#[tokio::test]
async fn what_changes_nothing_is_not_committed() {
    let map = Map::default();
    let (backend, _) = open(&map);
    assert!(backend.write(&claim("a")).await.unwrap().is_applied());
    let commits = map.state().commits;
    assert!(!backend.write(&claim("a")).await.unwrap().is_applied());
    assert!(backend.write(&Write::delete(key("absent"))).await.unwrap().is_applied());
    let refused = backend.transact(&[Write::delete(key("b")), claim("a")]).await.unwrap();
    assert!(matches!(refused, Transacted::Refused { index: 1, current: Some(_) }));
    assert_eq!(map.state().commits, commits);
    backend.check().await.unwrap();
    assert_eq!(map.state().commits, commits + 1, "a check reaches the disk");
}

#[tokio::test]
async fn a_dropped_write_is_made_whole_and_a_full_queue_waits() {
    let map = Map::default();
    let (backend, _) = open(&map);
    let first = stop(&map, &backend).await;
    let big = vec![7; 16 << 20];
    let mut context = Context::from_waker(Waker::noop());
    {
        let put = Write::put(key("dropped"), "whole");
        let mut dropped = pin!(backend.write(&put));
        assert!(dropped.as_mut().poll(&mut context).is_pending());
    }
    let put = |n| Write::put(key(&format!("big{n}")), big.clone());
    let puts: Vec<_> = (0..6).map(put).collect();
    let mut waiting: Vec<_> = puts.iter().map(|put| Box::pin(backend.write(put))).collect();
    for write in &mut waiting {
        assert!(write.as_mut().poll(&mut context).is_pending(), "no error, though it is full");
    }
    map.go();
    first.await.unwrap();
    for write in waiting {
        assert!(write.await.unwrap().is_applied());
    }
    assert_eq!(value(&*backend, "dropped").await.unwrap(), "whole");
}

#[tokio::test]
async fn close_finishes_what_was_accepted() {
    let map = Map::default();
    let (backend, _) = open(&map);
    let first = stop(&map, &backend).await;
    let accepted = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.write(&claim("accepted")).await }
    });
    settle().await;
    let closed = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.close().await }
    });
    settle().await;
    assert_eq!(backend.write(&claim("late")).await.unwrap_err().kind(), ErrorKind::Closed);
    map.go();
    first.await.unwrap();
    assert!(accepted.await.unwrap().unwrap().is_applied());
    closed.await.unwrap().unwrap();
    backend.close().await.unwrap();
    assert_eq!(backend.get(&key("accepted")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(map.state().open, 0);
}

#[tokio::test]
async fn dropping_it_finishes_and_closes() {
    let map = Map::default();
    let (backend, _) = open(&map);
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(backend.write(&claim("last"))).poll(&mut context).is_pending());
    drop(backend);
    assert_eq!(map.state().open, 0);
    let (backend, _) = open(&map);
    assert_eq!(value(&*backend, "last").await.unwrap(), "mine");
}

#[test]
fn reads_work_without_a_tokio_runtime() {
    let map = Map::default();
    let (backend, _) = open(&map);
    let mut context = Context::from_waker(Waker::noop());
    let key = key("absent");
    assert!(pin!(backend.get(&key)).poll(&mut context).is_ready());
}
