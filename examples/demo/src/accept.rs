//! Accepting connections where the process runs out of file descriptors.

use std::io::{ErrorKind, Result};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::time::{Instant, sleep};
use tracing::warn;

/// How long nothing is accepted after a failure. poem would try again at once, and keep a core busy
/// until a connection ends.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the log says so.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Waits after a connection that could not be accepted.
pub(crate) struct PausingAcceptor<A> {
    inner: A,
    said: Option<Instant>,
}

impl<A> PausingAcceptor<A> {
    pub(crate) fn new(inner: A) -> Self {
        Self { inner, said: None }
    }
}

impl<A: Acceptor> Acceptor for PausingAcceptor<A> {
    type Io = A::Io;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.inner.accept().await;
        if let Err(error) = &accepted
            && !concerns_one_connection(error.kind())
        {
            if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                warn!(%error, "no connection can be accepted; trying again until one ends");
                self.said = Some(Instant::now());
            }
            sleep(PAUSE).await;
        }
        accepted
    }
}

/// Its client went away before it was accepted; the next one is not affected.
fn concerns_one_connection(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&kind)
}
