//! Fifty requests at the same time.

use serde_json::{Value, json};

use crate::client::while_told;
use crate::server::{Home, on_every_store};

on_every_store!(
    fifty_adds_lose_no_item,
    four_hundred_adds_of_one_user_all_get_through,
    fifty_checkouts_with_one_key_make_one_order,
    a_retry_while_it_runs_is_told_to_wait,
    a_handler_outlives_its_client,
);

async fn fifty_adds_lose_no_item(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let adds = (0..50).map(|n| {
        let user = user.clone();
        tokio::spawn(async move { user.add("a", 1, &format!("k{n}")).await })
    });
    for add in adds.collect::<Vec<_>>() {
        let answer = add.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(user.cart().await, json!([{ "sku": "a", "qty": 50 }]));
}

/// More than the attempts an update has: those of one process wait for their turn.
async fn four_hundred_adds_of_one_user_all_get_through(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let adds = (0..400).map(|n| {
        let user = user.clone();
        tokio::spawn(async move { user.add("a", 1, &format!("k{n}")).await })
    });
    for add in adds.collect::<Vec<_>>() {
        let added = add.await.unwrap();
        assert_eq!(added.status, 201, "{added:?}");
    }
    assert_eq!(user.cart().await, json!([{ "sku": "a", "qty": 400 }]));
}

async fn fifty_checkouts_with_one_key_make_one_order(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    user.add("a", 3, "add").await;
    let checkouts = (0..50).map(|_n| {
        let user = user.clone();
        tokio::spawn(async move { user.post("/checkout?delay_ms=50", "pay").await })
    });
    let mut made: Vec<Value> = Vec::new();
    for checkout in checkouts.collect::<Vec<_>>() {
        let answer = checkout.await.unwrap();
        match answer.status {
            201 => made.push(answer.json()),
            409 => assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1),
            _ => panic!("{answer:?}"),
        }
    }
    made.push(user.post("/checkout?delay_ms=50", "pay").await.json());
    assert!(made.len() >= 2 && made.iter().all(|order| *order == made[0]), "{made:?}");
    assert_eq!(made[0]["total_qty"], 3);
    assert_eq!(user.orders().await, [json!({ "order_id": made[0]["order_id"], "total_qty": 3 })]);
    assert_eq!(user.cart().await, json!([]));
}

/// The lease is three seconds and the handler takes seven: without renewal it would lapse, and the
/// retry would run beside it.
async fn a_retry_while_it_runs_is_told_to_wait(home: Home) {
    let server = home.env("IDEMPOTENCY_LEASE", "3").start();
    let user = server.client.log_in("alice").await;
    let slow = tokio::spawn({
        let user = user.clone();
        async move { user.post("/checkout?delay_ms=7000", "pay").await }
    });
    while user.orders().await.is_empty() {
        assert!(!slow.is_finished(), "it ended before it could be retried");
    }
    user.post("/checkout?delay_ms=7000", "pay").await.problem(409);
    let retry = async || user.post("/checkout?delay_ms=7000", "pay").await;
    let retry = while_told(&[409], retry).await;
    let slow = slow.await.unwrap();
    assert_eq!((slow.status, slow.is_replay()), (201, false), "{slow:?}");
    assert_eq!((retry.status, retry.text.as_str()), (201, slow.text.as_str()));
    assert!(retry.is_replay());
    assert_eq!(user.orders().await.len(), 1);
}

async fn a_handler_outlives_its_client(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    user.add("a", 1, "add").await;
    let impatient = tokio::spawn({
        let user = user.clone();
        async move { user.post("/checkout?delay_ms=3000", "pay").await }
    });
    // The effect is there, so the handler runs; then its client hangs up.
    while user.orders().await.is_empty() {
        assert!(!impatient.is_finished(), "it ended before it could be left");
    }
    impatient.abort();
    let retry = async || user.post("/checkout?delay_ms=3000", "pay").await;
    let retry = while_told(&[409], retry).await;
    assert_eq!((retry.status, retry.is_replay()), (201, true), "{retry:?}");
    assert_eq!(user.orders().await.len(), 1);
}
