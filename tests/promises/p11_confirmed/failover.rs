use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey};
use steadfast::{Idempotency, Store};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::RedisServer;

use super::{error, store};
use crate::world::{Receipt, acquired, scope};
use steadfast::ErrorKind;

fn payments(store: &Store) -> Idempotency<Receipt> {
    Idempotency::builder(store).build().unwrap()
}

async fn pay(payments: &Idempotency<Receipt>, key: &str) -> steadfast::Result<Begin<Receipt>> {
    let key = IdempotencyKey::new(key).unwrap();
    payments.begin(&scope(), &key, &Fingerprint::of(["ten euros"])).await
}

/// The primary goes on, cut off from its replica, and then that takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_a_failover_loses_was_not_acknowledged() {
    let primary = RedisServer::start().unwrap();
    let replication = FaultProxy::to(primary.addr()).await.unwrap();
    let replica = RedisServer::builder();
    let replica = replica.arg("replicaof", &format!("127.0.0.1 {}", replication.addr().port()));
    let replica = replica.start().unwrap();
    let link = FaultProxy::to_redis(primary.addr()).await.unwrap();
    let url = format!("redis://{}?durability=replicas:1", link.addr());
    let here = payments(&store(&url).await);

    // Confirmed, so it waits until the replica is in step.
    let first = acquired(pay(&here, "pay-1").await.unwrap());
    let kept = first.complete(&Receipt::new("pay-1")).await.unwrap();
    assert!(matches!(kept, Completion::Completed));
    let second = acquired(pay(&here, "pay-2").await.unwrap());
    replication.cut();
    link.confirm(false);
    // It is executed, and its caller learns that this may be forgotten.
    let unsure = second.complete(&Receipt::new("pay-2")).await.unwrap_err();
    assert_eq!(unsure.kind(), ErrorKind::Unconfirmed, "{unsure}");
    let again = second.complete(&Receipt::new("pay-2")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unconfirmed, "{again}");
    // This one is not even begun.
    let refused = error(pay(&here, "pay-3").await.unwrap_err());
    assert_eq!(refused.kind(), ErrorKind::Unconfirmed, "{refused}");

    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let there = payments(&store(&format!("{}?", replica.url())).await);
    match pay(&there, "pay-1").await.unwrap() {
        Begin::Replay(receipt) => assert_eq!(receipt, Receipt::new("pay-1")),
        other => panic!("it was acknowledged: {other:?}"),
    }
    match pay(&there, "pay-2").await.unwrap() {
        // The claim was confirmed, so nobody executes it again.
        Begin::InFlight { .. } | Begin::Lapsed { .. } => {}
        other => panic!("a second payment: {other:?}"),
    }
    assert!(matches!(pay(&there, "pay-3").await.unwrap(), Begin::Acquired(_)), "the only one");
}
