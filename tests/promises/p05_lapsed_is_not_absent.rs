//! P5: a claim whose holder died is told apart from a key never seen.

use std::time::Duration;

use steadfast::idempotency::{Begin, Completion, OnLapse};

use crate::world::{LEASE, Receipt, World, acquired, on_every_backend, pay};

on_every_backend!(
    a_lapsed_key_is_refused_by_default,
    a_lapsed_key_is_taken_over_where_that_is_allowed,
    the_lease_ends_exactly,
    a_late_holder_may_still_complete,
);

async fn a_lapsed_key_is_refused_by_default(world: World) {
    let payments = world.payments().build().unwrap();
    drop(acquired(pay(&payments).await.unwrap()));
    world.clock.advance(LEASE * 100);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { attempt: 1 }));
}

async fn a_lapsed_key_is_taken_over_where_that_is_allowed(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    drop(acquired(pay(&payments).await.unwrap()));
    world.clock.advance(LEASE);
    assert_eq!(acquired(pay(&payments).await.unwrap()).attempt(), 2);
}

async fn the_lease_ends_exactly(world: World) {
    let payments = world.payments().build().unwrap();
    let _claim = acquired(pay(&payments).await.unwrap());
    let last = Duration::from_micros(1);
    world.clock.advance(LEASE - last);
    let Begin::InFlight { lease_left } = pay(&payments).await.unwrap() else { panic!("lapsed") };
    assert_eq!(lease_left, last);
    world.clock.advance(last);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { .. }));
}

async fn a_late_holder_may_still_complete(world: World) {
    let payments = world.payments().build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE * 2);
    let done = claim.complete(&Receipt::new("late")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}
