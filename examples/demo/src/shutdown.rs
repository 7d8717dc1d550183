//! The end of the process, which comes whatever its clients do.

use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

/// How long requests may take to end.
pub(crate) const CLIENTS_MAX: Duration = Duration::from_secs(8);
/// How long handlers may take whose clients are gone.
pub(crate) const HANDLERS_MAX: Duration = Duration::from_secs(4);
/// After this the process ends, also if the store cannot be closed. Orchestrators often kill after
/// 15 seconds or more.
const ALL_MAX: Duration = Duration::from_secs(14);

/// From now on Ctrl-C, or the SIGTERM of an orchestrator, ends what this gives. A second one ends
/// the process at once.
pub(crate) fn signalled() -> Result<impl Future<Output = ()>, String> {
    let mut signals = Signals::listen().map_err(|error| format!("no signals: {error}"))?;
    let ending = Arc::new(Notify::new());
    let begun = Arc::clone(&ending);
    tokio::spawn(async move {
        signals.next().await;
        info!("shutting down");
        begun.notify_one();
        // A thread, because it must be there to the end.
        std::thread::spawn(|| {
            std::thread::sleep(ALL_MAX);
            exit(1);
        });
        signals.next().await;
        warn!("shutting down at once");
        exit(1);
    });
    Ok(async move { ending.notified().await })
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
