//! JSON that comes in.

use poem::http::{Method, StatusCode, header};
use poem::{EndpointExt as _, Request, Response, handler};
use serde::Deserialize;
use steadfast::http::{Idempotent, JsonBody};
use steadfast::idempotency::OnLapse;

use crate::{call, idempotency, is_replay, keyed, problem, store, text};

#[derive(Deserialize)]
struct Item {
    sku: String,
    qty: u8,
}

#[handler]
fn add(JsonBody(item): JsonBody<Item>) -> String {
    format!("{} {}", item.sku, item.qty)
}

const GOOD: &str = r#"{"sku":"tea","qty":2}"#;

async fn send(content_type: &[&str], body: &str) -> Response {
    let mut request = Request::builder().method(Method::POST);
    for value in content_type {
        request = request.header(header::CONTENT_TYPE, *value);
    }
    call(&add, request.body(body.to_owned())).await
}

/// A form of another site can send other types without asking.
#[tokio::test]
async fn a_body_has_the_content_type_of_json() {
    for good in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json ;charset=\"utf-8\"",
    ] {
        assert_eq!(text(send(&[good], GOOD).await).await, "tea 2", "{good}");
    }
    for bad in [
        &[][..],
        &[""],
        &["text/plain"],
        &["text/plain; charset=application/json"],
        &["application/x-www-form-urlencoded"],
        &["application/jsonp"],
        &["json"],
        &["+json"],
        &["application/merge-patch+json"],
        &["text/plain, application/json"],
        &["application/json", "text/plain"],
    ] {
        let refused = send(bad, GOOD).await;
        assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{bad:?}");
        assert_eq!(problem(refused).await["status"], 415);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_quoted() {
    for (body, detail) in [
        (r#"{"sku":"canary"}"#, "the member `qty` is missing"),
        (r#"{"sku":"canary","qty":"canary"}"#, "the member `qty`: expected u8"),
        (r#"{"sku":["canary"],"qty":1}"#, "the member `sku`: expected a string"),
        (r#"["canary"]"#, "the body is not a JSON object (line 1, column 0)"),
        (r#"{"canary"#, "the body is not a JSON object (line 1, column 8)"),
    ] {
        let refused = send(&["application/json"], body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{body}");
        let problem = problem(refused).await;
        assert_eq!(problem["detail"], detail);
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
}

/// RFC 8259, section 8.1.
#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let marked = format!("\u{feff}{GOOD}");
    assert_eq!(text(send(&["application/json"], &marked).await).await, "tea 2");

    // And a retry through another proxy is the same request.
    let (_faulty, store, _clock) = store();
    let app = add.with(Idempotent::new(idempotency(&store, OnLapse::Refuse)));
    for (body, replayed) in [(GOOD, false), (&*marked, true)] {
        let request = keyed("k").header(header::CONTENT_TYPE, "application/json");
        let response = call(&app, request.body(body.to_owned())).await;
        assert_eq!((response.status().as_u16(), is_replay(&response)), (200, replayed));
    }
}
