//! The handlers.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::{Data, Html, Query};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response, Result, handler};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;
use steadfast::http::{
    EntityTag, Execution, HealthReport, JsonBody, Outcome, Problem, SessionCookie, mark_stale,
};
use steadfast::session::Session;
use steadfast::token::Claims;
use steadfast::{Principal, Sessions, Store, Tokens};

use crate::app::Visit;
use crate::shop::{Account, Effect, Item, Shop};

/// The demo speaks plain HTTP on localhost.
pub(crate) const COOKIE: SessionCookie = SessionCookie::insecure_dev();

#[handler]
pub(crate) fn show_page() -> impl IntoResponse {
    Html(include_str!("page.html"))
        .with_header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
        )
        .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

#[handler]
pub(crate) fn livez() -> &'static str {
    "ok"
}

#[handler]
pub(crate) async fn show_health(Data(store): Data<&Store>) -> HealthReport {
    steadfast::http::health(store).await
}

#[handler]
pub(crate) fn show_metrics(Data(recorder): Data<&PrometheusHandle>) -> impl IntoResponse {
    recorder.render().with_content_type("text/plain; version=0.0.4; charset=utf-8")
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[handler]
pub(crate) async fn log_in(
    JsonBody(login): JsonBody<Login>,
    headers: &HeaderMap,
    Data(sessions): Data<&Sessions<Visit>>,
    Data(tokens): Data<&Tokens>,
) -> Result<Response> {
    check_name("user", &login.user, "_.@-")?;
    let principal = Principal::new(&login.user);
    let principal = principal.map_err(|error| bad_request(&error.to_string()))?;
    let device = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let session = sessions.sign_in(&principal, device.unwrap_or("unknown"), Visit).await;
    let session = session.map_err(Problem::from)?;
    let claims = Claims::new(login.user).session(session.id.expose());
    // The session's own end is kept by the store's clock. The token only must not end before it,
    // on any replica's clock.
    let life = session.absolute_left + CLOCKS_APART_MAX;
    let token = tokens.issue(&claims, life).map_err(Problem::from)?;
    let cookie = COOKIE.hand_over(&session).map_err(Problem::from)?;
    Ok(answer(StatusCode::OK, &json!({ "token": token }))
        .with_header(header::SET_COOKIE, cookie)
        .into_response())
}

pub(crate) const CLOCKS_APART_MAX: Duration = Duration::from_secs(20 * 60);

#[handler]
pub(crate) fn show_session(Data(session): Data<&Arc<Session<Visit>>>) -> Response {
    let body = json!({
        "user": session.principal,
        "version": session.version.get(),
        "idle_seconds": whole_seconds(session.idle_left),
        "absolute_seconds": whole_seconds(session.absolute_left),
        "freshness": if session.freshness.is_stale() { "stale" } else { "fresh" },
    });
    answer(StatusCode::OK, &body)
}

#[handler]
pub(crate) async fn list_devices(
    Data(session): Data<&Arc<Session<Visit>>>,
    Data(principal): Data<&Principal>,
    Data(sessions): Data<&Sessions<Visit>>,
) -> Result<Response> {
    let devices = sessions.devices(principal, Some(&session.id)).await.map_err(Problem::from)?;
    let list = devices.iter().map(|device| {
        json!({
            "id": device.short_id,
            "label": device.label,
            "age_seconds": device.age.as_millis() / 1_000,
            "idle_seconds": whole_seconds(device.idle_left),
            "current": device.current,
        })
    });
    Ok(answer(StatusCode::OK, &json!({ "sessions": list.collect::<Vec<_>>() })))
}

#[handler]
pub(crate) async fn show_cart(
    headers: &HeaderMap,
    Data(principal): Data<&Principal>,
    Data(shop): Data<&Shop>,
) -> Result<Response> {
    let (account, age) = shop.account(principal).await.map_err(Problem::from)?;
    let cart = cart_answer(StatusCode::OK, &account);
    Ok(mark_stale(EntityTag::of_version(account.version).answer(headers, cart), age))
}

#[derive(Deserialize)]
struct NewItem {
    sku: String,
    qty: u64,
}

const QTY_MAX: u64 = 99;

#[handler]
pub(crate) async fn add_item(
    JsonBody(new): JsonBody<NewItem>,
    Data(execution): Data<&Execution>,
    Data(principal): Data<&Principal>,
    Data(shop): Data<&Shop>,
) -> Result<Response> {
    check_name("sku", &new.sku, "_.-")?;
    if !(1..=QTY_MAX).contains(&new.qty) {
        return Err(bad_request(&format!("qty is {}; allowed is 1 to {QTY_MAX}", new.qty)));
    }
    let item = Item { sku: new.sku, qty: new.qty };
    let add = |account: &mut Account, effect: &Effect<'_>| {
        account.add(&item, effect);
        cart_answer(StatusCode::CREATED, account)
    };
    Ok(shop.change(principal, execution, false, add).await?)
}

