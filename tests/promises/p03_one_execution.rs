//! P3: for one key at most one holder's effects count; who lost the lease is told and fenced.

use steadfast::idempotency::{
    Begin, Completion, Fingerprint, IdempotencyKey, OnLapse, Reason, Release, Renewal, Tombstone,
};

use crate::fault::{Fault, Faulty};
use crate::world::{
    LEASE, Receipt, SECOND, World, acquired, erase, on_every_backend, on_servers, pay, scope,
};

on_every_backend!(
    of_64_callers_one_acquires,
    a_holder_that_was_taken_over_is_fenced,
    a_lost_reply_to_begin_is_recognised,
    a_renewed_lease_does_not_lapse,
    a_released_key_is_free_again,
    a_key_is_free_though_the_reply_to_a_renewal_was_lost,
    a_key_that_was_given_up_keeps_its_request,
    a_late_failure_cannot_end_the_successors_claim,
    what_may_have_had_effects_is_not_released,
    a_renewal_revives_nothing,
    a_record_that_the_store_lost_is_completed_all_the_same,
    a_take_over_ends_after_five_holders,
    each_step_takes_one_trip,
);

on_servers!(
    of_64_callers_one_acquires,
    a_lost_reply_to_begin_is_recognised,
    a_released_key_is_free_again,
    a_key_is_free_though_the_reply_to_a_renewal_was_lost,
    a_key_that_was_given_up_keeps_its_request,
    a_renewal_revives_nothing,
    each_step_takes_one_trip;
    a_record_that_the_store_lost_is_completed_all_the_same,
);

async fn of_64_callers_one_acquires(world: World) {
    let store = Faulty::new(world.backend.clone()).store();
    let payments = steadfast::Idempotency::builder(&store).lease(LEASE).build().unwrap();
    let calls = (0..64).map(|_caller| {
        let payments = payments.clone();
        tokio::spawn(async move { pay(&payments).await.unwrap() })
    });
    let (mut acquired, mut in_flight) = (0, 0);
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Begin::Acquired(_) => acquired += 1,
            Begin::InFlight { lease_left, .. } => {
                // On a server time passes meanwhile.
                assert!(lease_left <= LEASE && lease_left > LEASE / 2, "{lease_left:?}");
                in_flight += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((acquired, in_flight), (1, 63));
}

async fn a_holder_that_was_taken_over_is_fenced(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let mut zombie = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE);
    let successor = acquired(pay(&payments).await.unwrap());
    assert_eq!((zombie.attempt(), successor.attempt()), (1, 2));
    assert!(successor.fence() > zombie.fence());
    assert_eq!(successor.effect_id(), zombie.effect_id());

    assert_eq!(zombie.renew().await.unwrap(), Renewal::Lost);
    let fenced = zombie.complete(&Receipt::new("zombie")).await.unwrap();
    assert!(matches!(fenced, Completion::Fenced { winner: None }));

    let done = successor.complete(&Receipt::new("successor")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    let fenced = zombie.complete(&Receipt::new("zombie")).await.unwrap();
    let Completion::Fenced { winner: Some(winner) } = fenced else { panic!("{fenced:?}") };
    assert_eq!(winner, Receipt::new("successor"));
}

async fn a_lost_reply_to_begin_is_recognised(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    faulty.fail_next(&[Fault::ReplyLost]);
    let claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.attempt(), 1);
    let done = claim.complete(&Receipt::new("mine")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
}

async fn a_renewed_lease_does_not_lapse(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    for _beat in 0..10 {
        world.clock.advance(LEASE - SECOND);
        assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
    }
    let other = pay(&payments).await.unwrap();
    assert!(matches!(other, Begin::InFlight { lease_left, .. } if lease_left == LEASE));
    let done = claim.complete(&Receipt::new("mine")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
}

async fn a_released_key_is_free_again(world: World) {
    let payments = world.payments().build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.release().await.unwrap(), Release::Released);
    assert_eq!(claim.release().await.unwrap(), Release::Released, "a repeat");
    assert_eq!(acquired(pay(&payments).await.unwrap()).attempt(), 1);
}

/// A's late failure must not delete B's record (Powertools Python 3.37: three executions).
async fn a_late_failure_cannot_end_the_successors_claim(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let zombie = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE);
    let successor = acquired(pay(&payments).await.unwrap());
    assert_eq!(zombie.release().await.unwrap(), Release::Lost);
    let fenced = zombie.tombstone(Reason::Failed, None).await.unwrap();
    assert!(matches!(fenced, Tombstone::Fenced { winner: None }), "{fenced:?}");
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { attempt: 2, .. }));

    let done = successor.complete(&Receipt::new("successor")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert_eq!(zombie.release().await.unwrap(), Release::Lost);
    let fenced = zombie.tombstone(Reason::Failed, None).await.unwrap();
    let Tombstone::Fenced { winner: Some(winner) } = fenced else { panic!("{fenced:?}") };
    assert_eq!(winner, Receipt::new("successor"));
}

