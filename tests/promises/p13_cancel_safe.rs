//! P13: a call that is dropped at any await breaks no promise: what it did is whole or not there,
//! and the next caller is not disturbed.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use steadfast::backend::{Condition, Version, Write};
use steadfast::idempotency::{
    Begin, CompletedWith, Completion, IdempotencyKey, OnLapse, Reason, Resolution, Resolved,
    Tombstone,
};
use steadfast::session::Rotation;

use crate::fault::Faulty;
use crate::world::{Basket, LEASE, Receipt, World, acquired, alice, pay, scope, sessions};

/// Polls a call so many times and drops it. True if it came to its end before.
///
/// Only on the memory backend, whose calls are done when they return: the awaits are those that
/// [`Faulty`] puts before and after each.
fn drop_after(polls: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_poll| matches!(call.as_mut().poll(&mut context), Poll::Ready(_)))
}

#[tokio::test]
async fn a_dropped_update_is_whole_or_absent() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for polls in 0.. {
        let id = sessions.create(Basket::default()).await.unwrap().id;
        let done = drop_after(polls, sessions.update(&id, |basket| basket.items.extend([1, 2])));
        let items = sessions.load(&id).await.unwrap().unwrap().state.items;
        assert!(items.is_empty() || items == [1, 2], "{items:?} after {polls} polls");
        sessions.update(&id, |basket| basket.items.push(3)).await.unwrap();
        if done {
            assert!(polls > 3, "the call never waited");
            break;
        }
    }
}

#[tokio::test]
async fn a_dropped_sign_in_leaves_no_half_of_a_session() {
    for world in [World::memory(), World::alone()] {
        let faulty = Faulty::new(world.backend.clone());
        let sessions = sessions(&faulty.store());
        for polls in 0.. {
            let done = drop_after(polls, sessions.sign_in(&alice(), "laptop", Basket::default()));
            let listed = sessions.devices(&alice(), None).await.unwrap().len();
            assert!(listed <= 1, "after {polls} polls");
            sessions.destroy_all(&alice()).await.unwrap();
            if done {
                assert_eq!(listed, 1);
                break;
            }
        }
    }
}

/// Whenever it is dropped, there is one session, and the old id leads to it.
#[tokio::test]
async fn a_dropped_renewal_splits_no_session() {
    for world in [World::memory(), World::alone()] {
        let faulty = Faulty::new(world.backend.clone());
        let sessions = sessions(&faulty.store());
        for polls in 0.. {
            let old = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
            let done = drop_after(polls, sessions.rotate(&old, Rotation::Renewal));
            let found = sessions.load(&old).await.unwrap().unwrap().id;
            let devices = sessions.devices(&alice(), Some(&found)).await.unwrap();
            assert!(matches!(&devices[..], [device] if device.current), "after {polls} polls");
            sessions.destroy(&old).await.unwrap();
            assert!(sessions.load(&found).await.unwrap().is_none());
            assert!(sessions.devices(&alice(), None).await.unwrap().is_empty());
            if done {
                assert_ne!(found, old);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_begin_or_complete_leaves_a_key_that_can_be_finished() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store())
        .lease(LEASE)
        .on_lapse(OnLapse::TakeOver)
        .build()
        .unwrap();
    let mut fence: Option<Version> = None;
    for polls in 0..8 {
        drop_after(polls, pay(&payments));
        world.clock.advance(LEASE);
        let claim = acquired(pay(&payments).await.unwrap());
        assert!(fence < Some(claim.fence()));
        fence = Some(claim.fence());
        drop_after(polls, claim.complete(&Receipt::new("1")));
        let completed = claim.complete(&Receipt::new("1")).await.unwrap();
        assert!(matches!(completed, Completion::Completed));
        assert!(matches!(pay(&payments).await.unwrap(), Begin::Replay(_)));
        world.clock.advance(std::time::Duration::from_secs(25 * 3_600));
    }
}

/// The effect and its answer are there together or not at all, wherever the commit is dropped.
#[tokio::test]
async fn a_dropped_commit_is_whole_or_absent() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    let key = world.store.key("account", &alice().group(), "main").unwrap();
    for polls in 0.. {
        let claim = acquired(pay(&payments).await.unwrap());
        let changes = || vec![Write::put(key.clone(), "paid").only_if(Condition::Absent)];
        let done = drop_after(polls, claim.complete_with(&Receipt::new("1"), changes()));
        let paid = world.backend.get(&key).await.unwrap().is_some();
        let kept = matches!(pay(&payments).await.unwrap(), Begin::Replay(_));
        assert_eq!(paid, kept, "after {polls} polls");
        let again = claim.complete_with(&Receipt::new("1"), changes()).await.unwrap();
        assert!(matches!(again, CompletedWith::Completed), "{again:?}");
        crate::world::erase(&world).await;
        if done {
            assert!(polls > 2, "the call never waited");
            break;
        }
    }
}

/// A reconciler, or a holder that gives up, is cut off: the key can still be settled.
#[tokio::test]
async fn a_dropped_end_leaves_a_key_that_can_be_settled() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    let key = IdempotencyKey::new("k-1").unwrap();
    for polls in 0..8 {
        let mut claim = acquired(pay(&payments).await.unwrap());
        drop_after(polls, claim.save_checkpoint("sent"));
        drop_after(polls, claim.tombstone(Reason::Cancelled, None));
        assert!(matches!(claim.tombstone(Reason::Cancelled, None).await.unwrap(), Tombstone::Kept));
        let status = payments.status(&scope(), &key).await.unwrap().unwrap();
        assert!(polls == 0 || status.effects_started);
        let (scope, version) = (scope(), status.version);
        drop_after(polls, payments.resolve(&scope, &key, version, Resolution::Absent));
        if let Some(status) = payments.status(&scope, &key).await.unwrap() {
            let settled = payments.resolve(&scope, &key, status.version, Resolution::Absent);
            assert_eq!(settled.await.unwrap(), Resolved::Resolved);
        }
    }
}
