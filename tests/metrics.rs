//! What happened is counted under the name that says so. Alone in its process: there is one
//! recorder.

#![cfg(all(feature = "memory", feature = "metrics"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast::backend::{Backend, Group, ManualClock, Ttl, Write};
use steadfast::idempotency::{Begin, Fingerprint, IdempotencyKey, Reason, Scope};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::store::{NearConfig, Reads};
use steadfast::{Cleanup, Idempotency, Principal, Sessions, Store};

const LEASE: Duration = Duration::from_secs(10);

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
