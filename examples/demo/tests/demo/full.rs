//! A store that is full, or confirms nothing: whoever wants to go can, and health says what is
//! wrong.

use serde_json::json;
use steadfast_conformance::servers::RedisServer;

use crate::client::until;
use crate::server::{Home, SECRET};

#[tokio::test]
async fn a_full_store_lets_people_out_and_is_not_healthy() {
    let redis = RedisServer::start().unwrap();
    let home = Home::new(&format!("{}?timeout=20s", redis.url())).env("JWT_SECRET", SECRET);
    let server = home.start();
    let (laptop, phone) =
        (server.client.log_in("alice").await, server.client.log_in("alice").await);
    let bob = server.client.log_in("bob").await;
    let health = server.client.get("/health").await.json();
    assert_eq!((&health["status"], &health["warnings"]), (&json!("ok"), &json!([])));

    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let health = server.client.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    assert!(health.text.contains("maxmemory"), "{health:?}");
    laptop.add("a", 1, "a").await.problem(503);

    let out = laptop.post("/logout", "out").await;
    assert_eq!((out.status, out.header("idempotency-status")), (204, Some("bypassed")));
    assert_eq!(laptop.get("/session").await.status, 401);
    assert_eq!(phone.get("/sessions").await.json()["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(bob.post("/logout/everywhere", "out").await.status, 204);
    assert_eq!(bob.get("/session").await.status, 401);

    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(server.client.get("/health").await.json()["status"], "ok");
    let out = phone.post("/logout", "out").await;
    assert_eq!((out.status, out.header("idempotency-status")), (204, None));
    assert!(phone.post("/logout", "out").await.is_replay());
}

/// The answer cannot say that they are out: a failover may bring the session back.
#[tokio::test]
async fn a_store_that_confirms_nothing_lets_people_out_and_says_that_it_is_not_certain() {
    let redis = RedisServer::start().unwrap();
    let replica = RedisServer::builder().replica_of(&redis).start().unwrap();
    let home = Home::new(&format!("{}?timeout=5s&durability=replicas:1", redis.url()));
    let server = home.env("JWT_SECRET", SECRET).start();
    let (alice, bob) = (server.client.log_in("alice").await, server.client.log_in("bob").await);
    replica.kill().unwrap();
    until("it warns", async || server.client.get("/health").await.json()["status"] == "degraded")
        .await;

    alice.post("/logout", "out").await.problem(503);
    assert_eq!(alice.get("/session").await.status, 401);
    bob.post("/logout/everywhere", "out").await.problem(503);
    assert_eq!(bob.get("/session").await.status, 401);
}
