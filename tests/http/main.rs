//! The middlewares on their own, without a server; the demo's tests have the rest.

#![cfg(all(feature = "memory", feature = "poem"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../promises/fault.rs"]
mod fault;

mod bearer;
mod commit;
mod cookie;
mod cookie_session;
mod entity_tag;
mod health;
mod json;
mod once;
mod origin;
mod outcome;
mod panics;
mod replay;
mod session;
mod session_end;
mod session_handle;
mod session_outage;
mod session_rotation;
mod several_cookies;
mod site;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poem::endpoint::make;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use serde::{Deserialize, Serialize};
use steadfast::backend::ManualClock;
use steadfast::http::{Idempotent, Problem, StoredResponse};
use steadfast::idempotency::OnLapse;
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::{Idempotency, Principal, State, Store};

use crate::fault::Faulty;

/// A session's state.
#[derive(Clone, Serialize, Deserialize)]
struct Visit(u32);

impl State for Visit {
    const SCHEMA: u16 = 1;
}

const LEASE: Duration = Duration::from_secs(60);

fn store() -> (Arc<Faulty>, Store, ManualClock) {
    let clock = ManualClock::at_us(1_700_000_000_000_000);
    let backend = MemoryBackend::with_clock(MemoryConfig::default(), clock.clone());
    let faulty = Faulty::new(Arc::new(backend));
    let store = faulty.store();
    (faulty, store, clock)
}

/// Errors become responses, as in a service.
async fn call(endpoint: &impl Endpoint, request: Request) -> Response {
    match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => Problem::from_poem(error),
    }
}

/// The text of a response.
async fn text(response: Response) -> String {
    response.into_body().into_string().await.unwrap()
}

/// A response that must be a problem, as JSON.
async fn problem(response: Response) -> serde_json::Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    serde_json::from_str(&text(response).await).unwrap()
}

fn is_replay(response: &Response) -> bool {
    response.headers().get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn idempotency(store: &Store, on_lapse: OnLapse) -> Idempotency<StoredResponse> {
    Idempotency::builder(store).lease(LEASE).on_lapse(on_lapse).build().unwrap()
}

/// A request of Alice's, with this key.
fn keyed(key: &str) -> poem::RequestBuilder {
    let request = Request::builder().method(Method::POST).uri_str("/pay");
    request.header("idempotency-key", key).extension(Principal::new("alice").unwrap())
}

/// A handler that ends as its query says, and counts its runs.
fn app(store: &Store, on_lapse: OnLapse, runs: &Arc<AtomicU32>) -> impl Endpoint + use<> {
    app_with(Idempotent::new(idempotency(store, on_lapse)), runs)
}

fn app_with(idempotency: Idempotent, runs: &Arc<AtomicU32>) -> impl Endpoint + use<> {
    let (runs, alice) = (runs.clone(), Principal::new("alice").unwrap());
    let handler = make(move |request: Request| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let ending = request.uri().query().unwrap_or_default().to_owned();
            assert_ne!(ending, "panic", "as the test asked");
            let status = StatusCode::from_u16(ending.parse().unwrap()).unwrap();
            Response::builder()
                .status(status)
                .header(header::SET_COOKIE, "secret=1")
                .header(header::LOCATION, "/made")
                .header("x-other", "1")
                .body(format!("run {run}"))
        }
    });
    handler.with(idempotency).around(move |endpoint, mut request: Request| {
        let alice = alice.clone();
        async move {
            request.extensions_mut().insert(alice);
            endpoint.call(request).await
        }
    })
}

fn post(ending: &str) -> Request {
    let request = Request::builder().method(Method::POST).uri_str(format!("/pay?{ending}"));
    request.header("idempotency-key", ending).finish()
}
