//! P1: two concurrent updates of one session, or of one record, both take effect.

use steadfast::backend::Group;

use crate::fault::Faulty;
use crate::world::{Basket, World, on_every_backend, on_servers, sessions};

on_every_backend!(
    fifty_updates_of_one_session_all_count,
    fifty_updates_of_one_record_all_count,
    those_that_lose_a_race_wait_for_their_turn,
);

on_servers!(
    fifty_updates_of_one_session_all_count,
    fifty_updates_of_one_record_all_count,
    those_that_lose_a_race_wait_for_their_turn,
);

async fn fifty_updates_of_one_session_all_count(world: World) {
    // Each call waits before and after it reaches the store, so that the updates interleave.
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let adds = (0..50).map(|item| {
        let (sessions, id) = (sessions.clone(), id.clone());
        tokio::spawn(async move { sessions.update(&id, |basket| basket.items.push(item)).await })
    });
    for add in adds.collect::<Vec<_>>() {
        add.await.unwrap().unwrap();
    }
    let mut items = sessions.load(&id).await.unwrap().unwrap().state.items;
    items.sort_unstable();
    assert_eq!(items, (0..50).collect::<Vec<_>>());
}

async fn fifty_updates_of_one_record_all_count(world: World) {
    let store = Faulty::new(world.backend.clone()).store();
    let key = store.key("basket", &Group::new("g").unwrap(), "one").unwrap();
    let adds = (0..50).map(|item| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move {
            let add = |basket: &mut Option<Basket>| basket.get_or_insert_default().items.push(item);
            store.update(&key, None, add).await
        })
    });
    for add in adds.collect::<Vec<_>>() {
        add.await.unwrap().unwrap();
    }
    let record = world.store.get::<Basket>(&key).await.unwrap().unwrap();
    assert_eq!(record.value.items.len(), 50);
}

/// Without turns each of them would race all others each time: thousands of trips.
async fn those_that_lose_a_race_wait_for_their_turn(world: World) {
    const UPDATES: usize = 100;
    let faulty = Faulty::new(world.backend.clone());
    let store = faulty.store();
    let key = store.key("basket", &Group::new("g").unwrap(), "one").unwrap();
    let adds = (0..100).map(|item| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move {
            let add = |basket: &mut Option<Basket>| basket.get_or_insert_default().items.push(item);
            store.update(&key, None, add).await
        })
    });
    for add in adds.collect::<Vec<_>>() {
        add.await.unwrap().unwrap();
    }
    // A read and a write each, the same again for the turn, and a write lost to a newcomer.
    let trips = faulty.trips();
    assert!(trips <= UPDATES * 5, "{trips} trips");
}
