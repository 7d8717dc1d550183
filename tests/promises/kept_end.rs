//! A window that each call makes longer never ends: a change that keeps a record's time to live
//! moves its end no further away.

use std::time::Duration;

use steadfast::Store;
use steadfast::backend::{Group, Key, Ttl, Write};
use steadfast::store::{Draft, TtlChange};

use crate::fault::Faulty;
use crate::world::{Basket, SECOND, World, on_every_backend, on_servers};

on_every_backend!(
    a_change_that_keeps_the_end_does_not_move_it_however_late_it_comes,
    a_change_sees_how_old_a_record_is_and_what_it_has_left,
    a_change_may_move_the_end_and_leave_the_value,
    calls_at_once_share_one_window,
);

on_servers!(a_change_may_move_the_end_and_leave_the_value, calls_at_once_share_one_window);

const WINDOW: Duration = Duration::from_secs(60);

fn key(store: &Store) -> Key {
    store.key("calls", &Group::new("g").unwrap(), "one").unwrap()
}

fn window() -> Ttl {
    Ttl::new(WINDOW).unwrap()
}

/// Counts a call, in a window that the first one begins.
fn count(draft: &mut Draft<Basket>) -> usize {
    if draft.value.is_none() {
        draft.ttl = TtlChange::Set(window());
    }
    let basket = draft.value.get_or_insert_default();
    basket.items.push(0);
    basket.items.len()
}

async fn calls(store: &Store) -> usize {
    let record = store.get::<Basket>(&key(store)).await.unwrap();
    record.map_or(0, |record| record.value.items.len())
}

async fn a_change_that_keeps_the_end_does_not_move_it_however_late_it_comes(world: World) {
    let (store, key) = (&world.store, key(&world.store));
    store.update_with(&key, count).await.unwrap();
    for second in (0..50).step_by(10) {
        // It takes five seconds from what it saw to its write.
        let late = |draft: &mut Draft<Basket>| {
            world.clock.advance(SECOND * 5);
            count(draft)
        };
        store.update_with(&key, late).await.unwrap();
        let left = store.get::<Basket>(&key).await.unwrap().unwrap().left.unwrap();
        assert!(left <= WINDOW - SECOND * (second + 5), "{left:?} at {second}");
        world.clock.advance(SECOND * 5);
    }
    world.clock.advance(SECOND * 8);
    assert_eq!(calls(store).await, 6);
    // The time of some stores is in whole seconds.
    world.clock.advance(SECOND * 4);
    assert_eq!(calls(store).await, 0);
    assert_eq!(store.update_with(&key, count).await.unwrap().output, 1);
    assert!(store.get::<Basket>(&key).await.unwrap().unwrap().left.unwrap() > WINDOW - SECOND * 2);
}

async fn a_change_sees_how_old_a_record_is_and_what_it_has_left(world: World) {
    let (store, key) = (&world.store, key(&world.store));
    let look = |draft: &mut Draft<Basket>| (draft.age, draft.left);
    assert_eq!(store.update_with(&key, look).await.unwrap().output, (None, None));
    store.set(&key, &Basket::default(), Some(window())).await.unwrap();
    world.clock.advance(SECOND * 20);
    let (age, left) = store.update_with(&key, look).await.unwrap().output;
    assert!((SECOND * 18..=SECOND * 20).contains(&age.unwrap()), "{age:?}");
    assert!((SECOND * 38..=SECOND * 41).contains(&left.unwrap()), "{left:?}");
    store.set(&key, &Basket::default(), None).await.unwrap();
    assert_eq!(store.update_with(&key, look).await.unwrap().output.1, None);
}

async fn a_change_may_move_the_end_and_leave_the_value(world: World) {
    let (store, key) = (&world.store, key(&world.store));
    let mut version = store.update_with(&key, count).await.unwrap().version;
    for ttl in [TtlChange::Set(Ttl::new(WINDOW * 60).unwrap()), TtlChange::Remove] {
        let extend = |draft: &mut Draft<Basket>| draft.ttl = ttl;
        let extended = store.update_with(&key, extend).await.unwrap().version;
        assert!(extended > version);
        let left = store.get::<Basket>(&key).await.unwrap().unwrap().left;
        assert_eq!(left.is_some(), ttl != TtlChange::Remove);
        assert!(left.is_none_or(|left| left > WINDOW * 2), "{left:?}");
        version = extended;
    }
    // Nothing is to change.
    let looked = store.update_with(&key, |_draft: &mut Draft<Basket>| ()).await.unwrap();
    assert_eq!(looked.version, version);
    let removed = store.update_with(&key, |draft: &mut Draft<Basket>| draft.value = None).await;
    assert_eq!(removed.unwrap().version, None);
    assert_eq!(calls(store).await, 0);
}

async fn calls_at_once_share_one_window(world: World) {
    // Each call waits before and after it reaches the store, so that they interleave.
    let store = Faulty::new(world.backend.clone()).store();
    let counts = (0..30).map(|_call| {
        let store = store.clone();
        tokio::spawn(async move { store.update_with(&key(&store), count).await.unwrap().output })
    });
    let mut seen = Vec::new();
    for count in counts.collect::<Vec<_>>() {
        seen.push(count.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=30).collect::<Vec<_>>());
    let left = store.get::<Basket>(&key(&store)).await.unwrap().unwrap().left.unwrap();
    assert!(left <= WINDOW);
    // The end that was kept does not move with the entry's.
    let longer = Ttl::new(WINDOW * 60).unwrap();
    let touched = store.write(&Write::touch(key(&store), Some(longer))).await.unwrap();
    assert!(touched.is_applied());
    let left = store.get::<Basket>(&key(&store)).await.unwrap().unwrap().left.unwrap();
    assert!(left <= WINDOW);
}
