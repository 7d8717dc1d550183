//! P5: a claim whose holder died is told apart from a key never seen.

use std::time::Duration;

use steadfast::Idempotency;
use steadfast::idempotency::{
    Begin, Completion, Fingerprint, KeyState, OnLapse, Reason, Renewal, Resolution, Resolved,
    Tombstone,
};
use steadfast::idempotency::{IdempotencyKey, Status};

use crate::world::{
    LEASE, Receipt, SECOND, World, acquired, on_every_backend, on_servers, pay, scope,
};

on_every_backend!(
    a_lapsed_key_is_refused_by_default,
    a_lapsed_key_is_taken_over_where_that_is_allowed,
    a_lapsed_key_whose_effects_began_is_not_taken_over,
    a_lapsed_key_is_recovered_from_its_checkpoint,
    the_lease_ends_exactly,
    a_claim_that_is_not_renewed_lapses_after_ten_seconds,
    a_late_holder_may_still_renew_and_complete,
    an_unknown_outcome_is_kept_with_what_the_client_was_told,
    an_answer_that_was_too_large_is_never_made_again,
    what_the_caller_was_told_stays,
    a_reconciler_settles_what_is_unknown,
    a_late_holder_is_fenced_by_what_was_found_out_unless_that_is_nothing,
    a_stale_resolution_changes_nothing,
    a_checkpoint_has_a_limit,
);

on_servers!(an_answer_that_was_too_large_is_never_made_again, a_checkpoint_has_a_limit);

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

/// So a retry is answered within that, however long the work of the dead holder would have taken.
async fn a_claim_that_is_not_renewed_lapses_after_ten_seconds(world: World) {
    let payments = Idempotency::<Receipt>::builder(&world.store).build().unwrap();
    drop(acquired(pay(&payments).await.unwrap()));
    world.clock.advance(SECOND * 10 - Duration::from_millis(1));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { attempt: 1 }));
    world.clock.advance(SECOND * 86_389);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { attempt: 1 }), "for a day");
    world.clock.advance(SECOND * 2);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Acquired(_)), "it is forgotten");
}

/// The process died after effects and before the answer was kept: never a silent second run.
async fn a_lapsed_key_whose_effects_began_is_not_taken_over(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.mark_effects().await.unwrap(), Renewal::Renewed);
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed, "a renewal keeps the mark");
    drop(claim);
    world.clock.advance(LEASE + SECOND);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { attempt: 1 }));
}

async fn a_lapsed_key_is_recovered_from_its_checkpoint(world: World) {
    let payments = world.payments().on_lapse(OnLapse::Recover).build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.checkpoint(), None);
    for step in ["authorised", "captured"] {
        assert_eq!(claim.save_checkpoint(step).await.unwrap(), Renewal::Renewed);
    }
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
    for attempt in 2..4 {
        world.clock.advance(LEASE + SECOND);
        let next = acquired(pay(&payments).await.unwrap());
        assert_eq!((next.attempt(), &next.checkpoint().unwrap()[..]), (attempt, &b"captured"[..]));
    }
    assert_eq!(claim.save_checkpoint("zombie").await.unwrap(), Renewal::Lost);
}

async fn a_checkpoint_has_a_limit(world: World) {
    let payments = world.payments().build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    assert_eq!(claim.save_checkpoint(vec![0; 16 * 1024]).await.unwrap(), Renewal::Renewed);
    let error = claim.save_checkpoint(vec![0; 16 * 1024 + 1]).await.unwrap_err();
    assert_eq!(error.kind(), steadfast::ErrorKind::TooLarge);
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed, "the claim stands");
}

async fn the_lease_ends_exactly(world: World) {
    let payments = world.payments().build().unwrap();
    let _claim = acquired(pay(&payments).await.unwrap());
    let last = Duration::from_micros(1);
    world.clock.advance(LEASE - last);
    let Begin::InFlight { lease_left, .. } = pay(&payments).await.unwrap() else {
        panic!("lapsed")
    };
    assert_eq!(lease_left, last);
    world.clock.advance(last);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Lapsed { .. }));
}

/// A process that was frozen for longer than its lease, and nobody took over.
async fn a_late_holder_may_still_renew_and_complete(world: World) {
    let payments = world.payments().build().unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE * 2);
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    world.clock.advance(LEASE * 2);
    let done = claim.complete(&Receipt::new("late")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}

