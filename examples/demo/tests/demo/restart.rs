//! `kill -9` and a restart lose nothing that was answered.

use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::{until, while_told};
use crate::server::{Home, on_lasting_stores};

on_lasting_stores!(
    what_was_answered_is_there_after_a_kill,
    a_kill_between_effect_and_record_makes_no_second_order,
    a_kill_while_items_are_added_adds_none_twice,
);

async fn what_was_answered_is_there_after_a_kill(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let ended = server.client.log_in("alice").await;
    assert_eq!(ended.post("/logout", "bye").await.status, 204);
    let adds = (0..50).map(|n| {
        let user = user.clone();
        tokio::spawn(async move { user.add("a", 1, &format!("k{n}")).await })
    });
    for add in adds.collect::<Vec<_>>() {
        assert_eq!(add.await.unwrap().status, 201);
    }
    let order = user.post("/checkout", "pay").await;
    user.add("b", 2, "next").await;
    server.kill();

    let server = home.start();
    let user = user.at(&server.client);
    assert_eq!(user.get("/session").await.status, 200, "the token and the session live on");
    ended.at(&server.client).get("/session").await.problem(401);
    assert_eq!(user.cart().await, json!([{ "sku": "b", "qty": 2 }]));
    let checkouts = (0..50).map(|_n| {
        let user = user.clone();
        tokio::spawn(async move { user.post("/checkout", "pay").await })
    });
    for again in checkouts.collect::<Vec<_>>() {
        let again = again.await.unwrap();
        assert_eq!((again.status, again.is_replay()), (201, true));
        assert_eq!(again.text, order.text);
    }
    assert_eq!(user.orders().await.len(), 1);
}

/// The process dies after the order is made and before its answer is recorded.
async fn a_kill_between_effect_and_record_makes_no_second_order(home: Home) {
    let home = home.env("IDEMPOTENCY_LEASE", "1");
    let server = home.start();
    let user = server.client.log_in("alice").await;
    user.add("a", 3, "add").await;
    let cut_off = tokio::spawn({
        let user = user.clone();
        async move {
            let request = user.request(reqwest::Method::POST, "/checkout?delay_ms=5000");
            request.header("idempotency-key", "pay").send().await
        }
    });
    until("it runs", async || !user.orders().await.is_empty()).await;
    let orders = user.orders().await;
    server.kill();
    assert!(cut_off.await.unwrap().is_err(), "it was answered");

    let server = home.start();
    let user = user.at(&server.client);
    user.add("b", 1, "next").await;
    // The dead process's claim lapses within its lease; then the retry takes it over.
    let retry = async || user.post("/checkout?delay_ms=5000", "pay").await;
    let retry = while_told(&[409], retry).await;
    assert_eq!(retry.json()["order_id"], orders[0]["order_id"]);
    assert_eq!(retry.json()["total_qty"], 3);
    assert_eq!(user.orders().await, orders);
    assert_eq!(user.cart().await, json!([{ "sku": "b", "qty": 1 }]));
}

/// As above, for a handler whose effect has no identity of its own.
async fn a_kill_while_items_are_added_adds_none_twice(home: Home) {
    let home = home.env("IDEMPOTENCY_LEASE", "1");
    let mut server = home.start();
    let mut user = server.client.log_in("alice").await;
    for round in 0..3 {
        let adds = (0..20).map(|n| {
            let user = user.clone();
            tokio::spawn(async move {
                let request = user.request(reqwest::Method::POST, "/cart/items");
                let request = request.header("idempotency-key", format!("{round}-{n}"));
                request.json(&json!({ "sku": "a", "qty": 1 })).send().await.is_ok()
            })
        });
        let adds = adds.collect::<Vec<_>>();
        // Some are answered, some are under way.
        loop {
            let all_ended = adds.iter().all(JoinHandle::is_finished);
            let cart = user.cart().await;
            if cart != json!([]) && cart[0]["qty"] != 20 * round {
                break;
            }
            assert!(!all_ended, "none was made");
        }
        server.kill();
        for add in adds {
            add.await.unwrap();
        }
        server = home.start();
        user = user.at(&server.client);
        for n in 0..20 {
            let key = format!("{round}-{n}");
            while_told(&[409], async || user.add("a", 1, &key).await).await;
        }
        assert_eq!(user.cart().await, json!([{ "sku": "a", "qty": 20 * (round + 1) }]));
    }
}
