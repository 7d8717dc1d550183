//! One connection that many calls share, and what is under way on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redis::aio::MultiplexedConnection;
use steadfast_backend::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Address;
use crate::error::Fault;

/// What a request needs of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// To be quick.
    Small,
    /// To keep nobody waiting behind its bytes.
    Bulk,
    /// To wait for replicas or disks without anybody waiting behind it that does not.
    Acknowledged,
}

/// A place for a connection, which is replaced when it breaks.
pub(crate) struct Lane {
    pub(crate) traffic: Traffic,
    link: RwLock<Option<Link>>,
    load: Arc<Load>,
    /// Whose answer waits for others goes alone: what stands behind it would wait, too, and be done
    /// long after its caller has given up.
    turn: Option<Arc<Semaphore>>,
}

#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) address: Arc<Address>,
    /// Tells this connection from those before and after it.
    pub(crate) number: usize,
}

#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Lane {
    pub(crate) fn new(traffic: Traffic) -> Self {
        let turn = (traffic == Traffic::Acknowledged).then(|| Arc::new(Semaphore::new(1)));
        Self { traffic, link: RwLock::default(), load: Arc::default(), turn }
    }

    pub(crate) fn link(&self) -> Option<Link> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn install(&self, link: Link) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link);
    }

    /// Gives up this connection, unless it has been replaced already.
    pub(crate) fn drop_link(&self, number: usize) {
        self.drop_if(|link| link.number == number);
    }

    pub(crate) fn drop_if(&self, lost: impl Fn(&Link) -> bool) {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if link.as_ref().is_some_and(lost) {
            *link = None;
        }
    }

    pub(crate) fn bytes_under_way(&self) -> usize {
        self.load.bytes.load(Ordering::Relaxed)
    }

    /// Takes a place on the connection.
    pub(crate) async fn sit(
        &self,
        link: Link,
        bytes: usize,
        len_max: usize,
    ) -> Result<Seat, Fault> {
        if self.load.requests.fetch_add(1, Ordering::Relaxed) >= len_max {
            self.load.requests.fetch_sub(1, Ordering::Relaxed);
            let detail = format!(
                "{len_max} requests are under way on the connection; try again later, or spread \
                 them over more lanes"
            );
            return Err(Fault::new(ErrorKind::Busy, detail).untouched());
        }
        self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut seat = Seat { link, bytes, load: Arc::clone(&self.load), turn: None };
        if let Some(turn) = &self.turn {
            // It is never closed.
            seat.turn = Arc::clone(turn).acquire_owned().await.ok();
        }
        Ok(seat)
    }
}

/// A place on a connection, until it is dropped.
pub(crate) struct Seat {
    pub(crate) link: Link,
    bytes: usize,
    load: Arc<Load>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.turn.take());
        self.load.requests.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How far a call has come, and how much time it has.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) deadline: Instant,
    may_be_done: AtomicBool,
}

impl Progress {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, may_be_done: AtomicBool::new(false) }
    }

    pub(crate) fn sending(&self) {
        self.may_be_done.store(true, Ordering::Relaxed);
    }

    /// The server said that it did nothing.
    pub(crate) fn undone(&self) {
        self.may_be_done.store(false, Ordering::Relaxed);
    }

    /// If it is cut off now, may the server have done what it asks?
    pub(crate) fn may_be_done(&self) -> bool {
        self.may_be_done.load(Ordering::Relaxed)
    }
}
