use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use steadfast_backend::{Error, ErrorKind, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::Client;
use crate::clock::ServerClock;
use crate::error;
use crate::keeper;

/// One server: the way to it while it is there, and the reason while it is out.
///
/// While it is out, every call for its keys fails at once. They go to no other server: one that
/// came back would hold older entries than that one.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) timeout: Duration,
    connections: usize,
    link: RwLock<Link>,
    /// Somebody got no answer: whether the server is there should be looked into.
    pub(crate) doubted: Notify,
    /// It was admitted once.
    was_up: AtomicBool,
}

enum Link {
    Up(Arc<Client>, ServerClock),
    Out(Arc<Error>),
}

impl Server {
    /// It is out until it is admitted.
    pub(crate) fn new(address: String, timeout: Duration, connections: usize) -> Self {
        let link = RwLock::new(Link::Out(Arc::new(keeper::not_reached())));
        let (doubted, was_up) = (Notify::new(), AtomicBool::new(false));
        Self { address, timeout, connections, link, doubted, was_up }
    }

    /// The connections, and what is known of the clock at some moment.
    ///
    /// # Errors
    ///
    /// While the server is out.
    pub(crate) fn link(&self) -> Result<(Arc<Client>, ServerClock)> {
        match &*self.link.read().unwrap_or_else(PoisonError::into_inner) {
            Link::Up(client, clock) => Ok((Arc::clone(client), *clock)),
            Link::Out(reason) => Err(self.is_out(reason)),
        }
    }

    /// One trip, if there is time for it.
    pub(crate) async fn trip<T>(
        &self,
        deadline: Instant,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if deadline <= Instant::now() {
            return Err(error::no_answer());
        }
        let answer = request.await;
        if answer.as_ref().is_err_and(Error::is_outage) {
            self.doubted.notify_one();
        }
        answer
    }

    /// It is there: calls go to it, over connections of their own.
    pub(crate) fn admit(&self, address: SocketAddr, clock: ServerClock) {
        let client = Client::new(address, self.timeout, self.connections);
        self.was_up.store(true, Ordering::Relaxed);
        self.set(Link::Up(Arc::new(client), clock));
    }

    /// Takes in what the server showed of its clock.
    pub(crate) fn tell(&self, shown: ServerClock) {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if let Link::Up(_, clock) = &mut *link {
            *clock = clock.and(shown);
        }
    }

    pub(crate) fn eject(&self, reason: Error) {
        self.set(Link::Out(Arc::new(reason)));
    }

    fn set(&self, link: Link) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn is_out(&self, reason: &Arc<Error>) -> Error {
        if !self.was_up.load(Ordering::Relaxed) {
            let detail = format!("never connected: the server {} is out: {reason}", self.address);
            return Error::new(reason.kind(), detail).caused_by(Arc::clone(reason));
        }
        let detail = format!(
            "the server {} is out: {reason}; it is used again as soon as it answers",
            self.address
        );
        Error::new(ErrorKind::Unavailable, detail).caused_by(Arc::clone(reason))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Server");
        out.field("address", &self.address);
        out.field("out", &self.link().err().map(|error| error.to_string())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn server() -> Server {
        Server::new("cache:11211".to_owned(), Duration::from_secs(1), 1)
    }

    #[tokio::test]
    async fn nothing_is_sent_after_the_deadline() {
        let sent = server().trip(Instant::now(), ready(Ok(()))).await;
        let error = sent.unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false));
    }

    #[tokio::test]
    async fn what_is_known_of_the_clock_gets_more_exact() {
        let (server, now) = (server(), std::time::Instant::now());
        server.admit(([127, 0, 0, 1], 1).into(), ServerClock::shown(10, now, now));
        server.tell(ServerClock::shown(11, now, now));
        let (_, clock) = server.link().unwrap();
        assert_eq!((clock.earliest_us(), clock.latest_us()), (11_000_000, 12_000_000));
    }

    #[tokio::test]
    async fn a_server_that_is_out_says_who_it_is_and_why() {
        let (server, now) = (server(), std::time::Instant::now());
        server.eject(Error::new(ErrorKind::Timeout, "it is silent"));
        let error = server.link().map(drop).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false));
        assert!(error.to_string().contains("never connected: the server cache:11211"), "{error}");
        server.admit(([127, 0, 0, 1], 1).into(), ServerClock::shown(10, now, now));
        server.eject(Error::new(ErrorKind::Timeout, "it is silent"));
        let error = server.link().map(drop).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, false));
        assert!(error.to_string().contains("cache:11211 is out: it is silent"), "{error}");
    }
}