#[derive(Deserialize)]
struct Pace {
    delay_ms: Option<String>,
}

const DELAY_MS_MAX: u64 = 10_000;

#[handler]
pub(crate) async fn check_out(
    Query(Pace { delay_ms }): Query<Pace>,
    request: &Request,
    headers: &HeaderMap,
    body: Vec<u8>,
    Data(execution): Data<&Execution>,
    Data(principal): Data<&Principal>,
    Data(shop): Data<&Shop>,
) -> Result<Response> {
    let delay_ms = delay_ms.map_or(Ok(0), |delay_ms| delay_ms.parse::<u64>());
    let Some(delay_ms) = delay_ms.ok().filter(|delay_ms| *delay_ms <= DELAY_MS_MAX) else {
        return Err(bad_request(&format!("delay_ms is a whole number from 0 to {DELAY_MS_MAX}")));
    };
    check_unused(request, body).await?;
    let check_out = |account: &mut Account, effect: &Effect<'_>| {
        if let Some(order) = account.order(effect.id) {
            return answer(StatusCode::CREATED, order);
        }
        if !EntityTag::of_version(account.version).meets_if_match(headers) {
            return cart_changed();
        }
        answer(StatusCode::CREATED, &account.check_out(effect))
    };
    // Slowly: the answer is kept after the effect, to show what can happen in between.
    let response = shop.change(principal, execution, delay_ms > 0, check_out).await?;
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    Ok(response)
}

/// Nothing was done, so the key stays free.
fn cart_changed() -> Response {
    let detail = "the cart is not the one that If-Match names; look at it and decide again";
    let mut response = Problem::new(StatusCode::PRECONDITION_FAILED, detail).into_response();
    response.set_data(Outcome::NotExecuted);
    response
}

#[handler]
pub(crate) async fn list_orders(
    Data(principal): Data<&Principal>,
    Data(shop): Data<&Shop>,
) -> Result<Response> {
    let (account, age) = shop.account(principal).await.map_err(Problem::from)?;
    let orders = account
        .orders
        .iter()
        .map(|order| json!({ "order_id": order.id, "total_qty": order.total_qty }));
    let body = json!({ "orders": orders.collect::<Vec<_>>() });
    Ok(mark_stale(answer(StatusCode::OK, &body), age))
}

#[handler]
pub(crate) async fn log_out(
    request: &Request,
    body: Vec<u8>,
    Data(session): Data<&Arc<Session<Visit>>>,
    Data(sessions): Data<&Sessions<Visit>>,
) -> Result<impl IntoResponse> {
    check_unused(request, body).await?;
    sessions.destroy(&session.id).await.map_err(Problem::from)?;
    Ok(StatusCode::NO_CONTENT.with_header(header::SET_COOKIE, COOKIE.removal()))
}

#[handler]
pub(crate) async fn log_out_everywhere(
    request: &Request,
    body: Vec<u8>,
    Data(principal): Data<&Principal>,
    Data(sessions): Data<&Sessions<Visit>>,
) -> Result<impl IntoResponse> {
    check_unused(request, body).await?;
    sessions.destroy_all(principal).await.map_err(Problem::from)?;
    Ok(StatusCode::NO_CONTENT.with_header(header::SET_COOKIE, COOKIE.removal()))
}

fn cart_answer(status: StatusCode, account: &Account) -> Response {
    let tag = EntityTag::of_version(account.version).to_string();
    let body = json!({ "items": account.cart, "version": account.version });
    answer(status, &body).with_header(header::ETAG, tag).into_response()
}

/// Answers about one user are nobody else's.
fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => Response::builder()
            .status(status)
            .content_type("application/json")
            .header(header::CACHE_CONTROL, "private, no-cache")
            .body(body),
        Err(_cause) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A body that is not needed is JSON all the same.
async fn check_unused(request: &Request, body: Vec<u8>) -> Result<()> {
    if !body.is_empty() {
        let mut body = RequestBody::new(body.into());
        let _unused = JsonBody::<IgnoredAny>::from_request(request, &mut body).await?;
    }
    Ok(())
}

fn check_name(what: &str, name: &str, punctuation: &str) -> Result<()> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || punctuation.contains(char);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    let detail = format!("{what} has 1 to 64 characters: letters, digits and {punctuation}");
    Err(bad_request(&detail))
}

fn bad_request(detail: &str) -> poem::Error {
    Problem::new(StatusCode::BAD_REQUEST, detail).into()
}

/// Rounded up: a session that lives is never shown with 0 seconds.
fn whole_seconds(span: Duration) -> u128 {
    span.as_nanos().div_ceil(1_000_000_000)
}
