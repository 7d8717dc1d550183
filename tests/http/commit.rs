//! Effects that commit with the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poem::http::StatusCode;
use poem::web::Data;
use poem::{EndpointExt, IntoResponse as _, Request, Response, handler};
use serde::{Deserialize, Serialize};
use steadfast::backend::{Condition, Key};
use steadfast::http::{Execution, Idempotent, Problem, Responded};
use steadfast::idempotency::OnLapse;
use steadfast::{Principal, State, Store};

use crate::fault::Fault;
use crate::{call, idempotency, is_replay, keyed, store, text};

#[derive(Default, Serialize, Deserialize)]
struct Balance(u64);

impl State for Balance {
    const SCHEMA: u16 = 1;
}

fn account(store: &Store) -> Key {
    store.key("balance", &Principal::new("alice").unwrap().group(), "euros").unwrap()
}

async fn balance(store: &Store) -> u64 {
    store.get::<Balance>(&account(store)).await.unwrap().map_or(0, |found| found.value.0)
}

/// Somebody else pays in between reading and committing, once.
#[derive(Clone, Default)]
struct Rival(Arc<AtomicBool>);

/// Adds ten; the query says how it ends.
#[handler]
async fn pay_in(
    request: &Request,
    Data(store): Data<&Store>,
    Data(rival): Data<&Rival>,
    Data(execution): Data<&Execution>,
) -> poem::Result<Response> {
    let ending = request.uri().query().unwrap_or_default();
    loop {
        let found = store.get::<Balance>(&account(store)).await.map_err(Problem::from)?;
        let only_if =
            found.as_ref().map_or(Condition::Absent, |found| Condition::VersionIs(found.version));
        let balance = Balance(found.map_or(0, |found| found.value.0) + 10);
        let change = store.put_write(&account(store), &balance).unwrap().only_if(only_if);
        if rival.0.swap(false, Ordering::SeqCst) {
            let write = store.put_write(&account(store), &Balance(100)).unwrap();
            assert!(store.write(&write).await.unwrap().is_applied());
        }
        let response = (StatusCode::CREATED, balance.0.to_string()).into_response();
        let Responded::Response(response) = execution.complete_with(response, vec![change]).await?
        else {
            continue;
        };
        assert_ne!(ending, "panic", "as the test asked");
        match ending {
            "error" => return Err(StatusCode::BAD_GATEWAY.into()),
            "refuse" => return Err(StatusCode::BAD_REQUEST.into()),
            "twice" => {
                let change = store.put_write(&account(store), &Balance(1_000)).unwrap();
                let second = (StatusCode::OK, "two").into_response();
                drop(execution.complete_with(second, vec![change]).await?);
            }
            _ => {}
        }
        return Ok(response);
    }
}

fn app(store: &Store, rival: &Rival) -> impl poem::Endpoint + use<> {
    let once = Idempotent::new(idempotency(store, OnLapse::TakeOver));
    pay_in.with(once).data(store.clone()).data(rival.clone())
}

/// Begin, read, commit: nothing is written for the completion alone.
#[tokio::test]
async fn an_effect_and_its_answer_take_one_trip() {
    let (faulty, store, _clock) = store();
    let app = app(&store, &Rival::default());
    let first = call(&app, keyed("k").finish()).await;
    assert_eq!((first.status().as_u16(), faulty.trips()), (201, 3));
    assert_eq!(text(first).await, "10");
    let again = call(&app, keyed("k").finish()).await;
    assert_eq!((again.status().as_u16(), is_replay(&again), faulty.trips()), (201, true, 1));
    assert_eq!((text(again).await.as_str(), balance(&store).await), ("10", 10));
}

#[tokio::test]
async fn a_change_that_was_outrun_is_computed_again() {
    let (_faulty, store, _clock) = store();
    let rival = Rival::default();
    rival.0.store(true, Ordering::SeqCst);
    let app = app(&store, &rival);
    let first = call(&app, keyed("k").finish()).await;
    assert_eq!((text(first).await.as_str(), balance(&store).await), ("110", 110));
    assert_eq!(text(call(&app, keyed("k").finish()).await).await, "110");
}

/// The answer was committed, so it is the answer.
#[tokio::test]
async fn whatever_the_handler_does_after_its_commit_the_client_gets_what_was_kept() {
    for ending in ["panic", "error", "refuse", "twice"] {
        let (_faulty, store, _clock) = store();
        let app = app(&store, &Rival::default());
        let request = || keyed("k").uri_str(format!("/pay?{ending}")).finish();
        for _attempt in 0..2 {
            let response = call(&app, request()).await;
            assert_eq!((response.status().as_u16(), text(response).await.as_str()), (201, "10"));
        }
        assert_eq!(balance(&store).await, 10);
    }
}

