//! One run a key, whatever the client, the store and the clock do meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poem::endpoint::make;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use steadfast::backend::ManualClock;
use steadfast::http::{
    CookieAuth, CookieSession, Idempotent, LiveSession, SessionCookie, StoredResponse,
};
use steadfast::idempotency::OnLapse;
use steadfast::session::{SessionHandle, SessionId};
use steadfast::{Idempotency, Principal};
use tokio::sync::Notify;

use crate::fault::Fault;
use crate::{
    LEASE, Visit, app, app_with, call, idempotency, is_replay, keyed, post, problem, store, text,
};

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

#[tokio::test]
async fn a_route_that_fails_open_runs_while_the_store_is_out_and_says_so() {
    let (faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let idempotent = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let app = app_with(idempotent.fail_open(), &runs);
    for run in 1..=2 {
        faulty.fail_next(&[Fault::Cut]);
        let response = call(&app, post("200")).await;
        assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (200, run));
        assert_eq!(response.header("idempotency-status"), Some("bypassed"));
        faulty.heal();
    }
    for _retry in 0..2 {
        let response = call(&app, post("200")).await;
        assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (200, 3));
        assert_eq!(response.header("idempotency-status"), None, "the store is back");
    }
}

#[tokio::test]
async fn a_route_that_only_removes_runs_also_where_its_key_finds_no_room() {
    let (faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let idempotent = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let (plain, removing) =
        (app_with(idempotent.clone(), &runs), app_with(idempotent.even_when_full(), &runs));
    faulty.full(true);
    assert_eq!(call(&plain, post("200")).await.status(), 503);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    let response = call(&removing, post("200")).await;
    assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (200, 1));
    assert_eq!(response.header("idempotency-status"), Some("bypassed"));
    // What is out cannot end a session either.
    faulty.fail_next(&[Fault::Cut]);
    assert_eq!(call(&removing, post("200")).await.status(), 503);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    faulty.full(false);
    assert_eq!(call(&removing, post("200")).await.header("idempotency-status"), None);
    assert!(is_replay(&call(&removing, post("200")).await));
}

/// The room may end while the handler runs.
#[tokio::test(start_paused = true)]
async fn the_answer_of_a_route_that_only_removes_is_given_though_it_finds_no_room() {
    let (faulty, store, _clock) = store();
    let idempotent = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let removes = |idempotent: Idempotent| {
        let faulty = Arc::clone(&faulty);
        let handler = make(move |_request| {
            faulty.full(true);
            async { "gone" }
        });
        handler.with(idempotent.anonymous())
    };
    let plain = call(&removes(idempotent.clone()), post("200")).await;
    assert_eq!(plain.status(), 503);
    faulty.full(false);
    let response = call(&removes(idempotent.clone().even_when_full()), post("201")).await;
    assert_eq!(response.header("idempotency-status"), Some("bypassed"));
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "gone"));
    // No claim is left behind: each retry runs again, also with room for a claim but no answer.
    for is_full in [true, false, true] {
        faulty.full(is_full);
        let retry = call(&removes(idempotent.clone().even_when_full()), post("201")).await;
        assert_eq!(retry.header("idempotency-status"), Some("bypassed"), "{is_full}");
        assert_eq!((retry.status().as_u16(), text(retry).await.as_str()), (200, "gone"));
    }
}

