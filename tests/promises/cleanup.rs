//! What nobody comes back for is removed, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast::backend::{Group, Key, Namespace, Ttl, Write};
use steadfast::session::Happening;
use steadfast::{Cleanup, ErrorKind, Principal, Sessions};

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, IDLE, World, alice, on_every_backend, stored_bytes, until};

fn bob() -> Principal {
    Principal::new("bob").unwrap()
}

async fn signed_in(sessions: &Sessions<Basket>, who: &Principal, count: usize) {
    for _ in 0..count {
        sessions.sign_in(who, "laptop", Basket::default()).await.unwrap();
    }
}

async fn entries_whose_time_is_over_are_removed(world: World) {
    let cleanup = Cleanup::builder(&world.store).start().unwrap();
    let put = async |name: &str, seconds: u64| {
        let key = world.store.key("k", &Group::new("g").unwrap(), name).unwrap();
        let ttl = Ttl::new(Duration::from_secs(seconds)).unwrap();
        let put = world.store.put_write(&key, &Basket::default()).unwrap().expiring(ttl);
        assert!(world.store.write(&put).await.unwrap().is_applied());
    };
    put("lives", 60).await;
    for number in 0..300 {
        put(&number.to_string(), 1).await;
    }
    assert_eq!(cleanup.run().await.unwrap().expired, 0);
    world.clock.advance(Duration::from_secs(2));
    // A writer may have taken some of them along.
    assert!(cleanup.run().await.unwrap().expired > 250);
    assert_eq!(cleanup.run().await.unwrap().expired, 0);
    assert_eq!(stored_bytes(&world).await.len(), 1);
}

async fn sessions_that_are_over_leave_the_lists(world: World) {
    let sessions = world.sessions();
    let cleanup = Cleanup::builder(&world.store).sessions(&sessions).start().unwrap();
    signed_in(&sessions, &alice(), 3).await;
    signed_in(&sessions, &bob(), 2).await;
    assert_eq!(cleanup.run().await.unwrap().listed, 0);
    world.clock.advance(IDLE * 2);
    signed_in(&sessions, &bob(), 1).await;
    let lists = async || {
        let stored = stored_bytes(&world).await;
        stored.iter().filter(|(key, _)| key.name() == "devices").count()
    };
    assert_eq!(lists().await, 2);
    assert_eq!(cleanup.run().await.unwrap().listed, 5);
    assert_eq!(lists().await, 1, "alice comes back no more");
    assert_eq!(sessions.devices(&bob(), None).await.unwrap().len(), 1);
    assert_eq!(cleanup.run().await.unwrap().listed, 0);
    signed_in(&sessions, &alice(), 1).await;
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1, "or does");
}

/// The principal's record is lost, and with it all of its sessions.
async fn lists_of_nobody_are_removed(world: World) {
    let sessions = world.sessions();
    let cleanup = Cleanup::builder(&world.store).sessions(&sessions).start().unwrap();
    signed_in(&sessions, &alice(), 3).await;
    for (key, _) in stored_bytes(&world).await {
        if key.name() == "user" {
            world.store.delete(&key).await.unwrap();
        }
    }
    assert_eq!(cleanup.run().await.unwrap().listed, 1);
    let stored = stored_bytes(&world).await;
    assert!(stored.iter().all(|(key, _)| key.name() != "devices"));
}

// `alone` lists no keys, so nobody finds the lists there.
on_every_backend!(
    entries_whose_time_is_over_are_removed;
    sessions_that_are_over_leave_the_lists,
    lists_of_nobody_are_removed,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_read_stays_and_the_others_are_looked_through() {
    let world = World::memory();
    let sessions = world.sessions();
    let cleanup = Cleanup::builder(&world.store).sessions(&sessions).start().unwrap();
    let namespace = Namespace::new("app").unwrap().child("v1").unwrap().child("session").unwrap();
    for group in ["0", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        let key = Key::new(&namespace, &Group::new(group).unwrap(), "devices").unwrap();
        assert!(world.backend.write(&Write::put(key, "foreign")).await.unwrap().is_applied());
    }
    signed_in(&sessions, &alice(), 1).await;
    world.clock.advance(IDLE * 2);
    assert_eq!(cleanup.run().await.unwrap_err().kind(), ErrorKind::Corrupt);
    let stored = stored_bytes(&world).await;
    let lists = stored.iter().filter(|(key, _)| key.name() == "devices");
    assert!(lists.clone().all(|(_, bytes)| bytes == "foreign"), "alice's is gone");
    assert_eq!(lists.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_run_and_not_the_cleanup() {
    let world = World::memory();
    let panics = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&panics);
    let sessions: Sessions<Basket> = Sessions::builder(&world.store)
        .idle(IDLE)
        .on_event(move |event| {
            let expired = event.what == Happening::Expired;
            assert!(!(expired && seen.load(Ordering::SeqCst)), "the test panics here");
        })
        .build()
        .unwrap();
    signed_in(&sessions, &alice(), 1).await;
    world.clock.advance(IDLE * 2);
    let every = Duration::from_millis(20);
    let cleanup = Cleanup::builder(&world.store).sessions(&sessions).every(every).start().unwrap();
    let failed = async || cleanup.last_run().is_some_and(|run| run.outcome.is_err());
    until("it panics", failed).await;
    panics.store(false, Ordering::SeqCst);
    let made = async || cleanup.last_run().is_some_and(|run| run.outcome.is_ok());
    until("it goes on", made).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_fails_is_told_and_the_next_one_goes_on() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let cleanup = Cleanup::builder(&faulty.store()).start().unwrap();
    assert!(cleanup.last_run().is_none());
    faulty.fail_next(&[Fault::Cut]);
    assert_eq!(cleanup.run().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(cleanup.last_run().unwrap().outcome.unwrap_err().contains("the test cut the link"));
    cleanup.run().await.unwrap();
    assert!(cleanup.last_run().unwrap().outcome.is_ok());
    let error = Cleanup::builder(&world.store).every(Duration::ZERO).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