async fn an_unknown_outcome_is_kept_with_what_the_client_was_told(world: World) {
    let refuse = world.payments().build().unwrap();
    let claim = acquired(pay(&refuse).await.unwrap());
    let told = Receipt::new("failed");
    let kept = claim.tombstone(Reason::Failed, Some(&told)).await.unwrap();
    assert!(matches!(kept, Tombstone::Kept));
    let begin = pay(&refuse).await.unwrap();
    let Begin::Indeterminate { reason: Reason::Failed, answer } = begin else {
        panic!("{begin:?}")
    };
    assert_eq!(answer, Some(told));
    world.clock.advance(LEASE * 10);
    assert!(
        matches!(pay(&refuse).await.unwrap(), Begin::Indeterminate { .. }),
        "it does not lapse"
    );

    // It was not that bad after all.
    let done = claim.complete(&Receipt::new("paid")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    assert!(matches!(pay(&refuse).await.unwrap(), Begin::Replay(_)));
    let fenced = claim.tombstone(Reason::Failed, None).await.unwrap();
    assert!(matches!(fenced, Tombstone::Fenced { winner: Some(_) }), "completed is final");
}

async fn an_answer_that_was_too_large_is_never_made_again(world: World) {
    let payments = world.payments().on_lapse(OnLapse::Recover).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    let kept = claim.tombstone(Reason::Oversize, None).await.unwrap();
    assert!(matches!(kept, Tombstone::Kept));
    let again = pay(&payments).await.unwrap();
    assert!(matches!(again, Begin::Indeterminate { reason: Reason::Oversize, answer: None }));
    let late = claim.complete(&Receipt::new("1")).await.unwrap();
    assert!(matches!(late, Completion::Fenced { winner: None }), "{late:?}");
}

/// A holder that says the same late takes nothing away.
async fn what_the_caller_was_told_stays(world: World) {
    let payments = world.payments().build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    for told in [Some(Receipt::new("1")), None] {
        let kept = claim.tombstone(Reason::Oversize, told.as_ref()).await.unwrap();
        assert!(matches!(kept, Tombstone::Kept));
    }
    let again = pay(&payments).await.unwrap();
    assert!(matches!(again, Begin::Indeterminate { answer: Some(_), .. }), "{again:?}");
}

async fn a_reconciler_settles_what_is_unknown(world: World) {
    let payments = world.payments().build().unwrap();
    let key = IdempotencyKey::new("k-1").unwrap();
    assert!(payments.status(&scope(), &key).await.unwrap().is_none());
    for settle_as_done in [false, true] {
        let mut claim = acquired(pay(&payments).await.unwrap());
        assert_eq!(claim.save_checkpoint("sent to the bank").await.unwrap(), Renewal::Renewed);
        if settle_as_done {
            world.clock.advance(LEASE + SECOND);
        } else {
            let kept = claim.tombstone(Reason::Cancelled, None).await.unwrap();
            assert!(matches!(kept, Tombstone::Kept));
        }
        let status: Status<Receipt> = payments.status(&scope(), &key).await.unwrap().unwrap();
        assert_eq!((status.attempt, status.effects_started), (1, true));
        assert_eq!((&status.effect_id[..], status.checkpoint.is_some()), (claim.effect_id(), true));
        let version = status.version;
        if settle_as_done {
            assert!(matches!(status.state, KeyState::Lapsed));
            let found = Resolution::Completed(Receipt::new("found at the bank"));
            let resolved = payments.resolve(&scope(), &key, version, found).await.unwrap();
            assert_eq!(resolved, Resolved::Resolved);
            let fenced = claim.complete(&Receipt::new("zombie")).await.unwrap();
            assert!(matches!(fenced, Completion::Fenced { winner: Some(_) }), "{fenced:?}");
            let Begin::Replay(answer) = pay(&payments).await.unwrap() else { panic!("no replay") };
            assert_eq!(answer, Receipt::new("found at the bank"));
        } else {
            assert!(matches!(
                status.state,
                KeyState::Indeterminate { reason: Reason::Cancelled, .. }
            ));
            let resolved = payments.resolve(&scope(), &key, version, Resolution::Absent).await;
            assert_eq!(resolved.unwrap(), Resolved::Resolved);
            assert_eq!(claim.renew().await.unwrap(), Renewal::Lost);
        }
    }
}

async fn a_late_holder_is_fenced_by_what_was_found_out_unless_that_is_nothing(world: World) {
    let payments = world.payments().build().unwrap();
    for (name, begun_anew, counts) in
        [("done", false, false), ("nothing", false, true), ("anew", true, false)]
    {
        let (key, print) = (IdempotencyKey::new(name).unwrap(), Fingerprint::of([name]));
        let begin = async || payments.begin(&scope(), &key, &print).await.unwrap();
        let mut late = acquired(begin().await);
        world.clock.advance(LEASE + SECOND);
        let version = payments.status(&scope(), &key).await.unwrap().unwrap().version;
        let found = match name {
            "done" => Resolution::Completed(Receipt::new("found")),
            _ => Resolution::Absent,
        };
        let resolved = payments.resolve(&scope(), &key, version, found).await.unwrap();
        assert_eq!(resolved, Resolved::Resolved);
        let _next = if begun_anew { Some(acquired(begin().await)) } else { None };
        assert_eq!(late.renew().await.unwrap(), Renewal::Lost, "{name}");
        let done = late.complete(&Receipt::new("late")).await.unwrap();
        assert_eq!(matches!(done, Completion::Completed), counts, "{name}");
        let replay = begin().await;
        assert_eq!(matches!(replay, Begin::Replay(_)), !begun_anew, "{name}: {replay:?}");
    }
}

async fn a_stale_resolution_changes_nothing(world: World) {
    let payments = world.payments().build().unwrap();
    let key = IdempotencyKey::new("k-1").unwrap();
    let mut claim = acquired(pay(&payments).await.unwrap());
    let resolve =
        async |fence| payments.resolve(&scope(), &key, fence, Resolution::Absent).await.unwrap();
    assert_eq!(resolve(claim.fence()).await, Resolved::Stale, "it is running");
    world.clock.advance(LEASE);
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
    world.clock.advance(LEASE);
    assert_eq!(resolve(claim.fence()).await, Resolved::Stale, "it was renewed meanwhile");
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    let version = payments.status(&scope(), &key).await.unwrap().unwrap().version;
    assert_eq!(resolve(version).await, Resolved::Stale, "completed is final");
    assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
}
