use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::Instant;

use crate::backend::{Error, ErrorKind, Result};
use crate::breaker::{Breaker, BreakerConfig, BreakerState, Open, Permit};
use crate::observe::{breaker_begins, breaker_changed};

use super::budget::Budget;
use super::hedge::Hedge;
use super::limit::{Limit, Slot};

/// What is kept of one of the store's servers.
#[derive(Debug)]
pub(super) struct Endpoint {
    backend: &'static str,
    number: usize,
    pub(super) breaker: Breaker,
    pub(super) hedge: Hedge,
    budget: Budget,
    limit: Limit,
    used: AtomicBool,
    /// Since when somebody waits for an answer and there was none; 0 if nobody does.
    silent_since_ns: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(
        backend: &'static str,
        number: usize,
        breaker: BreakerConfig,
    ) -> Result<Self> {
        Ok(Self {
            backend,
            number,
            breaker: Breaker::new(told_of(breaker, backend, number))?,
            hedge: Hedge::new(),
            budget: Budget::new(),
            limit: Limit::default(),
            used: AtomicBool::new(false),
            silent_since_ns: AtomicU64::new(0),
        })
    }

    #[inline]
    pub(super) fn enter(&self, max: usize) -> Result<Slot<'_>> {
        if !self.was_used() {
            self.tell_first_use();
        }
        self.limit.enter(max)
    }

    #[cold]
    fn tell_first_use(&self) {
        if !self.used.swap(true, Ordering::Relaxed) {
            breaker_begins(self.backend, self.number, self.breaker.state());
        }
    }

    #[inline]
    pub(super) fn admit(&self, now: Instant) -> Result<Permit<'_>> {
        self.breaker.admit_at(now).map_err(circuit_open)
    }

    #[inline]
    pub(super) fn answered(&self) {
        self.budget.earn();
        if self.silent_since_ns.load(Ordering::Relaxed) != 0 {
            self.silent_since_ns.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer, so nobody needs to wait to find that out.
    pub(super) fn failed(&self) {
        self.silent_since_ns.store(1, Ordering::Relaxed);
    }

    /// Somebody waits from now on: since when they, or others before them, have had no answer.
    pub(super) fn silent_since_ns(&self, now_ns: u64) -> u64 {
        match self.silent_since_ns.load(Ordering::Relaxed) {
            0 => {
                self.silent_since_ns.store(now_ns, Ordering::Relaxed);
                now_ns
            }
            since => since,
        }
    }

    /// Pays for a repeat of what failed like this, if there is enough.
    pub(super) fn pays_for(&self, error: &Error) -> bool {
        let busy = error.kind() == ErrorKind::Busy;
        self.budget.spend(if busy { Budget::BUSY } else { Budget::OUTAGE })
    }

    #[inline]
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// A breaker that tells an operator when it changes, besides whoever else is told.
fn told_of(breaker: BreakerConfig, backend: &'static str, endpoint: usize) -> BreakerConfig {
    breaker.also_on_change(move |change| {
        let to = change.to.name();
        // While a server is out, its breaker opens again after each trial in vain.
        if change.from == BreakerState::Closed || change.to == BreakerState::Closed {
            tracing::warn!(backend, endpoint, to, "the breaker of a server changed");
        } else {
            tracing::debug!(backend, endpoint, to, "the breaker of a server changed");
        }
        breaker_changed(backend, endpoint, change.to);
    })
}

/// Tells the breaker what became of an attempt.
#[inline]
pub(super) fn record<T>(permit: Permit<'_>, answer: &Result<T>, now: Instant) {
    let Err(error) = answer else { return permit.success_at(now) };
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => permit.failure_at(now),
        // It did answer.
        ErrorKind::Contended
        | ErrorKind::Corrupt
        | ErrorKind::Full
        | ErrorKind::Rejected
        | ErrorKind::Unconfirmed => permit.success_at(now),
        // This may come from this side of the link.
        _ => permit.neutral(),
    }
}

#[cold]
fn circuit_open(open: Open) -> Error {
    let detail = format!(
        "most calls to the store failed, so it is spared for now; it is tried again in {:?}",
        open.retry_after
    );
    Error::new(ErrorKind::Unavailable, detail).after(open.retry_after).caused_by(open)
}