/// Nobody holds it, so no retry waits for its lease.
#[tokio::test(start_paused = true)]
async fn a_key_that_an_outage_kept_from_being_given_back_is_free_after_it() {
    let (faulty, store, clock) = store();
    let once = || Idempotent::new(idempotency(&store, OnLapse::Refuse)).anonymous();
    let full = Arc::clone(&faulty);
    let removes = make(move |_request| {
        full.full(true);
        async { "gone" }
    });
    let removes = removes.with(once().even_when_full());
    clock.advance(Duration::from_secs(200_000));
    let dated = || keyed("old").header("repeatability-first-sent", DATE).finish();
    let late = make(|_request| async { "done" }).with(once().refuse_old_keys(clock).unwrap());
    let plain = make(|_request| async { "done" }).with(once());

    let out_after = |passing| {
        faulty.fail_next(&[Fault::Cut; 100]);
        faulty.fail_after(passing, Fault::Cut);
    };
    let back = async || {
        faulty.heal();
        faulty.full(false);
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    // The claim passes, and the answer, which finds no room.
    out_after(2);
    assert_eq!(call(&removes, post("200")).await.status(), 200);
    back().await;
    assert_eq!(call(&removes, post("200")).await.status(), 200);
    faulty.full(false);
    // The claim of a request that is refused.
    out_after(1);
    assert_eq!(call(&late, dated()).await.status(), 412);
    back().await;
    assert_eq!(call(&plain, dated()).await.status(), 200);
}

/// The retry could get another one.
#[tokio::test(start_paused = true)]
async fn an_answer_is_not_given_before_it_is_kept() {
    let (faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    // The claim passes, its completion does not, however often it is tried.
    faulty.fail_next(&[Fault::Cut; 100]);
    faulty.fail_after(1, Fault::Cut);
    let begun = tokio::time::Instant::now();
    let response = call(&app, post("200")).await;
    assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (503, 1));
    assert!(begun.elapsed() <= Duration::from_secs(2));
    // When the store is back it is kept, if this process lives.
    faulty.heal();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let retry = call(&app, post("200")).await;
    assert_eq!(retry.header("idempotent-replayed"), Some("true"));
    assert_eq!((retry.status().as_u16(), runs.load(Ordering::SeqCst)), (200, 1));
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

/// Not a constant: what is left of the lease, rounded up.
#[tokio::test]
async fn a_retry_in_flight_is_told_how_long_at_most() {
    let (_faulty, store, clock) = store();
    let idempotency = idempotency(&store, OnLapse::Refuse);
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let handler = make(move |_request| {
        begins.notify_one();
        std::future::pending::<()>()
    });
    let app = Arc::new(handler.with(Idempotent::new(idempotency)));
    let hangs = app.clone();
    let hanging = tokio::spawn(async move { call(&*hangs, keyed("k").finish()).await.status() });
    begun.notified().await;
    assert_eq!(call(&*app, keyed("k").body("other")).await.status(), 422);
    for (advance_ms, retry_after) in [(0, "60"), (1, "60"), (59_000, "1"), (998, "1")] {
        clock.advance(Duration::from_millis(advance_ms));
        let retry = call(&*app, keyed("k").finish()).await;
        assert_eq!(retry.status(), 409);
        assert_eq!(retry.headers()[header::RETRY_AFTER], retry_after);
        let problem = problem(retry).await;
        assert_eq!((&problem["outcome"], &problem["retryable"]), (&"pending".into(), &true.into()));
    }
    hanging.abort();
}

/// A retry under a refreshed token is the same user's; another user's never is.
#[tokio::test]
async fn a_key_belongs_to_the_principal_and_not_to_the_credential() {
    let (_faulty, store, _clock) = store();
    let idempotency = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let app = make(|_request| async { "done" }).with(idempotency);
    assert!(!is_replay(&call(&app, keyed("k").header("authorization", "old").finish()).await));
    assert!(is_replay(&call(&app, keyed("k").header("authorization", "new").finish()).await));
    let bob = keyed("k").extension(Principal::new("bob").unwrap()).finish();
    assert!(!is_replay(&call(&app, bob).await));
}

#[tokio::test]
async fn credentials_without_a_principal_share_no_namespace() {
    let (_faulty, store, _clock) = store();
    let sessions = steadfast::Sessions::<()>::builder(&store).build().unwrap();
    let id: SessionId = sessions.create(()).await.unwrap().id;
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let app = make(|_request| async { "done" }).with(once.clone());
    let request = || Request::builder().method(Method::POST).header("idempotency-key", "k");
    assert_eq!(call(&app, request().finish()).await.status(), 401);
    let refused = call(&app, request().extension(id).finish()).await;
    assert_eq!(refused.status(), 403);
    assert!(text(refused).await.contains("scope-unverified"));

    let open = make(|_request| async { "done" }).with(once.anonymous());
    assert!(!is_replay(&call(&open, request().finish()).await));
    assert!(is_replay(&call(&open, request().finish()).await));
}

/// Behind a cookie as behind a token.
#[tokio::test]
async fn keys_that_belong_to_a_session_work_behind_its_cookie() {
    let (_faulty, store, _clock) = store();
    let sessions = steadfast::Sessions::<Visit>::builder(&store).build().unwrap();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse)).per_session();
    let app = make(|_request| async { "done" })
        .with(once)
        .with(LiveSession(sessions.clone()))
        .with(CookieSession::new(sessions.clone(), SessionCookie::new()));
    let alice = Principal::new("alice").unwrap();
    for device in ["laptop", "phone"] {
        let session = sessions.sign_in(&alice, device, Visit(0)).await.unwrap();
        for replayed in [false, true] {
            let request = Request::builder().method(Method::POST).header("idempotency-key", "k");
            let cookie = format!("__Host-sid={}", session.id.expose());
            let answer = call(&app, request.header(header::COOKIE, cookie).finish()).await;
            assert_eq!((answer.status().as_u16(), is_replay(&answer)), (200, replayed), "{device}");
        }
    }
}

