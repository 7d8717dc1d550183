//! Three demos on one store are one service.

use serde_json::json;
use steadfast_conformance::servers::RedisServer;

use crate::server::Home;

#[tokio::test]
async fn what_one_replica_did_the_others_know_on_one_server() {
    what_one_replica_did_the_others_know(&Home::redis()).await;
}

#[tokio::test]
async fn what_one_replica_did_the_others_know_on_memcached() {
    what_one_replica_did_the_others_know(&Home::memcached()).await;
}

#[tokio::test]
async fn what_one_replica_did_the_others_know_on_a_cluster() {
    what_one_replica_did_the_others_know(&Home::redis_cluster()).await;
}

async fn what_one_replica_did_the_others_know(home: &Home) {
    let replicas = [home.start(), home.start(), home.start()];
    let [one, two, three] = replicas.each_ref().map(|replica| &replica.client);
    let user = one.log_in("alice").await;
    for replica in [one, two, three] {
        assert_eq!(user.at(replica).get("/session").await.status, 200);
    }

    user.add("a", 2, "add").await;
    assert_eq!(user.at(two).cart().await, json!([{ "sku": "a", "qty": 2 }]));
    let order = user.at(two).post("/checkout", "pay").await;
    assert_eq!((order.status, order.is_replay()), (201, false), "{order:?}");
    let again = user.at(three).post("/checkout", "pay").await;
    assert_eq!((again.status, again.is_replay()), (201, true), "{again:?}");
    assert_eq!(again.text, order.text);
    assert_eq!(user.orders().await.len(), 1);

    let other = two.log_in("alice").await;
    assert_eq!(user.at(two).post("/logout", "bye").await.status, 204);
    for replica in [one, two, three] {
        user.at(replica).get("/session").await.problem(401);
        assert_eq!(other.at(replica).get("/session").await.status, 200);
    }
    assert_eq!(other.at(three).post("/logout/everywhere", "all").await.status, 204);
    for replica in [one, two, three] {
        other.at(replica).get("/session").await.problem(401);
    }
}

/// Requests with one key that come to all replicas at once make one order.
#[tokio::test]
async fn a_key_is_executed_once_wherever_it_is_sent() {
    for home in [Home::memcached(), Home::redis()] {
        let replicas = [home.start(), home.start(), home.start()];
        let user = replicas[0].client.log_in("alice").await;
        user.add("a", 1, "add").await;
        let checkouts = (0..30).map(|n| {
            let user = user.at(&replicas[n % 3].client);
            tokio::spawn(async move { user.post("/checkout?delay_ms=20", "pay").await.status })
        });
        for checkout in checkouts.collect::<Vec<_>>() {
            let status = checkout.await.unwrap();
            assert!(status == 201 || status == 409, "{status}");
        }
        let order = user.post("/checkout?delay_ms=20", "pay").await;
        assert_eq!((order.status, order.is_replay()), (201, true), "{order:?}");
        assert_eq!(user.orders().await.len(), 1);
    }
}

/// Found by a reviewer: whoever had changed a cart was turned away while the store was out.
#[tokio::test]
async fn a_change_of_a_cart_takes_no_session_away_when_the_store_goes() {
    let redis = RedisServer::start().unwrap();
    let home = Home::new(&redis.url());
    let replicas = [home.start(), home.start(), home.start()];
    let [one, two, three] = replicas.each_ref().map(|replica| &replica.client);
    let users = [one.log_in("alice").await, one.log_in("bob").await];
    for (user, replica) in users.iter().flat_map(|user| [one, two, three].map(|at| (user, at))) {
        assert_eq!(user.at(replica).get("/session").await.json()["freshness"], "fresh");
    }
    users[0].at(two).add("a", 1, "add").await;
    assert_eq!(users[0].at(three).cart().await, json!([{ "sku": "a", "qty": 1 }]));
    redis.kill().unwrap();
    for (user, replica) in users.iter().flat_map(|user| [one, two, three].map(|at| (user, at))) {
        let answer = user.at(replica).get("/session").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["freshness"], "stale", "{answer:?}");
    }
}
