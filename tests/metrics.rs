//! What happened is counted under the name that says so, and each number says what it is.

#![cfg(all(feature = "memory", feature = "metrics"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use steadfast::backend::{Backend, Group, ManualClock, Ttl, Write};
use steadfast::idempotency::{Begin, Fingerprint, IdempotencyKey, Reason, Scope};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::store::{NearConfig, Reads};
use steadfast::{Cleanup, Idempotency, Principal, Sessions, State, Store};

const LEASE: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Flag(u64);

impl State for Flag {
    const SCHEMA: u16 = 1;
}

#[tokio::test]
async fn each_result_is_counted_under_its_own_name() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let clock = ManualClock::at_us(1_700_000_000_000_000);
    let backend = MemoryBackend::with_clock(MemoryConfig::default(), clock.clone());
    let backend: Arc<dyn Backend> = Arc::new(backend);
    let store = Store::builder(backend).near(NearConfig::default()).build().unwrap();

    claim_in_all_ways(&store, &clock).await;

    let sessions: Sessions<()> = Sessions::builder(&store)
        .reads(Reads::within(Duration::from_secs(5)))
        .idle(Duration::from_secs(60))
        .build()
        .unwrap();
    let id = sessions.sign_in(&Principal::new("alice").unwrap(), "", ()).await.unwrap().id;
    for _ in 0..4 {
        sessions.load(&id).await.unwrap().unwrap();
    }
    let key = store.key("k", &Group::new("g").unwrap(), "k").unwrap();
    for _ in 0..2 {
        let put = Write::put(key.clone(), "v");
        let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
        assert!(store.write(&put.expiring(ttl)).await.unwrap().is_applied());
    }
    let cleanup = Cleanup::builder(&store).sessions(&sessions).start().unwrap();
    clock.advance(Duration::from_secs(120));
    let removed = cleanup.run().await.unwrap();
    assert_eq!(removed.listed, 1);
    store.check().await.unwrap();

    let text = recorder.render();
    let claim = |result: &str, count: u32| {
        format!("steadfast_claims_total{{backend=\"memory\",result=\"{result}\"}} {count}\n")
    };
    let removal = |what: &str, count: usize| {
        format!("steadfast_cleanup_removed_total{{backend=\"memory\",what=\"{what}\"}} {count}\n")
    };
    let transition = |to: &str| {
        let labels = format!("backend=\"memory\",endpoint=\"0\",to=\"{to}\"");
        format!("steadfast_breaker_transitions_total{{{labels}}} 0\n")
    };
    for line in [
        claim("acquired", 3),
        claim("replayed", 2),
        claim("mismatch", 3),
        claim("indeterminate", 4),
        claim("in_flight", 5),
        claim("lapsed", 6),
        claim("bypassed", 0),
        removal("expired", removed.expired),
        removal("listed", 1),
        // They are there before anything happens.
        "steadfast_breaker_state{backend=\"memory\",endpoint=\"0\"} 0\n".to_owned(),
        transition("open"),
        transition("half-open"),
        transition("closed"),
        "steadfast_near_reads_total{backend=\"memory\",result=\"miss\"} 1\n".to_owned(),
        "steadfast_near_reads_total{backend=\"memory\",result=\"hit\"} 3\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

async fn claim_in_all_ways(store: &Store, clock: &ManualClock) {
    let claims: Idempotency<()> = Idempotency::builder(store).lease(LEASE).build().unwrap();
    let begin = async |key: &str, asked: &str| {
        let key = IdempotencyKey::new(key).unwrap();
        claims.begin(&Scope::anonymous("pay"), &key, &Fingerprint::of([asked])).await.unwrap()
    };
    for key in ["done", "unknown", "lapsed"] {
        let Begin::Acquired(claim) = begin(key, "this").await else { panic!("it is new") };
        match key {
            "done" => drop(claim.complete(&()).await.unwrap()),
            "unknown" => drop(claim.tombstone(Reason::Failed, None).await.unwrap()),
            _ => {}
        }
    }
    for _ in 0..2 {
        drop(begin("done", "this").await);
    }
    for _ in 0..3 {
        drop(begin("done", "that").await);
    }
    for _ in 0..4 {
        drop(begin("unknown", "this").await);
    }
    for _ in 0..5 {
        drop(begin("lapsed", "this").await);
    }
    clock.advance(LEASE * 2);
    for _ in 0..6 {
        drop(begin("lapsed", "this").await);
    }
}

/// Counts for one store alone, whatever else runs.
fn counted<T>(build: impl FnOnce() -> T) -> (T, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (metrics::with_local_recorder(&recorder, build), handle)
}

fn near_reads(text: &str, result: &str) -> u32 {
    let name = format!("steadfast_near_reads_total{{backend=\"memory\",result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Nine of ten are reads. The others write something else of the same user.
#[tokio::test]
async fn writes_of_another_kind_of_the_group_leave_the_hits() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let builder = Store::builder(backend).near(NearConfig::default());
    let (store, handle) = counted(|| builder.build().unwrap());
    let group = Group::new("alice").unwrap();
    let [profile, cart] = ["profile", "cart"].map(|kind| store.key(kind, &group, "k").unwrap());
    assert!(store.write(&store.put_write(&profile, &Flag(0)).unwrap()).await.unwrap().is_applied());
    for number in 0..1_000 {
        if number % 10 == 0 {
            let put = store.put_write(&cart, &Flag(number)).unwrap();
            assert!(store.write(&put).await.unwrap().is_applied());
        } else {
            let reads = Reads::within(Duration::from_secs(10));
            store.get_as::<Flag>(&profile, reads).await.unwrap().unwrap();
        }
        if number % 100 == 0 {
            store.get_as::<Flag>(&profile, Reads::latest()).await.unwrap().unwrap();
        }
    }
    let text = handle.render();
    let [hits, misses] = ["hit", "miss"].map(|result| near_reads(&text, result));
    println!("{hits} hits, {misses} misses");
    assert_eq!(hits + misses, 900);
    assert!(hits >= 810, "{hits} of 900");
    assert_eq!(near_reads(&text, "asked"), 10);
}

/// A disk that is full.
#[cfg(feature = "sled")]
#[tokio::test]
async fn what_a_store_warns_of_is_a_metric() {
    use steadfast::sled::{SledBackend, SledConfig};

    let dir = tempfile::tempdir().unwrap();
    for (reserve, warnings) in [(0, 0), (u64::MAX, 1)] {
        let config = SledConfig::new(dir.path()).reserve_bytes(reserve);
        let backend: Arc<dyn Backend> = Arc::new(SledBackend::open(config).unwrap());
        let store = Store::builder(backend.clone()).build().unwrap();
        let recorder = PrometheusBuilder::new().build_recorder();
        let _counted = metrics::set_default_local_recorder(&recorder);
        assert_eq!(store.check().await.unwrap().warnings.len(), warnings);
        let line = format!("steadfast_store_warnings{{backend=\"sled\"}} {warnings}\n");
        assert!(recorder.handle().render().contains(&line), "{warnings} warnings");
        // What is full cannot say that it was closed.
        let _closed = backend.close().await;
    }
}

#[tokio::test]
async fn each_metric_says_what_it_is() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let builder = Store::builder(backend);
    let (_store, handle) = counted(|| {
        let store = builder.build().unwrap();
        let _claims: Idempotency<()> = Idempotency::builder(&store).build().unwrap();
        store
    });
    let text = handle.render();
    let named = |prefix: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect()
    };
    let (helped, typed) = (named("# HELP "), named("# TYPE "));
    assert!(typed.len() >= 4, "{text}");
    assert!(typed.is_subset(&helped), "{typed:?} {helped:?}");
}
