//! Whether the store can do its work.

use steadfast::http::{HealthStatus, health};

use crate::fault::Fault;
use crate::store;

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
