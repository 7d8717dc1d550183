//! Who sets something wrong reads which setting it is, what is wrong with it and what is allowed.

#![cfg(feature = "memory")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use steadfast::backend::{Error, ErrorKind, Group};
use steadfast::breaker::{Breaker, BreakerConfig};
use steadfast::store::NearConfig;
use steadfast::{Cleanup, Idempotency, Sessions, Store};

const ZERO: Duration = Duration::ZERO;
const AGES: Duration = Duration::from_secs(400_000_000);

async fn store() -> Store {
    Store::builder(steadfast::connect("memory:").await.unwrap()).build().unwrap()
}

#[track_caller]
fn says<T>(built: Result<T, Error>, words: &[&str]) {
    let Err(error) = built else { panic!("{words:?} is not refused") };
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}: {words:?}");
    assert!(!text.contains("TTL"), "{text}");
}

#[tokio::test]
async fn a_wrong_setting_of_sessions_is_named() {
    let store = store().await;
    let builder = || Sessions::<()>::builder(&store);
    for (wrong, span) in [("0ns", ZERO), ("400000000s", AGES)] {
        says(builder().idle(span).build(), &["idle is 1 ms to ten years", wrong]);
        says(builder().absolute(span).build(), &["absolute is 1 ms to ten years", wrong]);
        says(builder().renewal(span).build(), &["renewal is 1 ms to ten years", wrong]);
        says(builder().grace(span).build(), &["grace is 1 ms to ten years", wrong]);
    }
    says(builder().per_principal_max(0).build(), &["per_principal_max is 1 to", "memory", "not 0"]);
}

#[tokio::test]
async fn a_wrong_setting_of_idempotency_is_named() {
    let store = store().await;
    let builder = || Idempotency::<()>::builder(&store);
    says(builder().lease(ZERO).build(), &["lease is 1 ms to ten years", "0ns"]);
    says(builder().retention(ZERO).build(), &["retention is 1 ms to ten years", "0ns"]);
    let minute = Duration::from_secs(60);
    let same = builder().lease(minute).retention(minute);
    says(same.build(), &["lease is shorter than retention", "60s"]);
    #[cfg(feature = "runtime")]
    {
        says(builder().wait(minute).build(), &["wait is up to 5s", "60s"]);
        says(builder().deadline(ZERO).build(), &["deadline is 1 ms to ten years", "0ns"]);
    }
}

#[tokio::test]
async fn a_wrong_setting_of_a_store_is_named() {
    let backend = steadfast::connect("memory:").await.unwrap();
    let builder = || Store::builder(backend.clone());
    for (namespace, wrong) in
        [("", "this one has 0"), (&"n".repeat(50), "this one has 50"), ("a b", "byte 1")]
    {
        let words = ["the namespace of a store has 1 to 40 characters", wrong];
        says(builder().namespace(namespace).build(), &words);
    }
    says(builder().deadline(ZERO).build(), &["deadline is more than zero", "an hour", "0ns"]);
    says(builder().attempts(11).build(), &["attempts is 1 to 10", "11"]);
    says(builder().in_flight_max(0).build(), &["in_flight_max is at least 1"]);
    let near = NearConfig::default();
    says(builder().near(near.keep(ZERO)).build(), &["keep of a near cache", "a day", "0ns"]);
    says(builder().near(near.capacity(0)).build(), &["capacity of a near cache", "1 byte"]);
    let every = Cleanup::builder(&builder().build().unwrap()).every(ZERO).start();
    says(every, &["every is more than zero"]);
}

#[tokio::test]
async fn a_wrong_kind_of_a_key_is_named() {
    let (store, group) = (store().await, Group::new("g").unwrap());
    for (kind, wrong) in [("", "has 0"), ("a b", "byte 1"), (&"k".repeat(58), "has 58")] {
        let words = ["the kind of a key has 1 to 57 characters", wrong];
        says(store.key(kind, &group, "n"), &words);
    }
    assert!(store.key(&"k".repeat(57), &group, "n").is_ok());
    says(store.key("k", &group, "a b"), &["byte 1 of the key name"]);
}

#[test]
fn a_wrong_setting_of_a_breaker_is_named() {
    let (short, second) = (Duration::from_micros(1), Duration::from_secs(1));
    let config = BreakerConfig::default;
    says(Breaker::new(config().window(short)), &["window of a breaker is 1 ms to 1 day", "1µs"]);
    says(Breaker::new(config().timeout(AGES)), &["timeout of a breaker is 1 ms to 1 day"]);
    says(Breaker::new(config().open(short, second)), &["open (min) of a breaker is 1 ms"]);
    says(Breaker::new(config().open(second, AGES)), &["open (max) of a breaker is 1 ms"]);
    says(Breaker::new(config().open(second * 2, second)), &["open of a breaker", "2s, 1s"]);
    says(Breaker::new(config().failure_rate(0.0)), &["failure_rate of a breaker", "not 0"]);
    says(Breaker::new(config().slow_rate(1.5)), &["slow_rate of a breaker", "not 1.5"]);
    says(Breaker::new(config().calls_min(0)), &["calls_min of a breaker is at least 1"]);
    says(Breaker::new(config().probes(&[1, 0])), &["probes of a breaker"]);
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_wrong_setting_of_a_journal_is_named() {
    use std::sync::Arc;
    use steadfast::redb::RedbBackend;
    use steadfast::session::JournalConfig;
    use steadfast::store::Reads;

    let dir = tempfile::tempdir().unwrap();
    let local = Arc::new(RedbBackend::open(dir.path().join("journal")).unwrap());
    let backend = steadfast::connect("memory:").await.unwrap();
    let store = Store::builder(backend).near(NearConfig::default()).build().unwrap();
    let build = |config: JournalConfig| {
        let reads = Reads::latest().serve_stale(Duration::from_secs(10));
        Sessions::<()>::builder(&store).reads(reads).journal(config).build()
    };
    let config = || JournalConfig::new(local.clone());
    says(build(config().sessions_max(0)), &["sessions_max of a journal is at least 1"]);
    says(build(config().bytes_max(0)), &["bytes_max of a journal is at least 1"]);
    says(build(config().age_max(ZERO)), &["age_max of a journal is more than zero"]);
}