/// A request with a key and a cookie.
async fn ask(app: &impl Endpoint, key: &str, cookie: &str) -> Response {
    let request = Request::builder().method(Method::POST).header("idempotency-key", key);
    call(app, request.header(header::COOKIE, cookie).finish()).await
}

fn removes(answer: &Response) -> bool {
    let set = answer.headers().get(header::SET_COOKIE);
    set.is_some_and(|set| set.to_str().unwrap().starts_with("__Host-sid=; Max-Age=0;"))
}

/// The first answer may be lost: the retry must remove the cookie as well.
#[tokio::test]
async fn the_replay_of_a_log_out_removes_the_cookie() {
    let (faulty, store, _clock) = store();
    let sessions = steadfast::Sessions::<Visit>::builder(&store).build().unwrap();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse)).per_session();
    let log_out = make(async |request: Request| {
        let session = request.extensions().get::<SessionHandle<Visit>>().unwrap();
        session.destroy().await.unwrap();
    });
    let app = log_out.with(once.clone());
    let app = app.with(CookieSession::new(sessions.clone(), SessionCookie::new()));
    let cookie = format!("__Host-sid={}", sessions.create(Visit(0)).await.unwrap().id.expose());
    for replayed in [false, true] {
        let answer = ask(&app, "k", &cookie).await;
        assert_eq!((is_replay(&answer), removes(&answer)), (replayed, true));
    }
    // While the store cannot say whether the session is gone, the cookie stays.
    faulty.fail_after(1, Fault::Cut);
    let answer = ask(&app, "k", &cookie).await;
    assert_eq!((is_replay(&answer), removes(&answer)), (true, false));
    // The replay of anything else leaves a live one alone.
    let app = make(|_request| async { "done" }).with(once.clone());
    let app = app.with(CookieSession::new(sessions.clone(), SessionCookie::new()));
    let cookie = format!("__Host-sid={}", sessions.create(Visit(0)).await.unwrap().id.expose());
    for replayed in [false, true] {
        let answer = ask(&app, "l", &cookie).await;
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter().count();
        assert_eq!((is_replay(&answer), cookies), (replayed, 0));
    }
}

/// Where the handler sets cookies itself: what removes one is replayed, what sets one is not.
#[tokio::test]
async fn the_replay_of_what_belongs_to_a_session_repeats_its_removals() {
    let (_faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse)).per_session();
    let app = make(|_request| async {
        let removal = SessionCookie::new().removal();
        let response = Response::builder().header(header::SET_COOKIE, removal);
        response.header(header::SET_COOKIE, "secret=1; Max-Age=0").finish()
    });
    let app = app.with(once).with(CookieAuth::default());
    let cookie = format!("__Host-sid={}A", "B".repeat(42));
    for (replayed, count) in [(false, 2), (true, 1)] {
        let answer = ask(&app, "k", &cookie).await;
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter().count();
        assert_eq!((is_replay(&answer), removes(&answer), cookies), (replayed, true, count));
    }
}

