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

    /// Tells the breaker, and those who wait, what became of an attempt.
    #[inline]
    pub(super) fn record<T>(&self, permit: Permit<'_>, answer: &Result<T>, now: Instant) {
        match answered(answer) {
            Some(true) => {
                permit.success_at(now);
                self.heard();
            }
            Some(false) => {
                permit.failure_at(now);
                // Nobody needs to wait to find that out.
                self.silent_since_ns.store(1, Ordering::Relaxed);
            }
            None => permit.neutral(),
        }
    }

    /// It answered: whoever waits does so from now on.
    #[inline]
    pub(super) fn heard(&self) {
        if self.silent_since_ns.load(Ordering::Relaxed) != 0 {
            self.silent_since_ns.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn earn(&self) {
        self.budget.earn();
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

/// Whether the server answered; `None` if this may come from this side of the link.
#[inline]
fn answered<T>(answer: &Result<T>) -> Option<bool> {
    let Err(error) = answer else { return Some(true) };
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => Some(false),
        ErrorKind::Contended
        | ErrorKind::Corrupt
        | ErrorKind::Full
        | ErrorKind::Rejected
        | ErrorKind::Unconfirmed => Some(true),
        _ => None,
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
