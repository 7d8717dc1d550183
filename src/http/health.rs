use std::time::Duration;

use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::Store;
use crate::breaker::BreakerState;

/// A store that needs longer than this for a round trip counts as degraded.
const SLOW: Duration = Duration::from_millis(250);
/// One that needs longer than this counts as down.
const DOWN: Duration = Duration::from_secs(2);

/// Whether a service can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// The store answers.
    Ok,
    /// It answers, but slowly, or it warns of something, such as that it takes no writes, or calls
    /// to a server of it are not all let through.
    Degraded,
    /// It does not answer.
    Down,
}

/// What a health check found. As a response: 200, or 503 if the store is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The verdict.
    pub status: HealthStatus,
    /// The backend's name.
    pub backend: &'static str,
    /// How long the round trip took, or was waited for; without the write that is tried.
    pub latency: Duration,
    /// Whether calls to the store are let through: the worst of its servers.
    pub breaker: BreakerState,
    /// What an operator should change, in words: why no write is possible or none can be confirmed,
    /// or a setting that can lose what must be kept.
    pub warnings: Vec<String>,
}

/// Asks the store itself, by a real round trip; see [`Store::check`].
pub async fn health(store: &Store) -> HealthReport {
    let started = Instant::now();
    let checked = timeout(DOWN, store.round_trip()).await;
    let latency = started.elapsed();
    // How long a write takes says nothing about reads, and it has a limit of its own.
    let checked = match checked {
        Ok(Ok(health)) => Ok(store.try_writes(health).await),
        failed => failed,
    };
    let breaker = worst(store);
    let (status, warnings) = match checked {
        Ok(Ok(health)) => {
            let is_well = latency <= SLOW && breaker == BreakerState::Closed;
            let is_well = is_well && health.warnings.is_empty();
            let status = if is_well { HealthStatus::Ok } else { HealthStatus::Degraded };
            (status, health.warnings)
        }
        Ok(Err(error)) => {
            warn!(%error, "the store failed its health check");
            (HealthStatus::Down, Vec::new())
        }
        Err(_elapsed) => {
            warn!("the store did not answer its health check");
            (HealthStatus::Down, Vec::new())
        }
    };
    HealthReport { status, backend: store.info().name, latency, breaker, warnings }
}

fn worst(store: &Store) -> BreakerState {
    let states = store.breakers().into_iter().map(|(_server, breaker)| breaker.state);
    states.max().unwrap_or(BreakerState::Closed)
}

impl IntoResponse for HealthReport {
    fn into_response(self) -> Response {
        let (status, text) = match self.status {
            HealthStatus::Ok => (StatusCode::OK, "ok"),
            HealthStatus::Degraded => (StatusCode::OK, "degraded"),
            HealthStatus::Down => (StatusCode::SERVICE_UNAVAILABLE, "down"),
        };
        let body = json!({
            "status": text,
            "warnings": self.warnings,
            "backend": self.backend,
            // Whole microseconds.
            "latency_ms": (self.latency.as_secs_f64() * 1e6).round() / 1e3,
            "breaker": self.breaker.name(),
            // For clients that ask any version: this one neither syncs with a hub nor moves a
            // store.
            "sync": null,
            "moving": null,
        });
        let mut response = Response::builder()
            .status(status)
            .content_type("application/json")
            .header(header::CACHE_CONTROL, "no-store");
        if self.status == HealthStatus::Down {
            response = response.header(header::RETRY_AFTER, 1);
        }
        response.body(body.to_string())
    }
}
