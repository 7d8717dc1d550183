//! Which middlewares stand before which route.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get, post};
use serde::{Deserialize, Serialize};
use steadfast::http::{
    BearerAuth, BodyLimit, Idempotent, LiveSession, Problem, SameOrigin, StoredResponse,
};
use steadfast::idempotency::OnLapse;
use steadfast::store::Reads;
use steadfast::token::Key;
use steadfast::{Idempotency, Sessions, State, Store, Tokens};

use crate::config::Config;
use crate::routes;
use crate::shop::Shop;

/// What the demo keeps in a session besides its owner: nothing. Cart and orders belong to the
/// customer, whatever device they are seen from.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Visit;

impl State for Visit {
    const SCHEMA: u16 = 1;
}

/// How old what is shown may be while the store is out.
pub(crate) const STALE_MAX: Duration = Duration::from_secs(300);

/// What is shown is what the store has now, as long as it answers.
pub(crate) fn reads() -> Reads {
    Reads::latest().serve_stale(STALE_MAX)
}

const BODY_LEN_MAX: usize = 64 * 1024;

/// What runs once a key. A change of an account commits with its answer where the store can do
/// that; elsewhere an order is known by its id, and what is added to a cart by its execution: all
/// may run again.
pub(crate) fn idempotency(store: &Store, config: &Config) -> steadfast::Result<Once> {
    Idempotency::builder(store)
        .lease(config.idempotency_lease)
        .retention(config.idempotency_retention)
        .on_lapse(OnLapse::TakeOver)
        .build()
}

pub(crate) type Once = Idempotency<StoredResponse>;

pub(crate) fn sessions(store: &Store, config: &Config) -> steadfast::Result<Sessions<Visit>> {
    Sessions::builder(store)
        .idle(config.session_idle)
        .absolute(config.session_absolute)
        .reads(reads())
        .build()
}

/// The whole service as one endpoint.
pub(crate) fn build(
    store: &Store,
    sessions: &Sessions<Visit>,
    idempotency: &Once,
    config: &Config,
    jwt_secret: &[u8],
    recorder: Option<PrometheusHandle>,
) -> Result<impl Endpoint<Output = Response> + use<>, String> {
    let parts = Parts::new(sessions, idempotency, config, jwt_secret);
    let parts = parts.map_err(|error| error.to_string())?;
    let route = Route::new()
        .at("/", get(routes::show_page))
        .at("/livez", get(routes::livez))
        .at("/health", get(routes::show_health))
        .at("/login", post(routes::log_in))
        .at("/session", get(parts.live(routes::show_session)))
        .at("/sessions", get(parts.live(routes::list_devices)))
        .at("/cart", get(parts.live(routes::show_cart)))
        .at("/cart/items", post(parts.once(routes::add_item)))
        .at("/checkout", post(parts.once(routes::check_out)))
        .at("/orders", get(parts.live(routes::list_orders)))
        .at("/logout", post(parts.once_even_after(routes::log_out)))
        .at("/logout/everywhere", post(parts.once_even_after(routes::log_out_everywhere)));
    let route = match recorder {
        Some(recorder) => route.at("/metrics", get(routes::show_metrics).data(recorder)),
        None => route,
    };
    Ok(route
        .data(store.clone())
        .data(Shop::new(store.clone()))
        .data(parts.sessions)
        .data(parts.tokens)
        .with(BodyLimit(BODY_LEN_MAX))
        .catch_all_error(async |error| Problem::from_poem(error)))
}

struct Parts {
    tokens: Tokens,
    auth: BearerAuth,
    sessions: Sessions<Visit>,
    idempotent: Idempotent,
}

impl Parts {
    fn new(
        sessions: &Sessions<Visit>,
        idempotency: &Once,
        config: &Config,
        jwt_secret: &[u8],
    ) -> steadfast::Result<Self> {
        // No other service has the demo's tokens, so there is nobody to tell it from.
        let tokens = Tokens::builder(&config.token_issuer, Key::hs256(jwt_secret)?)
            .any_audience()
            .life_max(config.session_absolute + routes::CLOCKS_APART_MAX)
            .build()?;
        // The page and scripts bring the token; a browser's session cookie does as well.
        let auth = BearerAuth::new(tokens.clone()).or_cookie(routes::COOKIE, SameOrigin::new());
        let (sessions, idempotent) = (sessions.clone(), Idempotent::new(idempotency.clone()));
        Ok(Self { tokens, auth, sessions, idempotent })
    }

    /// For whoever has a live session.
    fn live<E: IntoEndpoint>(&self, endpoint: E) -> impl Endpoint + use<E> {
        endpoint.into_endpoint().with(LiveSession(self.sessions.clone())).with(self.auth.clone())
    }

    /// For whoever has a live session, once a key.
    fn once<E: IntoEndpoint<Endpoint: 'static>>(&self, endpoint: E) -> impl Endpoint + use<E> {
        endpoint
            .into_endpoint()
            .with(self.idempotent.clone())
            .with(LiveSession(self.sessions.clone()))
            .with(self.auth.clone())
    }

    /// Once a key, and the retry gets its answer although the session is gone by then: for what
    /// ends the session. That may run twice, so it is tried even if the key cannot be claimed.
    fn once_even_after<E: IntoEndpoint<Endpoint: 'static>>(
        &self,
        endpoint: E,
    ) -> impl Endpoint + use<E> {
        endpoint
            .into_endpoint()
            .with(LiveSession(self.sessions.clone()))
            .with(self.idempotent.clone().per_session().fail_open().even_when_full())
            .with(self.auth.clone())
    }
}