/// The handler threw after the effect, and the key was deleted: the retry ran it again.
async fn what_may_have_had_effects_is_not_released(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let _dead = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE);
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.release().await.unwrap(), Release::Refused, "the one before may have");
    assert_eq!(claim.mark_effects().await.unwrap(), Renewal::Renewed);
    assert_eq!(claim.release().await.unwrap(), Release::Refused, "this one has");
    world.clock.advance(LEASE + SECOND);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { attempt: 2 }));
}

async fn a_renewal_revives_nothing(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.release().await.unwrap(), Release::Released);
    assert_eq!(claim.renew().await.unwrap(), Renewal::Lost, "released");
    let mut claim = acquired(pay(&payments).await.unwrap());
    let given_up = claim.tombstone(Reason::Failed, None).await.unwrap();
    assert!(matches!(given_up, Tombstone::Kept));
    assert_eq!(claim.renew().await.unwrap(), Renewal::Lost, "given up");
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    assert_eq!(claim.renew().await.unwrap(), Renewal::Lost, "completed");
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}

/// Failover or eviction: nobody else began, so the work that was done is the work.
async fn a_record_that_the_store_lost_is_completed_all_the_same(world: World) {
    let payments = world.payments().build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    erase(&world).await;
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));

    erase(&world).await;
    let successor = acquired(pay(&payments).await.unwrap());
    let fenced = claim.complete(&Receipt::new("1")).await.unwrap();
    assert!(matches!(fenced, Completion::Fenced { winner: None }), "{fenced:?}");
    assert!(successor.fence() > claim.fence());
    assert_ne!(successor.effect_id(), claim.effect_id());
    assert_eq!(successor.downstream_key(), claim.downstream_key(), "a bank remembers longer");
}

async fn a_take_over_ends_after_five_holders(world: World) {
    let payments = world.payments().on_lapse(OnLapse::Recover).build().unwrap();
    let mut last = None;
    for attempt in 1..=5 {
        let claim = acquired(pay(&payments).await.unwrap());
        assert_eq!(claim.attempt(), attempt);
        world.clock.advance(LEASE);
        last = Some(claim);
    }
    for _again in 0..2 {
        let over = pay(&payments).await.unwrap();
        let reason = Reason::Attempts;
        let expected =
            matches!(over, Begin::Indeterminate { reason: r, answer: None } if r == reason);
        assert!(expected, "{over:?}");
    }
    // The last one was slow, not dead.
    let done = last.unwrap().complete(&Receipt::new("late")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}

async fn each_step_takes_one_trip(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(faulty.trips(), 1, "begin");
    for _beat in 0..2 {
        assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
        assert_eq!(faulty.trips(), 1, "renew");
    }
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    assert_eq!(faulty.trips(), 1, "in flight");
    let done = claim.complete(&Receipt::new("1")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert_eq!(faulty.trips(), 1, "complete");
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
    assert_eq!(faulty.trips(), 1, "replay");
}

async fn a_key_is_free_though_the_reply_to_a_renewal_was_lost(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::builder(&faulty.store()).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    faulty.fail_next(&[Fault::ReplyLost, Fault::ReplyLost]);
    assert!(claim.renew().await.unwrap_err().is_ambiguous());
    assert_eq!(claim.release().await.unwrap(), Release::Released);
    assert_eq!(acquired(pay(&payments).await.unwrap()).attempt(), 1);
}

async fn a_key_that_was_given_up_keeps_its_request(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    for _repeat in 0..2 {
        let given_up = claim.tombstone(Reason::Panicked, None).await.unwrap();
        assert!(matches!(given_up, Tombstone::Kept), "{given_up:?}");
    }
    let (key, other) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["a hundred"]));
    let begin = payments.begin(&scope(), &key, &other).await.unwrap();
    assert!(matches!(begin, Begin::Mismatch), "{begin:?}");
    assert_eq!(acquired(pay(&payments).await.unwrap()).attempt(), 2);
}
