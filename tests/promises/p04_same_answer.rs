//! P4: every replay of a completed key returns the same answer.

use std::time::Duration;

use steadfast::Principal;
use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey, Scope};

use crate::fault::{Fault, Faulty};
use crate::world::{LEASE, Receipt, World, acquired, on_every_backend, on_servers, pay, scope};

on_every_backend!(
    a_completed_key_replays_until_its_retention_ends,
    a_lost_reply_to_complete_is_recognised,
    a_repeated_complete_keeps_the_first_answer,
    another_request_under_the_key_is_told_in_every_state,
    a_key_of_another_scope_is_another_key,
    a_forgotten_key_names_its_effects_anew,
);

on_servers!(
    a_lost_reply_to_complete_is_recognised,
    a_repeated_complete_keeps_the_first_answer,
    a_key_of_another_scope_is_another_key,
);

async fn a_completed_key_replays_until_its_retention_ends(world: World) {
    let retention = Duration::from_secs(1_000);
    let payments = world.payments().retention(retention).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE / 2);
    let answer = Receipt::new("paid");
    assert!(matches!(claim.complete(&answer).await.unwrap(), Completion::Completed));
    for _retry in 0..2 {
        let Begin::Replay(again) = pay(&payments).await.unwrap() else { panic!("no replay") };
        assert_eq!(again, answer);
        world.clock.advance(retention - Duration::from_millis(1) - LEASE);
        world.clock.advance(LEASE / 2);
        let replay = pay(&payments).await.unwrap();
        assert!(matches!(replay, Begin::Replay(_)), "{replay:?}");
        world.clock.advance(LEASE / 2 + Duration::from_millis(1));
        let anew = acquired(pay(&payments).await.unwrap());
        assert!(matches!(anew.complete(&answer).await.unwrap(), Completion::Completed));
    }
}

async fn a_lost_reply_to_complete_is_recognised(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    faulty.fail_next(&[Fault::ReplyLost]);
    let done = claim.complete(&Receipt::new("paid")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}

async fn a_repeated_complete_keeps_the_first_answer(world: World) {
    let payments = world.payments().build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    assert!(matches!(claim.complete(&Receipt::new("2")).await.unwrap(), Completion::Completed));
    let Begin::Replay(answer) = pay(&payments).await.unwrap() else { panic!("no replay") };
    assert_eq!(answer, Receipt::new("1"));
}

async fn another_request_under_the_key_is_told_in_every_state(world: World) {
    let payments = world.payments().build().unwrap();
    let (key, other) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["a hundred"]));
    let claim = acquired(pay(&payments).await.unwrap());
    let begin = payments.begin(&scope(), &key, &other).await.unwrap();
    assert!(matches!(begin, Begin::Mismatch), "running: {begin:?}");
    world.clock.advance(LEASE);
    let begin = payments.begin(&scope(), &key, &other).await.unwrap();
    assert!(matches!(begin, Begin::Mismatch), "lapsed: {begin:?}");
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    let begin = payments.begin(&scope(), &key, &other).await.unwrap();
    assert!(matches!(begin, Begin::Mismatch), "completed: {begin:?}");
}

async fn a_key_of_another_scope_is_another_key(world: World) {
    let payments = world.payments().build().unwrap();
    let (key, print) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["ten euros"]));
    let bob = Principal::new("bob").unwrap();
    for scope in [
        scope(),
        Scope::of(&bob, "pay"),
        Scope::of(&bob, "refund"),
        Scope::anonymous("pay"),
        Scope::anonymous("refund"),
    ] {
        let _claim = acquired(payments.begin(&scope, &key, &print).await.unwrap());
    }
}

async fn a_forgotten_key_names_its_effects_anew(world: World) {
    let retention = Duration::from_secs(1_000);
    let payments = world.payments().retention(retention).build().unwrap();
    let first = acquired(pay(&payments).await.unwrap());
    assert!(matches!(first.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    world.clock.advance(retention);
    let second = acquired(pay(&payments).await.unwrap());
    assert_ne!(first.effect_id(), second.effect_id());
}
