//! What an answer says of its effects, and what a retry gets then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use poem::endpoint::make;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{EndpointExt, IntoResponse as _, Response, handler};
use steadfast::http::{Execution, Idempotent, Outcome, Problem};
use steadfast::idempotency::{OnLapse, Renewal};

use crate::{LEASE, app, call, idempotency, is_replay, keyed, post, problem, store, text};

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

/// A panic or a 5xx says nothing of the effects. Never a silent second run where that is unsafe:
/// the retry gets what the first client was told, and that it is not known to be so.
#[tokio::test]
async fn an_unknown_outcome_follows_the_policy() {
    for (ending, status) in [("500", 500), ("503", 503), ("panic", 500)] {
        let (_faulty, store, clock) = store();
        let runs = Arc::new(AtomicU32::new(0));
        let refuse = app(&store, OnLapse::Refuse, &runs);
        assert_eq!(call(&refuse, post(ending)).await.status(), status);
        for _retry in 0..2 {
            let retry = call(&refuse, post(ending)).await;
            assert_eq!((retry.status().as_u16(), is_replay(&retry)), (status, true), "{ending}");
            assert_eq!(problem(retry).await["outcome"], "unknown");
            assert_eq!(runs.load(Ordering::SeqCst), 1);
            clock.advance(LEASE);
        }

        let take_over = app(&store, OnLapse::TakeOver, &runs);
        for attempt in 2..=5 {
            let again = call(&take_over, post(ending)).await;
            assert_eq!((again.status().as_u16(), is_replay(&again)), (status, false));
            assert_eq!(runs.load(Ordering::SeqCst), attempt);
        }
        let retry = call(&take_over, post(ending)).await;
        assert_eq!((retry.status().as_u16(), is_replay(&retry)), (status, true), "five are enough");
    }
}

#[tokio::test]
async fn a_problem_that_is_not_known_to_be_so_keeps_its_members() {
    let (_faulty, store, _clock) = store();
    let app = make(|_request| async {
        let problem = Problem::new(StatusCode::BAD_GATEWAY, "the bank hung up");
        problem.kind("bank").member("bank", "B").into_response()
    });
    let app = app.with(Idempotent::new(idempotency(&store, OnLapse::Refuse)));
    let mut first = problem(call(&app, keyed("k").finish()).await).await;
    let retry = problem(call(&app, keyed("k").finish()).await).await;
    first["outcome"] = "unknown".into();
    assert_eq!(retry, first);
    assert_eq!((&retry["bank"], &retry["status"]), (&"B".into(), &502.into()));
}

/// A 5xx that was given before anything was done, and a 404 that is not the last word.
#[tokio::test]
async fn a_handler_may_say_itself_what_its_answer_means() {
    for (status, outcome, retried, replayed) in [
        (503, Outcome::NotExecuted, 503, false),
        (404, Outcome::NotExecuted, 404, false),
        (500, Outcome::Final, 500, true),
        (409, Outcome::Final, 409, true),
        (200, Outcome::Unknown, 200, true),
    ] {
        let (_faulty, store, _clock) = store();
        let app = make(move |_request| async move {
            let status = StatusCode::from_u16(status).unwrap();
            Response::builder().status(status).extension(outcome).finish()
        });
        let app = app.with(Idempotent::new(idempotency(&store, OnLapse::Refuse)));
        assert_eq!(call(&app, keyed("k").finish()).await.status(), status);
        let retry = call(&app, keyed("k").finish()).await;
        assert_eq!((retry.status().as_u16(), is_replay(&retry)), (retried, replayed));
        let says = text(retry).await.contains("unknown");
        assert_eq!(says, outcome == Outcome::Unknown);
    }
}

/// A validation that fails after the effects have begun frees no key.
#[tokio::test]
async fn a_refusal_after_the_effects_began_is_not_run_again() {
    #[handler]
    async fn charge(Data(execution): Data<&Execution>) -> Response {
        assert_eq!(execution.mark_effects().await.unwrap(), Renewal::Renewed);
        StatusCode::CONFLICT.into_response()
    }
    let (_faulty, store, clock) = store();
    let app = charge.with(Idempotent::new(idempotency(&store, OnLapse::TakeOver)));
    assert_eq!(call(&app, keyed("k").finish()).await.status(), 409);
    for _retry in 0..2 {
        let retry = call(&app, keyed("k").finish()).await;
        assert_eq!((retry.status().as_u16(), is_replay(&retry)), (409, true));
        assert!(!retry.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(problem(retry).await["outcome"], "unknown");
        clock.advance(LEASE);
    }
}
