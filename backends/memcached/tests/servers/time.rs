//! Time is the server's, in whole seconds that lag.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{Backend, Condition, Ttl, Write, Written};
use steadfast_conformance::servers::MemcachedServer;
use tokio::task::JoinSet;

use crate::common::{connect, get, key, put, refused, secs, until};

const TTL_STEP: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn an_age_grows_and_is_never_overstated_on_any_node() {
    let server = MemcachedServer::start().unwrap();
    let nodes = [connect(&server).await, connect(&server).await];
    for writer in &nodes {
        let before = Instant::now();
        put(writer, Write::put(key("k"), "v")).await;
        let after = Instant::now();
        until(|| async {
            for reader in &nodes {
                let entry = get(reader, &key("k")).await;
                let age_max = before.elapsed();
                assert!(entry.age <= age_max, "{:?} of {age_max:?}", entry.age);
            }
            let age_min = after.elapsed().saturating_sub(TTL_STEP);
            let age = get(&nodes[0], &key("k")).await.age;
            assert!(age >= age_min.min(Duration::from_secs(1)), "{age:?} of {age_min:?}");
            age >= Duration::from_secs(1)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_keeps_the_age() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    put(&backend, Write::put(key("k"), "v")).await;
    until(|| async { get(&backend, &key("k")).await.age >= Duration::from_secs(1) }).await;
    let before = get(&backend, &key("k")).await;
    assert!(backend.write(&Write::touch(key("k"), Some(secs(60)))).await.unwrap().is_applied());
    let after = get(&backend, &key("k")).await;
    assert!(after.age >= before.age);
    assert_eq!((after.written_us, after.version), (before.written_us, before.version));
}

/// Many at once, so that they are put at all moments between two ticks of the server's timer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_left() {
    let server = MemcachedServer::start().unwrap();
    let backend = Arc::new(connect(&server).await);
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(25 * number)).await;
            let key = key(&number.to_string());
            let ttl = Duration::from_millis(1_200);
            let started = Instant::now();
            put(&backend, Write::put(key.clone(), "v").expiring(Ttl::new(ttl).unwrap())).await;
            let stored = Instant::now();
            let mut surely_until = started + ttl;
            loop {
                let asked = Instant::now();
                let Some(entry) = backend.get(&key).await.unwrap() else { break };
                let lived = asked.duration_since(stored);
                surely_until = surely_until.max(asked + entry.left.unwrap());
                assert!(lived <= ttl + TTL_STEP, "{ttl:?}, and it is there after {lived:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(Instant::now() >= surely_until, "it went before its time");
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_beyond_30_days_are_dates_of_the_server() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    let days = |days: u64| secs(days * 24 * 3_600);
    for (number, ttl) in [days(29), days(30), days(31), days(366)].into_iter().enumerate() {
        let (key, asked) = (key(&number.to_string()), ttl.as_duration());
        put(&backend, Write::put(key.clone(), "v").expiring(ttl)).await;
        let touched = Write::touch(key.clone(), Some(ttl));
        for _ in 0..2 {
            let left = get(&backend, &key).await.left.unwrap();
            assert!(left <= asked + TTL_STEP && left + TTL_STEP >= asked, "{left:?} of {asked:?}");
            assert!(backend.write(&touched.clone()).await.unwrap().is_applied());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_comes_into_a_touch_keeps_its_own_deadline() {
    const SHORT: u64 = 100;
    let server = MemcachedServer::start().unwrap();
    let backend = Arc::new(connect(&server).await);
    put(&backend, Write::put(key("k"), "v").expiring(secs(SHORT))).await;
    let writer = Arc::clone(&backend);
    let writer = tokio::spawn(async move {
        loop {
            put(&writer, Write::put(key("k"), "v").expiring(secs(SHORT))).await;
        }
    });
    let touches = || server.stat("cmd_touch").unwrap().unwrap().parse::<u64>().unwrap();
    let (started, mut applied) = (Instant::now(), 0);
    // More touches than were applied means that some met a put, and took the touch back.
    while touches() < applied + 100 {
        assert!(!writer.is_finished() && started.elapsed() < Duration::from_secs(120));
        let version = get(&backend, &key("k")).await.version;
        let touch = Write::touch(key("k"), Some(secs(SHORT * 100)));
        let touch = touch.only_if(Condition::VersionIs(version));
        match backend.write(&touch).await.unwrap() {
            Written::Applied { .. } => applied += 1,
            Written::Refused { current } => {
                let current = current.unwrap();
                assert_ne!(current.version, version);
                let left = current.left.unwrap();
                assert!(left <= Duration::from_secs(SHORT) + TTL_STEP, "{left:?}");
            }
        }
    }
    writer.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_touch_moves_no_deadline() {
    let server = MemcachedServer::start().unwrap();
    let backend = connect(&server).await;
    let old = put(&backend, Write::put(key("k"), "v")).await;
    put(&backend, Write::put(key("k"), "v").expiring(secs(100))).await;
    let touch = Write::touch(key("k"), None).only_if(Condition::VersionIs(old));
    assert!(refused(backend.write(&touch).await.unwrap()).unwrap().left.is_some());
    assert_eq!(server.stat("cmd_touch").unwrap().unwrap(), "0");
}
