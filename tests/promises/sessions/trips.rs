//! How often each verb goes to the store. A pipeline, a transaction or a script is one trip.

use steadfast::Sessions;
use steadfast::session::{AtLimit, Edit, Rotation};

use crate::fault::Faulty;
use crate::world::{
    Basket, World, alice, on_memcached, on_redis, sessions, unsigned_and_signed,
    where_keys_change_alone, where_keys_change_together,
};

where_keys_change_together!(
    every_verb_takes_as_few_trips_as_the_contract_allows,
    at_the_limit_it_is_one_more,
);

where_keys_change_alone!(one_write_after_the_other_takes_a_trip_each, at_the_limit_it_is_two_more);

on_redis!(every_verb_takes_as_few_trips_as_the_contract_allows, at_the_limit_it_is_one_more);

on_memcached!(one_write_after_the_other_takes_a_trip_each, at_the_limit_it_is_two_more);

async fn every_verb_takes_as_few_trips_as_the_contract_allows(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let trips = |verb: &str, expected: usize| assert_eq!(faulty.trips(), expected, "{verb}");

    let anonymous = sessions.create(Basket::default()).await.unwrap().id;
    trips("create", 1);
    sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap();
    // One to read the list and the generation, one to write them with the session.
    trips("sign in", 2);
    sessions.elevate(&anonymous, &alice(), "b").await.unwrap();
    trips("elevate", 2);
    for id in unsigned_and_signed(&sessions).await {
        faulty.trips();
        sessions.load(&id).await.unwrap().unwrap();
        trips("load", 1);
        sessions.peek(&id).await.unwrap().unwrap();
        trips("peek", 1);
        sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        trips("update", 2);
        sessions.edit(&id, &Edit::new().set("a", 1)).await.unwrap();
        trips("edit", 2);
        let id = sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
        trips("rotate", 2);
        sessions.destroy(&id).await.unwrap();
        trips("destroy", 2);
    }
    let devices = sessions.devices(&alice(), None).await.unwrap();
    trips("devices", 2);
    sessions.destroy_device(&alice(), &devices[0].short_id).await.unwrap();
    trips("destroy a device", 2);
    sessions.destroy_all(&alice()).await.unwrap();
    trips("destroy all", 1);
}

/// As the documentation of `session` says.
async fn one_write_after_the_other_takes_a_trip_each(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let trips = |verb: &str, expected: usize| assert_eq!(faulty.trips(), expected, "{verb}");

    let anonymous = sessions.create(Basket::default()).await.unwrap().id;
    trips("create", 1);
    sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap();
    trips("sign in", 4);
    sessions.elevate(&anonymous, &alice(), "b").await.unwrap();
    trips("elevate", 5);
    for (id, more) in unsigned_and_signed(&sessions).await.into_iter().zip(0..) {
        faulty.trips();
        sessions.load(&id).await.unwrap().unwrap();
        trips("load", 1);
        sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        trips("update", 2);
        let id = sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
        trips("rotate", 3 + more);
        sessions.destroy(&id).await.unwrap();
        trips("destroy", 2 + more);
    }
    let devices = sessions.devices(&alice(), None).await.unwrap();
    trips("devices", 2);
    sessions.destroy_device(&alice(), &devices[0].short_id).await.unwrap();
    trips("destroy a device", 3);
    sessions.destroy_all(&alice()).await.unwrap();
    trips("destroy all", 1);
}

async fn at_the_limit_it_is_one_more(world: World) {
    at_the_limit(world, 3).await;
}

async fn at_the_limit_it_is_two_more(world: World) {
    at_the_limit(world, 6).await;
}

/// Which of the listed sessions still live has to be asked.
async fn at_the_limit(world: World, trips: usize) {
    let faulty = Faulty::new(world.backend.clone());
    for at_limit in [AtLimit::EvictOldest, AtLimit::Refuse] {
        let builder = Sessions::<Basket>::builder(&faulty.store()).per_principal_max(1);
        let sessions = builder.at_limit(at_limit).build().unwrap();
        sessions.destroy_all(&alice()).await.unwrap();
        sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap();
        faulty.trips();
        let signed_in = sessions.sign_in(&alice(), "b", Basket::default()).await.is_ok();
        assert_eq!(faulty.trips(), if signed_in { trips } else { 2 });
    }
}
