//! What the other files show with a clock in the test's hand, on servers that have their own: short
//! spans, real time. Spans are compared with what passed here meanwhile.

use std::time::{Duration, Instant};

use steadfast::idempotency::{Begin, Completion, OnLapse};
use steadfast::{Idempotency, Sessions};

use crate::world::{Basket, Receipt, World, acquired, alice, on_servers, pay};

on_servers!(
    a_session_ends_when_it_is_due_and_not_before,
    use_keeps_a_session_until_its_absolute_end,
    a_lapsed_holder_is_told_apart_and_fenced,
    an_answer_is_replayed_while_it_is_retained,
);

const SHORT: Duration = Duration::from_millis(400);

/// Memcached counts in whole seconds, and its entries live up to four seconds longer.
const LATE: Duration = Duration::from_secs(10);

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

async fn a_session_ends_when_it_is_due_and_not_before(world: World) {
    let sessions = Sessions::<Basket>::builder(&world.store).idle(SHORT).absolute(SHORT * 10);
    let sessions = sessions.build().unwrap();
    let before = Instant::now();
    let id = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    while sessions.peek(&id).await.unwrap().is_some() {
        assert!(before.elapsed() < LATE, "it does not end");
        pause().await;
    }
    assert!(before.elapsed() >= SHORT, "early");
    assert!(sessions.update(&id, |basket| basket.items.push(1)).await.is_err(), "brought back");
    assert!(sessions.load(&id).await.unwrap().is_none());
    assert!(sessions.devices(&alice(), None).await.unwrap().is_empty());
}

async fn use_keeps_a_session_until_its_absolute_end(world: World) {
    let sessions = Sessions::<Basket>::builder(&world.store).idle(SHORT).absolute(SHORT * 3);
    let sessions = sessions.build().unwrap();
    let before = Instant::now();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let created = Instant::now();
    while sessions.update(&id, |basket| basket.items.push(1)).await.is_ok() {
        assert!(created.elapsed() < LATE, "it does not end");
        pause().await;
    }
    assert!(before.elapsed() >= SHORT * 3, "early");
    assert!(sessions.load(&id).await.unwrap().is_none());
}

async fn a_lapsed_holder_is_told_apart_and_fenced(world: World) {
    let payments = Idempotency::<Receipt>::builder(&world.store).lease(SHORT);
    let careful = payments.build().unwrap();
    let payments = Idempotency::<Receipt>::builder(&world.store).lease(SHORT);
    let bold = payments.on_lapse(OnLapse::TakeOver).build().unwrap();
    let before = Instant::now();
    let holder = acquired(pay(&careful).await.unwrap());
    let lapsed = loop {
        match pay(&careful).await.unwrap() {
            Begin::InFlight { .. } => pause().await,
            other => break other,
        }
        assert!(before.elapsed() < LATE, "it does not lapse");
    };
    assert!(before.elapsed() >= SHORT, "early");
    assert!(matches!(lapsed, Begin::Lapsed { attempt: 1 }), "{lapsed:?}");

    let successor = acquired(pay(&bold).await.unwrap());
    assert_eq!(successor.attempt(), 2);
    let late = holder.complete(&Receipt::new("late")).await.unwrap();
    assert!(matches!(late, Completion::Fenced { winner: None }), "{late:?}");
    let done = successor.complete(&Receipt::new("done")).await.unwrap();
    assert!(matches!(done, Completion::Completed), "{done:?}");
    let replay = pay(&careful).await.unwrap();
    assert!(matches!(replay, Begin::Replay(receipt) if receipt == Receipt::new("done")));
}

async fn an_answer_is_replayed_while_it_is_retained(world: World) {
    let payments = Idempotency::<Receipt>::builder(&world.store).lease(SHORT / 2);
    let payments = payments.retention(SHORT * 2).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    let before = Instant::now();
    assert!(matches!(claim.complete(&Receipt::new("1")).await.unwrap(), Completion::Completed));
    loop {
        match pay(&payments).await.unwrap() {
            Begin::Replay(receipt) => assert_eq!(receipt, Receipt::new("1")),
            Begin::Acquired(_again) => break,
            other => panic!("{other:?}"),
        }
        assert!(before.elapsed() < LATE, "it is kept for ever");
        pause().await;
    }
    assert!(before.elapsed() >= SHORT * 2, "early");
}
