//! A small shop that keeps nothing in its process: as many of it may run as can share its store.

mod accept;
mod app;
mod config;
mod routes;
mod secret;
mod shop;
mod shutdown;
mod start;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::middleware::SetHeader;
use poem::{EndpointExt, Server};
use steadfast::{Cleanup, Store};
use tracing::warn;

use crate::accept::PausingAcceptor;
use crate::config::Config;
use crate::start::Gate;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        None => {}
        Some(help) if help == "--help" || help == "-h" => {
            print!("{}", include_str!("usage.txt"));
            return ExitCode::SUCCESS;
        }
        Some(unknown) => {
            let unknown = unknown.to_string_lossy();
            eprintln!(
                "{unknown:?} is not an argument of the demo; allowed is --help, which lists the \
                 variables that it is set up with"
            );
            return ExitCode::FAILURE;
        }
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads can be started: {error}")),
    };
    let ended = runtime.block_on(run());
    // What still runs on a thread of its own, such as opening a file, is not waited for.
    runtime.shutdown_background();
    ended.map_or_else(|problem| fail(&problem), |()| ExitCode::SUCCESS)
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

async fn run() -> Result<(), String> {
    let _log = telemetry::log_to_stderr(config::log_filter()?);
    let config = Config::from_env()?;
    let shutdown = shutdown::signalled()?;
    let address = format!("{}:{}", config.host, config.port);
    let acceptor = TcpListener::bind(&address).into_acceptor().await;
    let acceptor = acceptor.map_err(|error| {
        format!("HOST, PORT: cannot listen on {address}: {error}; choose another, or port 0")
    })?;
    let bound = acceptor.local_addr().iter().find_map(|bound| bound.as_socket_addr().copied());
    let bound = bound.map_or(address, |bound| bound.to_string());
    // Before the store, which holds on to it.
    let recorder = config.metrics.then(telemetry::install_metrics).transpose()?;
    let (gate, replica) = (Gate::default(), config.replica.as_deref().unwrap_or(&bound));
    let name = SetHeader::new().overriding("X-Replica", replica);
    let server = Server::new_with_acceptor(PausingAcceptor::new(acceptor)).idle_timeout(IDLE_MAX);
    let serve = server.run_with_graceful_shutdown(
        gate.clone().with(telemetry::Access).with(name),
        shutdown,
        Some(shutdown::CLIENTS_MAX),
    );
    let mut serving = tokio::spawn(serve);
    let opening = open_shop(&config, recorder, &gate);
    let (store, idempotency, _cleanup) = tokio::select! {
        open = start::announced(opening, || println!("listening on http://{bound}")) => open?,
        _ended = &mut serving => return Ok(()),
    };
    let ended = serving.await.map_err(|error| error.to_string())?;
    ended.map_err(|error| format!("the server stopped: {error}"))?;
    // Handlers outlive their connections.
    if !idempotency.shutdown(shutdown::HANDLERS_MAX).await {
        warn!("some handlers were cut off");
    }
    store.close().await.map_err(|error| error.to_string())
}

async fn open_shop(
    config: &Config,
    recorder: Option<PrometheusHandle>,
    gate: &Gate,
) -> Result<(Store, app::Once, Cleanup), String> {
    let store = start::open_store(config).await?;
    let jwt_secret = match &config.jwt_secret {
        Some(secret) => secret.clone(),
        None => secret::kept_or_random(&config.state_url)?,
    };
    let idempotency = app::idempotency(&store, config);
    let idempotency = idempotency.map_err(|error| format!("{}: {error}", config.state_var))?;
    let sessions = app::sessions(&store, config).map_err(|error| error.to_string())?;
    let cleanup = Cleanup::builder(&store).sessions(&sessions).start();
    let cleanup = cleanup.map_err(|error| error.to_string())?;
    gate.open(app::build(&store, &sessions, &idempotency, config, &jwt_secret, recorder)?);
    Ok((store, idempotency, cleanup))
}

/// How long a connection may be silent.
const IDLE_MAX: Duration = Duration::from_secs(75);
