//! The middlewares on their own, without a server; the demo's tests have the rest.

#![cfg(all(feature = "memory", feature = "poem"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../promises/fault.rs"]
mod fault;

mod bearer;
mod cookie;
mod cookie_session;
mod session_end;
mod session_handle;
mod session_outage;
mod session_rotation;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poem::endpoint::make;
use poem::http::{Method, StatusCode, header};
use poem::web::Data;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, handler};
use serde::{Deserialize, Serialize};
use steadfast::backend::ManualClock;
use steadfast::http::{
    CookieAuth, HealthStatus, Idempotent, LiveSession, Problem, SessionCookie, StoredResponse,
    health,
};
use steadfast::idempotency::OnLapse;
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::session::Session;
use steadfast::{Idempotency, Principal, Sessions, State, Store};

use crate::fault::{Fault, Faulty};

#[derive(Clone, Serialize, Deserialize)]
struct Visit(u32);

impl State for Visit {
    const SCHEMA: u16 = 1;
}

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

#[handler]
fn pages(Data(session): Data<&Arc<Session<Visit>>>) -> String {
    format!("{} {}", session.principal.as_deref().unwrap_or("nobody"), session.state.0)
}

#[tokio::test]
async fn a_cookie_brings_its_session_and_nothing_else_does() {
    let (faulty, store, _clock) = store();
    let sessions: Sessions<Visit> = Sessions::builder(&store).build().unwrap();
    let cookie = SessionCookie::new();
    let app = pages.with(LiveSession(sessions.clone())).with(CookieAuth(cookie.clone()));
    let with = |value: &str| Request::builder().header(header::COOKIE, value).finish();

    let anonymous = sessions.create(Visit(1)).await.unwrap();
    let alice = Principal::new("alice").unwrap();
    let signed_in = sessions.sign_in(&alice, "laptop", Visit(2)).await.unwrap();
    for (session, body) in [(&anonymous, "nobody 1"), (&signed_in, "alice 2")] {
        let handed = cookie.hand_over(session).unwrap();
        assert!(handed.is_sensitive());
        let pair = handed.to_str().unwrap().split(';').next().unwrap();
        let response = call(&app, with(&format!("a=b; {pair}; c=d"))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().into_string().await.unwrap(), body);
    }

    let id = anonymous.id.expose();
    for (value, trips) in [
        ("", 0),
        ("sid=x", 0),
        (&format!("sid={id}"), 0),
        (&format!("__Host-sid={id}x"), 0),
        (&format!("__Host-sid={}", "A".repeat(43)), 1),
    ] {
        faulty.trips();
        let response = call(&app, with(value)).await;
        assert_eq!((response.status(), faulty.trips()), (StatusCode::UNAUTHORIZED, trips));
    }
    // An outage logs nobody out.
    faulty.fail_next(&[Fault::Cut]);
    let response = call(&app, with(&format!("__Host-sid={id}"))).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert!(!response.headers().contains_key(header::SET_COOKIE));
}

