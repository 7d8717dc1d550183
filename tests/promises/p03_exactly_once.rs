//! P3, for effects in the same store: they commit with the completion, so they happen exactly once
//! whatever fails when. Others run at least once and filter.

use std::sync::Arc;

use steadfast::backend::{Condition, ErrorKind, Group, Key, Write};
use steadfast::idempotency::{
    Begin, Claim, CompletedWith, Completion, IdempotencyKey, OnLapse, Renewal, Scope,
};
use steadfast::{Idempotency, Store};

use crate::fault::{Fault, Faulty};
use crate::world::{
    Basket, LEASE, Receipt, World, acquired, alice, on_memcached, on_redis, pay, scope,
    where_keys_change_alone, where_keys_change_together,
};

where_keys_change_together!(
    an_effect_and_its_answer_commit_in_one_trip,
    whatever_reply_is_lost_the_effect_happens_once,
    a_change_that_may_be_made_is_never_said_not_to_be,
    a_refused_change_leaves_the_claim_and_everything_else,
    a_fenced_holder_changes_nothing,
    concurrent_executions_all_count_once,
    a_bad_change_is_an_error_and_changes_nothing,
);

where_keys_change_alone!(what_cannot_commit_together_is_refused_and_the_claim_stands);

on_redis!(
    an_effect_and_its_answer_commit_in_one_trip,
    a_refused_change_leaves_the_claim_and_everything_else,
    concurrent_executions_all_count_once,
    a_bad_change_is_an_error_and_changes_nothing,
);

on_memcached!(what_cannot_commit_together_is_refused_and_the_claim_stands);

fn payments(store: &Store) -> Idempotency<Receipt> {
    Idempotency::builder(store).lease(LEASE).on_lapse(OnLapse::TakeOver).build().unwrap()
}

fn account(store: &Store) -> Key {
    assert_eq!(scope().group(), Some(alice().group()));
    store.key("account", &alice().group(), "main").unwrap()
}

async fn items(store: &Store) -> Vec<u32> {
    let record = store.get::<Basket>(&account(store)).await.unwrap();
    record.map_or_else(Vec::new, |record| record.value.items)
}

/// The effect: one more item, computed from what is there.
async fn one_more(store: &Store) -> Write {
    let key = account(store);
    let found = store.get::<Basket>(&key).await.unwrap();
    let only_if =
        found.as_ref().map_or(Condition::Absent, |found| Condition::VersionIs(found.version));
    let mut basket = found.map(|found| found.value).unwrap_or_default();
    basket.items.push(7);
    store.put_write(&key, &basket).unwrap().only_if(only_if)
}

async fn execute(store: &Store, claim: &Claim<Receipt>) -> CompletedWith<Receipt> {
    loop {
        let change = one_more(store).await;
        match claim.complete_with(&Receipt::new("1"), vec![change]).await.unwrap() {
            CompletedWith::Refused { .. } => {}
            ended => return ended,
        }
    }
}

async fn an_effect_and_its_answer_commit_in_one_trip(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let store = faulty.store();
    let claim = acquired(pay(&payments(&store)).await.unwrap());
    let change = one_more(&store).await;
    faulty.trips();
    let done = claim.complete_with(&Receipt::new("1"), vec![change.clone()]).await.unwrap();
    assert!(matches!(done, CompletedWith::Completed), "{done:?}");
    assert_eq!(faulty.trips(), 1);
    assert!(matches!(pay(&payments(&store)).await.unwrap(), Begin::Replay(_)));
    let again = claim.complete_with(&Receipt::new("1"), vec![change]).await.unwrap();
    assert!(matches!(again, CompletedWith::Completed), "a repeat is recognised: {again:?}");
    assert_eq!(items(&store).await, [7]);
}

/// Each call in turn, and each pair of calls, is cut off or loses its reply; then the process dies
/// and the retry finds what it left.
async fn whatever_reply_is_lost_the_effect_happens_once(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let store = faulty.store();
    for fault in [Fault::Cut, Fault::ReplyLost] {
        for passing in 0..4 {
            for faults in 1..3 {
                let payments = payments(&store);
                let before = items(&store).await.len();
                if faults == 2 {
                    faulty.fail_next(&[fault]);
                }
                faulty.fail_after(passing, fault);
                let key = IdempotencyKey::new(format!("{fault:?}-{passing}-{faults}")).unwrap();
                let print = steadfast::idempotency::Fingerprint::of(["one more"]);
                for _retry in 0..6 {
                    let Ok(Begin::Acquired(claim)) = payments.begin(&scope(), &key, &print).await
                    else {
                        world.clock.advance(LEASE);
                        continue;
                    };
                    let Ok(found) = store.get::<Basket>(&account(&store)).await else { continue };
                    let version = found.as_ref().map(|found| found.version);
                    let only_if = version.map_or(Condition::Absent, Condition::VersionIs);
                    let mut basket = found.map(|found| found.value).unwrap_or_default();
                    basket.items.push(7);
                    let change =
                        store.put_write(&account(&store), &basket).unwrap().only_if(only_if);
                    let answer = Receipt::new("1");
                    drop(claim.complete_with(&answer, vec![change]).await);
                }
                let replay = payments.begin(&scope(), &key, &print).await.unwrap();
                assert!(matches!(replay, Begin::Replay(_)), "{key:?}: {replay:?}");
                assert_eq!(items(&store).await.len(), before + 1, "{fault:?} {passing} {faults}");
            }
        }
    }
}