/// The reply to the commit is lost, twice: the handler sees an error, and the client the answer.
#[tokio::test]
async fn a_commit_whose_reply_was_lost_counts() {
    for lost in 1..3 {
        let (faulty, store, _clock) = store();
        let app = app(&store, &Rival::default());
        if lost == 2 {
            faulty.fail_next(&[Fault::ReplyLost]);
        }
        // Begin and read pass.
        faulty.fail_after(2, Fault::ReplyLost);
        let first = call(&app, keyed("k").finish()).await;
        assert_eq!((first.status().as_u16(), text(first).await.as_str()), (201, "10"), "{lost}");
        assert!(is_replay(&call(&app, keyed("k").finish()).await));
        assert_eq!(balance(&store).await, 10);
    }
}

/// It is delivered once, as without a commit, and the effect stands.
#[tokio::test]
async fn a_committed_answer_that_is_too_large_to_be_kept_is_delivered_once() {
    #[handler]
    async fn print(
        Data(store): Data<&Store>,
        Data(execution): Data<&Execution>,
    ) -> poem::Result<Response> {
        let change = store.put_write(&account(store), &Balance(10)).unwrap();
        let response = Response::builder().body(vec![7; 2_000]);
        match execution.complete_with(response, vec![change]).await? {
            Responded::Response(response) => Ok(response),
            Responded::Refused { .. } => Err(StatusCode::CONFLICT.into()),
        }
    }
    let (_faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::TakeOver)).response_limit(1_000);
    let app = print.with(once).data(store.clone());
    let first = call(&app, keyed("k").finish()).await;
    assert!(first.into_body().into_vec().await.unwrap() == [7; 2_000], "it was not delivered");
    let retry = call(&app, keyed("k").finish()).await;
    assert_eq!((retry.status().as_u16(), is_replay(&retry)), (410, true));
    assert_eq!(balance(&store).await, 10);
}

/// Adds ten, and says how it went by the status: 409 for a balance of 30, which stays.
#[handler]
async fn pay_in_by_closure(
    Data(store): Data<&Store>,
    Data(execution): Data<&Execution>,
) -> poem::Result<Response> {
    let change = |balance: &mut Option<Balance>| {
        let Balance(euros) = balance.get_or_insert_default();
        if *euros == 30 {
            return StatusCode::CONFLICT.into_response();
        }
        *euros += 10;
        (StatusCode::CREATED, euros.to_string()).into_response()
    };
    Ok(execution.complete_with_update(store, &account(store), change).await?)
}

#[tokio::test]
async fn an_update_and_its_answer_take_one_trip_and_what_changes_nothing_keeps_no_answer() {
    let (faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::TakeOver));
    let app = pay_in_by_closure.with(once).data(store.clone());
    for (key, euros) in [("a", "10"), ("b", "20"), ("c", "30")] {
        let first = call(&app, keyed(key).finish()).await;
        assert_eq!((first.status().as_u16(), faulty.trips()), (201, 3));
        assert_eq!(text(first).await, euros);
    }
    let refused = call(&app, keyed("d").finish()).await;
    assert_eq!((refused.status().as_u16(), is_replay(&refused)), (409, false));
    let write = store.put_write(&account(&store), &Balance(40)).unwrap();
    assert!(store.write(&write).await.unwrap().is_applied());
    assert_eq!(text(call(&app, keyed("d").finish()).await).await, "50", "its key was free");
    assert!(is_replay(&call(&app, keyed("a").finish()).await));
}

/// Each lost race is planned again on what won, and those of one process take turns.
#[tokio::test]
async fn three_hundred_updates_at_once_all_count_with_their_answers() {
    let (_faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::TakeOver));
    let app = Arc::new(pay_in_by_closure.with(once).data(store.clone()));
    let write = store.put_write(&account(&store), &Balance(40)).unwrap();
    assert!(store.write(&write).await.unwrap().is_applied());
    let calls = (0..300).map(|n| {
        let app = app.clone();
        tokio::spawn(async move { call(&*app, keyed(&format!("k{n}")).finish()).await.status() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), StatusCode::CREATED);
    }
    assert_eq!(balance(&store).await, 40 + 300 * 10);
}
