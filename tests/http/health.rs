//! Whether the store can do its work.

use std::sync::Arc;

use steadfast::Store;
use steadfast::http::{HealthStatus, health};
use steadfast::memory::{MemoryBackend, MemoryConfig};

use crate::fault::{Fault, Faulty};
use crate::{store, text};

#[tokio::test(start_paused = true)]
async fn health_tells_ok_degraded_and_down_apart() {
    let (faulty, store, _clock) = store();
    assert_eq!(health(&store).await.status, HealthStatus::Ok);
    faulty.fail_next(&[Fault::Cut]);
    let down = health(&store).await;
    assert_eq!(down.status, HealthStatus::Down);
    assert_eq!(poem::IntoResponse::into_response(down).status(), 503);
    faulty.fail_next(&[Fault::Slow]);
    let degraded = health(&store).await;
    assert_eq!(degraded.status, HealthStatus::Degraded);
    assert_eq!(poem::IntoResponse::into_response(degraded).status(), 200);
    faulty.fail_next(&[Fault::Hang]);
    assert_eq!(health(&store).await.status, HealthStatus::Down);
}

/// It is tried by a store that is shared, after the round trip.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_slow_or_hangs_makes_no_store_slow_or_down() {
    let faulty = Faulty::shared(Arc::new(MemoryBackend::new(MemoryConfig::default())));
    let store = faulty.store();
    for (check, write, status, latency_ms, warnings) in [
        (None, Fault::Slow, HealthStatus::Ok, 0, 0),
        (None, Fault::Hang, HealthStatus::Degraded, 0, 1),
        (Some(Fault::VerySlow), Fault::Hang, HealthStatus::Degraded, 1_100, 1),
        (Some(Fault::VerySlow), Fault::Slow, HealthStatus::Degraded, 1_100, 0),
    ] {
        faulty.fail_after(usize::from(check.is_none()), write);
        faulty.fail_next(check.as_slice());
        let report = health(&store).await;
        let case = (check, write);
        assert_eq!((report.status, report.warnings.len()), (status, warnings), "{case:?}");
        // On a paused clock.
        assert_eq!(report.latency.as_millis() / 100 * 100, latency_ms, "{case:?}");
    }
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn what_a_store_warns_of_is_told_and_makes_it_degraded() {
    let dir = tempfile::tempdir().unwrap();
    let config = steadfast::sled::SledConfig::new(dir.path()).reserve_bytes(u64::MAX);
    // There is room for what it begins with only.
    let first = steadfast::sled::SledBackend::open(dir.path()).unwrap();
    steadfast::backend::Backend::close(&first).await.unwrap();
    drop(first);
    let backend = steadfast::sled::SledBackend::open(config).unwrap();
    let store = Store::builder(Arc::new(backend)).build().unwrap();
    let report = health(&store).await;
    assert_eq!((report.status, report.warnings.len()), (HealthStatus::Degraded, 1));
    let response = poem::IntoResponse::into_response(report);
    assert_eq!(response.status(), 200);
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["status"], "degraded");
    assert!(body["warnings"][0].as_str().unwrap().contains("reserve"), "{body}");
}