#[tokio::test]
async fn safe_requests_need_no_key_and_leave_none() {
    let (faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    let app = make(|_request| async { "done" }).with(once);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let request = Request::builder().method(method).finish();
        assert_eq!((call(&app, request).await.status().as_u16(), faulty.trips()), (200, 0));
    }
    assert_eq!(call(&app, Request::builder().method(Method::PUT).finish()).await.status(), 400);
}

#[tokio::test]
async fn a_request_that_is_too_long_or_doubts_itself_is_not_executed() {
    let (faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse)).request_limit(30);
    let app = make(|_request| async { "done" }).with(once);
    // As a problem by itself, without a catch-all.
    let too_long = app.call(keyed("k").body("x".repeat(31))).await.unwrap_err().into_response();
    assert_eq!(
        (too_long.status().as_u16(), problem(too_long).await["status"].clone()),
        (413, 413.into())
    );
    let doubled = call(&app, keyed("k").body(r#"{"qty":1,"qty":2}"#)).await;
    assert_eq!((doubled.status().as_u16(), faulty.trips()), (400, 0));
    assert!(text(doubled).await.contains("bad-json"));
    assert_eq!(call(&app, keyed("k").body("x".repeat(30))).await.status(), 200);
}

/// When the clock of the tests begins.
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// What was forgotten is not run again, and what is remembered is still answered.
#[tokio::test]
async fn a_request_older_than_the_retention_is_refused_where_asked_for() {
    let (_faulty, store, clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let once = |node: &ManualClock| {
        let idempotency = Idempotency::<StoredResponse>::builder(&store);
        let idempotency = idempotency.retention(Duration::from_secs(7_200)).build().unwrap();
        let runs = runs.clone();
        let handler = make(move |_request| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { "done" }
        });
        handler.with(Idempotent::new(idempotency).refuse_old_keys(node.clone()).unwrap())
    };
    // The node's clock is the store's, here.
    let app = once(&clock);
    let made_ms = 1_700_000_000_000_u64;
    let uuid = format!("{:08x}-{:04x}-7cc3-98c4-dc0c0c07398f", made_ms >> 16, made_ms & 0xffff);
    let dated = || keyed("k").header("repeatability-first-sent", DATE);
    for request in [keyed(&uuid).finish(), dated().finish()] {
        assert_eq!(call(&app, request).await.status(), 200);
    }
    clock.advance(Duration::from_secs(7_100));
    for request in [keyed(&uuid).finish(), dated().finish()] {
        assert!(is_replay(&call(&app, request).await), "it is remembered");
    }
    clock.advance(Duration::from_secs(100));
    for request in [keyed(&uuid).finish(), dated().finish()] {
        let refused = call(&app, request).await;
        assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
        assert!(text(refused).await.contains("key-too-old"));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(call(&app, keyed("ageless").finish()).await.status(), 200);

    // A node whose clock is ten minutes behind refuses them, too.
    let behind = ManualClock::at_us((made_ms + 6_600_000) * 1_000);
    assert_eq!(call(&once(&behind), keyed(&uuid).finish()).await.status(), 412);
}

/// Clocks may be ten minutes apart, so within them every request could be too old.
#[tokio::test]
async fn old_keys_cannot_be_refused_where_all_are_old() {
    let (_faulty, store, clock) = store();
    for (retention_s, works) in [(600, false), (601, true)] {
        let idempotency = Idempotency::<StoredResponse>::builder(&store);
        let idempotency = idempotency.lease(LEASE).retention(Duration::from_secs(retention_s));
        let once = Idempotent::new(idempotency.build().unwrap()).refuse_old_keys(clock.clone());
        assert_eq!(once.is_ok(), works, "{retention_s}: {once:?}");
    }
}

#[tokio::test]
async fn a_service_that_shuts_down_begins_nothing_new() {
    let (_faulty, store, _clock) = store();
    let idempotency = idempotency(&store, OnLapse::Refuse);
    let app = make(|_request| async { "done" }).with(Idempotent::new(idempotency.clone()));
    assert_eq!(call(&app, keyed("k").finish()).await.status(), 200);
    assert!(idempotency.shutdown(Duration::ZERO).await);
    let refused = call(&app, keyed("another").finish()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
}
