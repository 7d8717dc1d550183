//! A poem service whose sessions travel in a cookie, and whose orders are made once.
//!
//! `cargo run --example cookies --features poem`, then
//!
//! ```text
//! B=http://127.0.0.1:8080
//! curl -c jar -X POST $B/login/alice
//! curl -b jar -X POST $B/orders -H 'Idempotency-Key: one'   # twice: one order
//! curl -b jar $B/orders
//! ```

use std::sync::Arc;

use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::web::{Data, Path};
use poem::{EndpointExt, Result, Route, Server, get, handler, post};
use serde::{Deserialize, Serialize};
use steadfast::http::{
    CookieSession, Idempotent, LiveSession, Problem, SameOrigin, SessionCookie, StoredResponse,
    health,
};
use steadfast::session::{Session, SessionHandle};
use steadfast::{Idempotency, Principal, Sessions, State, Store};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Visit {
    orders: u32,
}

impl State for Visit {
    const SCHEMA: u16 = 1;
}

#[handler]
async fn log_in(
    Path(user): Path<String>,
    Data(session): Data<&SessionHandle<Visit>>,
) -> Result<String> {
    // Check the password here.
    let principal = Principal::new(&user)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    session.sign_in(&principal, "a browser", Visit::default()).await.map_err(Problem::from)?;
    Ok(format!("welcome, {}\n", principal.name()))
}

#[handler]
async fn order(Data(session): Data<&SessionHandle<Visit>>) -> Result<String> {
    // At once: what waits for the end of the request is made after the answer is kept.
    let changed = session.update(|visit| {
        visit.orders += 1;
        visit.orders
    });
    Ok(format!("order {}\n", changed.await.map_err(Problem::from)?))
}

#[handler]
fn show(Data(session): Data<&Arc<Session<Visit>>>) -> String {
    format!("{} orders\n", session.state.orders)
}

#[handler]
async fn show_health(Data(store): Data<&Store>) -> steadfast::http::HealthReport {
    health(store).await
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    let sessions: Sessions<Visit> = Sessions::builder(&store).build()?;
    let once: Idempotency<StoredResponse> = Idempotency::builder(&store).build()?;

    // In poem the last `with` sees a request first: where it comes from, since browsers send
    // cookies unasked; then the cookie, the session and the key.
    let live = LiveSession(sessions.clone());
    let order_once = order.with(Idempotent::new(once)).with(live.clone());
    let cookie = CookieSession::new(sessions, SessionCookie::insecure_dev());
    let app = Route::new()
        .at("/login/:user", post(log_in))
        .at("/orders", get(show.with(live)).post(order_once))
        .with(cookie)
        .with(SameOrigin::new());
    let app = Route::new().nest("/", app).at("/health", get(show_health)).data(store);
    Server::new(TcpListener::bind("127.0.0.1:8080")).run(app).await?;
    Ok(())
}
