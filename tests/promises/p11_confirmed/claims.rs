use steadfast::backend::{Key, Write};
use steadfast::idempotency::{
    Begin, Claim, Completion, Failure, Fingerprint, IdempotencyKey, OnLapse, Reason, Resolution,
    Resolved,
};
use steadfast::{Idempotency, Store};

use super::{World, unconfirmed, where_writes_wait};
use crate::world::{Receipt, acquired, scope};

where_writes_wait!(
    a_claim_that_is_not_confirmed_is_not_given,
    an_answer_that_is_not_confirmed_is_neither_kept_nor_replayed,
    a_holder_learns_that_its_writes_are_not_confirmed,
    a_resolution_that_is_not_confirmed_is_not_acknowledged,
    work_whose_answer_is_not_confirmed_has_not_succeeded,
);

const RECEIPT: &str = "order 1";
const EUROS: &str = "ten euros";

fn payments(store: &Store) -> Idempotency<Receipt> {
    Idempotency::builder(store).on_lapse(OnLapse::TakeOver).build().unwrap()
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

fn euros() -> Fingerprint {
    Fingerprint::of([EUROS])
}

/// Of a key of this name, while that is still confirmed.
async fn claim(payments: &Idempotency<Receipt>, name: &str) -> Claim<Receipt> {
    acquired(payments.begin(&scope(), &key(name), &euros()).await.unwrap())
}

fn balance(store: &Store, name: &str) -> (Key, Write) {
    let key = store.key("balance", &scope().group().unwrap(), name).unwrap();
    let write = store.put_write(&key, &Receipt::new("ten euros")).unwrap();
    (key, write)
}

async fn a_claim_that_is_not_confirmed_is_not_given(world: World) {
    let (here, there) = (payments(&world.waiting), payments(&world.plain));
    let done = claim(&there, "done").await;
    assert!(matches!(done.complete(&Receipt::new(RECEIPT)).await, Ok(Completion::Completed)));
    let begin =
        async |name, asked: &str| here.begin(&scope(), &key(name), &Fingerprint::of([asked])).await;
    world.lose();
    unconfirmed!(begin("new", EUROS));
    // Its own is there now, and so is this one's.
    unconfirmed!(begin("new", EUROS));
    unconfirmed!(begin("done", EUROS));
    unconfirmed!(begin("done", "a hundred euros"));
    let failed = claim(&there, "failed").await;
    let _kept = failed.tombstone(Reason::Failed, None).await.unwrap();
    unconfirmed!(begin("failed", EUROS));
    unconfirmed!(here.run(&scope(), &key("work"), &euros(), |_execution| async {
        Ok::<_, Failure<()>>(Receipt::new("not confirmed, not begun"))
    }));
}

async fn an_answer_that_is_not_confirmed_is_neither_kept_nor_replayed(world: World) {
    let here = payments(&world.waiting);
    let (one, two) = (claim(&here, "one").await, claim(&here, "two").await);
    let receipt = Receipt::new(RECEIPT);
    let (balance, write) = balance(&world.waiting, "alice");
    world.lose();
    unconfirmed!(one.complete(&receipt));
    unconfirmed!(one.complete(&receipt));
    unconfirmed!(two.complete_with(&receipt, vec![write.clone()]));
    unconfirmed!(two.complete_with(&receipt, vec![write.clone()]));
    // It is there, and a failover may lose it.
    assert!(world.plain.get::<Receipt>(&balance).await.unwrap().is_some());
    unconfirmed!(here.begin(&scope(), &key("one"), &euros()));
    world.find_again();
    assert!(matches!(one.complete(&receipt).await, Ok(Completion::Completed)));
    match here.begin(&scope(), &key("two"), &euros()).await.unwrap() {
        Begin::Replay(replayed) => assert_eq!(replayed, receipt),
        other => panic!("{other:?}"),
    }
}

async fn a_holder_learns_that_its_writes_are_not_confirmed(world: World) {
    let here = payments(&world.waiting);
    let (mut one, two) = (claim(&here, "one").await, claim(&here, "two").await);
    let three = claim(&here, "three").await;
    world.lose();
    unconfirmed!(one.renew());
    unconfirmed!(one.mark_effects());
    unconfirmed!(one.save_checkpoint("step 1"));
    unconfirmed!(two.release());
    unconfirmed!(two.release());
    unconfirmed!(three.tombstone(Reason::Failed, None));
    unconfirmed!(three.tombstone(Reason::Failed, None));
}

async fn a_resolution_that_is_not_confirmed_is_not_acknowledged(world: World) {
    let (here, there) = (payments(&world.waiting), payments(&world.plain));
    world.lose();
    for name in ["done", "absent"] {
        let _kept = claim(&there, name).await.tombstone(Reason::Failed, None).await.unwrap();
        let version = there.status(&scope(), &key(name)).await.unwrap().unwrap().version;
        let resolution = || match name {
            "done" => Resolution::Completed(Receipt::new(RECEIPT)),
            _ => Resolution::Absent,
        };
        unconfirmed!(here.resolve(&scope(), &key(name), version, resolution()));
        unconfirmed!(here.resolve(&scope(), &key(name), version, resolution()));
        let resolved = there.resolve(&scope(), &key(name), version, resolution()).await;
        assert_eq!(resolved.unwrap(), Resolved::Stale, "the first one was made");
    }
}

async fn work_whose_answer_is_not_confirmed_has_not_succeeded(world: World) {
    let here = payments(&world.waiting);
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let (begun, is_begun) = tokio::sync::oneshot::channel::<()>();
    let ran = tokio::spawn(async move {
        let work = |_execution| async move {
            begun.send(()).unwrap();
            goes_on.await.unwrap();
            Ok::<_, Failure<()>>(Receipt::new(RECEIPT))
        };
        here.run(&scope(), &key("work"), &euros(), work).await
    });
    is_begun.await.unwrap();
    world.lose();
    go_on.send(()).unwrap();
    unconfirmed!(async { ran.await.unwrap() });
}
