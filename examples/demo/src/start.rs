//! The start: the port answers before the store does.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::http::StatusCode;
use poem::{Endpoint, EndpointExt as _, IntoResponse as _, Request, Response};
use steadfast::backend::Start;
use steadfast::http::Problem;
use steadfast::store::NearConfig;
use steadfast::{Connector, Store};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::app;
use crate::config::Config;

/// How long the store is waited for before the port is announced.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);
/// Between two questions whether the store answers.
const PAUSE: Duration = Duration::from_millis(250);

/// Answers in the place of the shop until that is open: `/livez`, and 503 for all else.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<OnceLock<BoxEndpoint<'static, Response>>>);

impl Gate {
    pub(crate) fn open(&self, shop: impl Endpoint<Output = Response> + 'static) {
        self.0.get_or_init(|| shop.boxed());
    }
}

impl Endpoint for Gate {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match self.0.get() {
            Some(shop) => shop.call(request).await,
            None if request.uri().path() == "/livez" => Ok("ok".into_response()),
            None => {
                let detail = "the service starts: its store has not answered yet; try again";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                Ok(problem.retry_after(Duration::from_secs(1)).into_response())
            }
        }
    }
}

/// What `opening` gives. `announce` is called when it is there, or after a second without it.
pub(crate) async fn announced<T>(
    opening: impl Future<Output = Result<T, String>>,
    announce: impl Fn(),
) -> Result<T, String> {
    let second = sleep(ANNOUNCED_WITHIN);
    tokio::pin!(opening);
    tokio::select! {
        biased;
        opened = &mut opening => {
            let opened = opened?;
            announce();
            return Ok(opened);
        }
        () = second => {}
    }
    warn!("the store has not answered yet: until it does, requests are answered with 503");
    announce();
    opening.await
}

/// Ends when the store is open and has answered.
///
/// # Errors
///
/// The line for whoever started the demo, if the store answers and is wrong.
pub(crate) async fn open_store(config: &Config) -> Result<Store, String> {
    info!("opening the store");
    let opened = async {
        let store = connect(config).await?;
        answered(&store).await.map(|()| store)
    };
    opened.await.map_err(|error: steadfast::Error| format!("{}: {error}", config.state_var))
}

/// Opening a file blocks, so it has a thread of its own.
async fn connect(config: &Config) -> steadfast::Result<Store> {
    let (url, handle) = (config.state_url.clone(), Handle::current());
    let connect =
        move || handle.block_on(Connector::new().start(Start::Disconnected).connect(&url));
    let connected = match tokio::task::spawn_blocking(connect).await {
        Ok(connected) => connected?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let near = NearConfig::default().keep(app::STALE_MAX).refresh_changed(true);
    let store = Store::builder(connected).namespace("shop").near(near);
    // A crowd that adds to one cart takes turns. A server that hangs is asked twice and no more.
    store.deadline(Duration::from_secs(20)).attempts(2).build()
}

/// Asks until the store answers; each new reason why it does not is logged.
async fn answered(store: &Store) -> steadfast::Result<()> {
    let mut said = String::new();
    loop {
        match store.check().await {
            Ok(_health) => return Ok(()),
            Err(error) if !error.is_outage() => return Err(error),
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    warn!(%error, "the store does not answer; asking again");
                    said = text;
                }
            }
        }
        sleep(PAUSE).await;
    }
}
