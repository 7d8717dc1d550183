//! Three demos whose store goes away under load: sessions that were seen go on being read, and say
//! how old they are; nothing is claimed; and when the store is back nothing is lost or doubled.
//!
//! `STEADFAST_OUTAGE_SECONDS` sets how long it stays away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::RedisServer;
use tokio::task::JoinSet;

use crate::client::{Answer, Client, User, until, while_told};
use crate::server::{Home, Server};

/// A busy machine may make each answer slow; one that waits for the store takes the 20 seconds that
/// the demo gives its calls. The usual figures are printed.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const RECOVERY_MAX: Duration = Duration::from_secs(15);
const READERS: usize = 8;
/// Between two requests of one client: time that the machine has for the others.
const PAUSE: Duration = Duration::from_millis(100);

struct World {
    redis: RedisServer,
    proxy: FaultProxy,
    replicas: [Server; 3],
    users: Vec<User>,
    /// Nobody else reads with this session.
    leaver: User,
}

impl World {
    async fn new() -> Self {
        let redis = RedisServer::builder().persist().start().unwrap();
        let proxy = FaultProxy::to(redis.addr()).await.unwrap();
        let home = Home::new(&format!("redis://{}?timeout=500ms", proxy.addr()));
        let replicas = [home.start(), home.start(), home.start()];
        let mut users = Vec::new();
        for number in 0..READERS {
            let (client, name) = (&replicas[0].client, format!("user-{number}"));
            let user = client.user(&until_it_can(async || client.ask_to_log_in(&name).await).await);
            assert_eq!(until_it_can(async || user.add("a", 1, "first").await).await.status, 201);
            users.push(user);
        }
        let client = &replicas[1].client;
        let leaver = until_it_can(async || client.ask_to_log_in("leaver").await).await;
        let leaver = client.user(&leaver);
        assert_eq!(until_it_can(async || leaver.get("/session").await).await.status, 200);
        let world = Self { redis, proxy, replicas, users, leaver };
        world.until_it_is_back().await;
        for (user, replica) in world.everybody() {
            let cart = until_it_can(async || user.at(replica).get("/cart").await);
            assert_eq!(cart.await.status, 200);
        }
        world
    }

    fn everybody(&self) -> impl Iterator<Item = (&User, &Client)> {
        let users = |replica| self.users.iter().map(move |user| (user, replica));
        self.replicas.iter().map(|replica| &replica.client).flat_map(users)
    }

    /// Reads of every user at every replica, until it is over: how long each took.
    fn readers(&self, over: &Arc<AtomicBool>) -> JoinSet<Vec<Duration>> {
        let mut readers = JoinSet::new();
        for (number, (user, replica)) in (0..).zip(self.everybody()) {
            let (user, over) = (user.at(replica), Arc::clone(over));
            readers.spawn(async move {
                // They did not all begin at once.
                tokio::time::sleep(PAUSE / 24 * number).await;
                let mut took = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let started = Instant::now();
                    assert_readable(&user.get("/session").await);
                    took.push(started.elapsed());
                    tokio::time::sleep(PAUSE).await;
                }
                took
            });
        }
        readers
    }

    /// Claims at every replica, which all must be turned away.
    async fn claim(&self) {
        for replica in &self.replicas {
            let user = self.users[0].at(&replica.client);
            let started = Instant::now();
            let answer = user.add("a", 1, "late").await;
            answer.problem(503);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert!(started.elapsed() < ANSWER_MAX, "{:?}", started.elapsed());
        }
    }

    async fn until_it_is_back(&self) -> Duration {
        let started = Instant::now();
        for (user, replica) in self.everybody() {
            until("it is fresh", async || {
                user.at(replica).get("/session").await.json()["freshness"] == "fresh"
            })
            .await;
        }
        started.elapsed()
    }
}

/// What a client is told to do: the store may need longer than its half second on a busy machine,
/// and a claim whose reply was lost then is waited for.
async fn until_it_can(call: impl AsyncFn() -> Answer) -> Answer {
    while_told(&[409, 503], call).await
}

/// Fresh, or older and saying so.
fn assert_readable(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.header("state-freshness");
    if answer.json()["freshness"] == "fresh" {
        assert_eq!(said, None);
        return;
    }
    let age = said.and_then(|said| said.strip_prefix("stale; age=")).unwrap();
    assert!(age.parse::<u64>().unwrap() <= 300, "{answer:?}");
}