/// The reply is lost, and the repeat does not reach the store: the change is made all the same.
async fn a_change_that_may_be_made_is_never_said_not_to_be(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let store = faulty.store();
    let lost = || faulty.fail_next(&[Fault::ReplyLost, Fault::Cut]);
    lost();
    assert!(pay(&payments(&store)).await.unwrap_err().is_ambiguous());
    world.clock.advance(LEASE);
    let claim = acquired(pay(&payments(&store)).await.unwrap());
    let change = one_more(&store).await;
    lost();
    let error = claim.complete_with(&Receipt::new("1"), vec![change]).await.unwrap_err();
    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!(items(&store).await, [7]);
}

async fn a_refused_change_leaves_the_claim_and_everything_else(world: World) {
    let store = &world.store;
    let payments = payments(store);
    let mut claim = acquired(pay(&payments).await.unwrap());
    let other = store.key("other", &alice().group(), "1").unwrap();
    let outdated = one_more(store).await;
    assert!(store.write(&one_more(store).await).await.unwrap().is_applied());
    let changes = vec![Write::put(other.clone(), "x"), outdated];
    let refused = claim.complete_with(&Receipt::new("1"), changes).await.unwrap();
    let CompletedWith::Refused { index: 1, current: Some(current) } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(store.decode::<Basket>(&account(store), &current).unwrap().value.items, [7]);
    assert!(world.backend.get(&other).await.unwrap().is_none(), "half of it was done");
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    assert_eq!(claim.renew().await.unwrap(), Renewal::Renewed);
    assert!(matches!(execute(store, &claim).await, CompletedWith::Completed));
    assert_eq!(items(store).await, [7, 7]);
}

async fn a_fenced_holder_changes_nothing(world: World) {
    let store = &world.store;
    let payments = payments(store);
    let zombie = acquired(pay(&payments).await.unwrap());
    world.clock.advance(LEASE);
    let successor = acquired(pay(&payments).await.unwrap());
    let fenced = execute(store, &zombie).await;
    assert!(matches!(fenced, CompletedWith::Fenced { winner: None }), "{fenced:?}");
    assert!(items(store).await.is_empty());
    assert!(matches!(execute(store, &successor).await, CompletedWith::Completed));
    let fenced = execute(store, &zombie).await;
    let CompletedWith::Fenced { winner: Some(winner) } = fenced else { panic!("{fenced:?}") };
    assert_eq!((winner, items(store).await), (Receipt::new("1"), vec![7]));
}

/// 32 keys, each tried twice at the same time, all changing one record.
async fn concurrent_executions_all_count_once(world: World) {
    let store = Arc::new(world.store.clone());
    let calls = (0..64).map(|call| {
        let (store, payments) = (store.clone(), payments(&store));
        tokio::spawn(async move {
            let key = IdempotencyKey::new(format!("k-{}", call / 2)).unwrap();
            let print = steadfast::idempotency::Fingerprint::of(["one more"]);
            if let Begin::Acquired(claim) = payments.begin(&scope(), &key, &print).await.unwrap() {
                assert!(matches!(execute(&store, &claim).await, CompletedWith::Completed));
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(items(&store).await.len(), 32);
}

async fn a_bad_change_is_an_error_and_changes_nothing(world: World) {
    let store = &world.store;
    let payments = payments(store);
    let claim = acquired(pay(&payments).await.unwrap());
    let twice = vec![Write::put(account(store), "x"), Write::delete(account(store))];
    let error = claim.complete_with(&Receipt::new("1"), twice).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    assert_eq!(Scope::anonymous("pay").group(), None::<Group>);
}

/// Else the effect would be made and the answer not, or the other way round.
async fn what_cannot_commit_together_is_refused_and_the_claim_stands(world: World) {
    let payments = payments(&world.store);
    let claim = acquired(pay(&payments).await.unwrap());
    for changes in [vec![one_more(&world.store).await], vec![]] {
        let error = claim.complete_with(&Receipt::new("1"), changes).await.unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unsupported, false));
    }
    assert!(items(&world.store).await.is_empty());
    assert!(matches!(pay(&payments).await.unwrap(), Begin::InFlight { .. }));
    let done = claim.complete(&Receipt::new("1")).await.unwrap();
    assert!(matches!(done, Completion::Completed));
    let builder = Idempotency::<Receipt>::builder(&world.store);
    let demanded = builder.requires("transactions", |store| {
        store.transactions >= steadfast::backend::Transactions::SameGroup
    });
    assert_eq!(demanded.build().unwrap_err().kind(), ErrorKind::Unsupported);
}
