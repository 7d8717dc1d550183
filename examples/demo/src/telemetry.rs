//! Logs of access patterns, never of payloads, and the metrics of them.

use std::io::IsTerminal as _;
use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use poem::http::Method;
use poem::{Endpoint, Middleware, PathPattern, Request, Response, Result};
use tracing::info;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Stdout belongs to the line that says where the demo listens. Requests do not
/// wait for whoever reads the log: what it does not keep up with is dropped. What is left is
/// written when the guard is dropped.
pub(crate) fn log_to_stderr(filter: EnvFilter) -> WorkerGuard {
    let (stderr, guard) = tracing_appender::non_blocking(std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(stderr).init();
    guard
}

pub(crate) fn install_metrics() -> std::result::Result<PrometheusHandle, String> {
    const BUCKETS_S: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0];
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_S);
    let builder = builder.map_err(|error| error.to_string())?;
    let recorder = builder.install_recorder().map_err(|error| error.to_string())?;
    describe_counter!("http_requests_total", "Requests, by method, route and status.");
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "How long requests took, by method, route and status."
    );
    Ok(recorder)
}

/// Counts and logs each request by its route, not by its path.
pub(crate) struct Access;

impl<E: Endpoint> Middleware<E> for Access {
    type Output = AccessEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        AccessEndpoint(inner)
    }
}

pub(crate) struct AccessEndpoint<E>(E);

impl<E: Endpoint> Endpoint for AccessEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let (started, method) = (Instant::now(), name(request.method()));
        let response = self.0.get_response(request).await;
        let route = response.data::<PathPattern>().map_or("unknown", |pattern| &pattern.0);
        let (route, status) = (route.to_owned(), response.status().as_u16().to_string());
        let took = started.elapsed();
        // Whole microseconds, which print without a tail.
        let took_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        info!(method, route, status, took_ms, "request");
        let labels = [("method", method.to_owned()), ("route", route), ("status", status)];
        counter!("http_requests_total", &labels).increment(1);
        histogram!("http_request_duration_seconds", &labels).record(took);
        Ok(response)
    }
}

/// A client may make up methods; a metric must not grow with them.
fn name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}