async fn the_store_goes_away(go: impl Fn(&World), come: impl Fn(&World)) {
    let outage = std::env::var("STEADFAST_OUTAGE_SECONDS").ok();
    let outage = Duration::from_secs(outage.map_or(4, |seconds| seconds.parse().unwrap()));
    let world = World::new().await;
    let over = Arc::new(AtomicBool::new(false));
    let readers = world.readers(&over);
    tokio::time::sleep(Duration::from_millis(300)).await;
    go(&world);
    let gone = Instant::now();
    world.claim().await;
    while gone.elapsed() < outage {
        tokio::time::sleep(PAUSE).await;
        world.claim().await;
    }
    let health = world.replicas[0].client.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("down")));
    // From the first claim that was turned away on, the store is known to be out.
    let user = world.users[1].at(&world.replicas[1].client);
    let cart = user.get("/cart").await;
    assert_eq!((cart.status, &cart.json()["items"]), (200, &json!([{ "sku": "a", "qty": 1 }])));
    assert!(cart.header("state-freshness").is_some_and(|said| said.starts_with("stale; age=")));
    // A log-out that cannot be made is not made, but this replica serves the session no more.
    assert_readable(&world.leaver.get("/session").await);
    world.leaver.post("/logout", "bye").await.problem(503);
    world.leaver.get("/session").await.problem(503);

    come(&world);
    let back = world.until_it_is_back().await;
    over.store(true, Ordering::SeqCst);
    let mut took: Vec<_> = readers.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let most = took[took.len() - 1];
    println!(
        "{} reads: median {median:?}, p99 {p99:?}, most {most:?}; back after {back:?}",
        took.len()
    );
    assert!(most < ANSWER_MAX, "a read took {most:?}");
    assert!(back < RECOVERY_MAX, "back after {back:?}");

    // The claims that were turned away are made now, once, wherever they are sent.
    for replica in &world.replicas {
        let user = world.users[0].at(&replica.client);
        let added = until_it_can(async || user.add("a", 1, "late").await).await;
        assert_eq!(added.status, 201, "{added:?}");
        let paid = until_it_can(async || user.post("/checkout", "pay").await).await;
        assert_eq!(paid.status, 201, "{paid:?}");
    }
    let orders = until_it_can(async || world.users[0].get("/orders").await).await.json();
    let orders = orders["orders"].as_array().unwrap();
    assert_eq!((orders.len(), &orders[0]["total_qty"]), (1, &json!(2)), "{orders:?}");
    for (user, replica) in world.everybody() {
        assert_eq!(user.at(replica).get("/session").await.status, 200, "a session is lost");
    }
    assert_eq!(world.replicas[1].client.get("/health").await.status, 200);
    assert_told(&world.replicas[1].client.get("/metrics").await.text);
}

/// What an operator sees of it, by the names that are documented.
fn assert_told(metrics: &str) {
    for name in [
        r#"steadfast_near_reads_total{backend="redis",result="stale"}"#,
        r#"steadfast_call_duration_seconds_count{backend="redis",operation="write",outcome="ok"}"#,
        r#"steadfast_repeats_total{backend="redis"}"#,
        r#"steadfast_breaker_transitions_total{backend="redis",endpoint="0",to="open"}"#,
        r#"steadfast_breaker_state{backend="redis",endpoint="0"} 0"#,
        r#"steadfast_store_used_bytes{backend="redis"}"#,
        r#"steadfast_store_entries{backend="redis"}"#,
        r#"steadfast_claims_total{backend="redis",result="acquired"}"#,
        r#"steadfast_cleanup_removed_total{backend="redis",what="listed"} 0"#,
    ] {
        assert!(metrics.contains(name), "{name} is not among {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    let come = |world: &World| world.redis.restart().unwrap();
    the_store_goes_away(|world| world.redis.kill().unwrap(), come).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused() {
    let come = |world: &World| world.redis.resume().unwrap();
    the_store_goes_away(|world| world.redis.pause().unwrap(), come).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn black_holed() {
    the_store_goes_away(|world| world.proxy.stall(), |world| world.proxy.heal()).await;
}
