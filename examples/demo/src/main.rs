//! A small shop that keeps nothing in its process: as many of it may run as can share its store.

mod app;
mod config;
mod routes;
mod secret;
mod shop;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use poem::Server;
use poem::listener::{Acceptor, Listener, TcpListener};
use steadfast::store::NearConfig;
use steadfast::{Cleanup, Store};
use tracing::{info, warn};

use crate::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let _log = telemetry::log_to_stderr();
    let config = Config::from_env()?;
    let address = format!("{}:{}", config.host, config.port);
    let acceptor = TcpListener::bind(&address).into_acceptor().await;
    let acceptor = acceptor.map_err(|error| {
        format!("HOST, PORT: cannot listen on {address}: {error}; choose another, or port 0")
    })?;
    let backend = steadfast::connect(&config.state_url).await;
    let backend = backend.map_err(|error| format!("{}: {error}", config.state_var))?;
    // Before the store, which holds on to it.
    let recorder = config.metrics.then(telemetry::install_metrics).transpose()?;
    let near = NearConfig::default().keep(app::STALE_MAX).refresh_changed(true);
    // A crowd that adds to one cart takes turns.
    let store = Store::builder(backend).namespace("shop").deadline(Duration::from_secs(20));
    let store = store.near(near).build().map_err(|error| error.to_string())?;
    let jwt_secret = match &config.jwt_secret {
        Some(secret) => secret.clone(),
        None => secret::kept_or_random(&config.state_url)?,
    };
    let idempotency = app::idempotency(&store, &config);
    let idempotency = idempotency.map_err(|error| format!("{}: {error}", config.state_var))?;
    let sessions = app::sessions(&store, &config).map_err(|error| error.to_string())?;
    let cleanup = Cleanup::builder(&store).sessions(&sessions).start();
    let _cleanup = cleanup.map_err(|error| error.to_string())?;
    let app = app::build(&store, &sessions, &idempotency, &config, &jwt_secret, recorder)?;

    for bound in acceptor.local_addr() {
        if let Some(bound) = bound.as_socket_addr() {
            println!("listening on http://{bound}");
        }
    }
    let serve = Server::new_with_acceptor(acceptor);
    let serve = serve.run_with_graceful_shutdown(app, shutdown(), Some(Duration::from_secs(10)));
    serve.await.map_err(|error| format!("the server stopped: {error}"))?;
    // Handlers outlive their connections.
    if !idempotency.shutdown(Duration::from_secs(5)).await {
        warn!("some handlers were cut off");
    }
    store.close().await.map_err(|error| error.to_string())
}

/// Ctrl-C, or the SIGTERM of an orchestrator.
async fn shutdown() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            info!("shutting down");
            return;
        }
    }
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
    info!("shutting down");
}