/// A handler that ends as its query says, and counts its runs.
fn app(store: &Store, on_lapse: OnLapse, runs: &Arc<AtomicU32>) -> impl Endpoint + use<> {
    let idempotency = Idempotency::<StoredResponse>::builder(store).on_lapse(on_lapse);
    let idempotency = Idempotent::new(idempotency.lease(Duration::from_secs(60)).build().unwrap());
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

#[tokio::test]
async fn a_final_answer_is_replayed_without_cookies() {
    let (_faulty, store, clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    for (count, status) in [200, 201, 204, 303, 402, 404, 410].into_iter().enumerate() {
        let first = call(&app, post(&status.to_string())).await;
        assert_eq!(first.status(), status);
        assert!(first.headers().contains_key(header::SET_COOKIE));
        let body = first.into_body().into_string().await.unwrap();
        clock.advance(Duration::from_secs(3_600));
        let replay = call(&app, post(&status.to_string())).await;
        assert_eq!(replay.status(), status);
        let header = |name| replay.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("idempotent-replayed"), Some("true"));
        assert_eq!(header("location"), Some("/made"));
        assert_eq!((header("set-cookie"), header("x-other")), (None, None));
        assert_eq!(replay.into_body().into_string().await.unwrap(), body);
        assert_eq!(runs.load(Ordering::SeqCst) as usize, count + 1);
    }
}

#[tokio::test]
async fn what_was_not_executed_runs_again() {
    let (_faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    for status in [400, 401, 403, 408, 409, 413, 415, 422, 425, 429] {
        for _attempt in 0..2 {
            let before = runs.load(Ordering::SeqCst);
            assert_eq!(call(&app, post(&status.to_string())).await.status(), status);
            assert_eq!(runs.load(Ordering::SeqCst), before + 1);
        }
    }
}

/// A panic or a 5xx says nothing of the effects. Never a silent second run where that is unsafe.
#[tokio::test]
async fn an_unknown_outcome_follows_the_policy() {
    for ending in ["500", "503", "panic"] {
        let (_faulty, store, _clock) = store();
        let runs = Arc::new(AtomicU32::new(0));
        let refuse = app(&store, OnLapse::Refuse, &runs);
        assert!(call(&refuse, post(ending)).await.status().is_server_error());
        let lapsed = call(&refuse, post(ending)).await;
        assert_eq!(lapsed.status(), 409);
        assert!(lapsed.into_body().into_string().await.unwrap().contains("outcome-unknown"));
        assert_eq!(runs.load(Ordering::SeqCst), 1);

        let take_over = app(&store, OnLapse::TakeOver, &runs);
        assert!(call(&take_over, post(ending)).await.status().is_server_error());
        assert!(call(&take_over, post(ending)).await.status().is_server_error());
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_store_that_is_out_means_503_and_no_run() {
    let (faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    faulty.fail_next(&[Fault::Cut]);
    let response = call(&app, post("200")).await;
    assert_eq!(
        (response.status(), runs.load(Ordering::SeqCst)),
        (StatusCode::SERVICE_UNAVAILABLE, 0)
    );
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(call(&app, post("200")).await.status(), 200);
}

/// An answer that is not kept is not given: the retry could get another one.
#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_not_given() {
    let (faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    // The claim passes, its completion does not.
    faulty.fail_after(1, Fault::Cut);
    let response = call(&app, post("200")).await;
    assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (503, 1));
}

/// The effect happened, so this is no reason to refuse the request as too large.
#[tokio::test]
async fn an_answer_that_is_too_large_leaves_the_outcome_unknown() {
    let (_faulty, store, _clock) = store();
    let idempotency = Idempotency::<StoredResponse>::builder(&store).build().unwrap();
    let huge = make(|_request| async { Response::builder().body(vec![7; 17 << 20]) });
    let alice = Principal::new("alice").unwrap();
    let app = huge.with(Idempotent::new(idempotency)).before(move |mut request: Request| {
        request.extensions_mut().insert(alice.clone());
        async { Ok(request) }
    });
    assert_eq!(call(&app, post("200")).await.status(), 500);
    let retry = call(&app, post("200")).await;
    assert_eq!(retry.status(), 409);
    assert!(retry.into_body().into_string().await.unwrap().contains("outcome-unknown"));
}

/// A client that goes away while the key is being claimed must not leave a key that nobody holds.
#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_run() {
    for polls in 0..4 {
        let (_faulty, store, _clock) = store();
        let runs = Arc::new(AtomicU32::new(0));
        let app = app(&store, OnLapse::Refuse, &runs);
        {
            let mut left = std::pin::pin!(call(&app, post("200")));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            for _poll in 0..polls {
                assert!(left.as_mut().poll(&mut context).is_pending());
            }
        }
        // The run that goes on ends within a few turns; a key that nobody holds never does.
        let mut retry = call(&app, post("200")).await;
        for _turn in 0..100 {
            if retry.status() != 409 {
                break;
            }
            retry = call(&app, post("200")).await;
        }
        assert_eq!((retry.status().as_u16(), runs.load(Ordering::SeqCst)), (200, 1), "{polls}");
    }
}

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

/// The handler takes a hundred leases, on a paused clock; the store's clock goes along.
#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_while_the_handler_runs() {
    let (_faulty, store, clock) = store();
    let lease = Duration::from_secs(3);
    let idempotency = Idempotency::<StoredResponse>::builder(&store).lease(lease);
    let idempotency = idempotency.on_lapse(OnLapse::TakeOver).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let slow = make(move |_request| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { tokio::time::sleep(Duration::from_secs(300)).await }
    });
    let app = slow.with(Idempotent::new(idempotency)).before(move |mut request: Request| {
        request.extensions_mut().insert(alice.clone());
        async { Ok(request) }
    });
    let app = Arc::new(app);
    let first = tokio::spawn({
        let app = app.clone();
        async move { call(&*app, post("200")).await.status() }
    });
    for _second in 0..200 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        clock.advance(Duration::from_secs(1));
        assert_eq!(call(&*app, post("200")).await.status(), 409);
    }
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
