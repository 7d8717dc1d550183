//! A circuit breaker: stops calls to a side that does not answer, and lets a few through to see
//! when it does again.
//!
//! Each server has one of its own; one for several would open for the healthy ones. On the closed
//! path it takes no lock: one load lets a call through, and one addition counts it.
//!
//! What it is careful about, because others were bitten:
//!
//! * The window slides in time: a million good calls do not outweigh a dead server.
//! * Calls that are cancelled count, so a timeout outside of the breaker does not hide a hang.
//! * Half-open lets 1, 2 and then 4 calls through, not all; one of which nothing is heard gives
//!   its place back, or has failed after twice the timeout, so it cannot stick.
//! * What was begun before a change of state tells nothing of the time after it: a late success
//!   does not close an open breaker, and a late failure does not open a closed one.

mod config;
mod core;
mod sync;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::mem::ManuallyDrop;
use std::time::Duration;

use thiserror::Error as ThisError;
use tokio::time::Instant;

use crate::backend::Result;
use crate::nanos::nanos;

pub use self::config::BreakerConfig;
pub use self::core::{BreakerState, Transition};

use self::core::{Core, Grant, Report};

/// A circuit breaker. See the [module](self).
///
/// ```
/// use steadfast::breaker::{Breaker, BreakerConfig, BreakerState};
///
/// # fn call() -> Result<(), std::io::Error> { Err(std::io::ErrorKind::TimedOut.into()) }
/// let breaker = Breaker::new(BreakerConfig::default())?;
/// for _ in 0..20 {
///     let permit = breaker.admit()?;
///     match call() {
///         Ok(_) => permit.success(),
///         Err(_) => permit.failure(),
///     }
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.admit().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Breaker {
    core: Core,
    config: BreakerConfig,
    slow_after_ns: u64,
    born: std::time::Instant,
}

/// What can be seen of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Whether calls are let through.
    pub state: BreakerState,
    /// How often that has changed.
    pub generation: u64,
    /// Calls in the window.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many of them succeeded and were slow.
    pub slow: u64,
    /// How long until the next call is let through; zero unless it is open.
    pub retry_after: Duration,
}

/// The breaker lets no call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("the circuit is open; try again in {retry_after:?}")]
pub struct Open {
    /// When it is worth asking again.
    pub retry_after: Duration,
}

/// A call that was let through. Say what became of it. If it is dropped instead, the call was
/// cancelled: it has failed if its timeout was over, it was slow if a fifth of that was, and
/// otherwise it tells nothing.
#[must_use = "a call that is dropped at once tells the breaker nothing"]
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    grant: Grant,
    since_ns: u64,
}

impl Breaker {
    /// A closed one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for times, rates or numbers that make no
    /// sense.
    pub fn new(config: BreakerConfig) -> Result<Self> {
        let (core, slow_after_ns) = (Core::new(config.rules()?), nanos(config.slow_after));
        Ok(Self { core, config, slow_after_ns, born: Instant::now().into_std() })
    }

    /// Lets a call through.
    ///
    /// # Errors
    ///
    /// [`Open`] if it does not.
    pub fn admit(&self) -> std::result::Result<Permit<'_>, Open> {
        self.admit_at(Instant::now())
    }

    /// As [`admit`](Breaker::admit), for who has looked at the clock anyway.
    ///
    /// # Errors
    ///
    /// [`Open`] if it does not.
    #[inline]
    pub fn admit_at(&self, now: Instant) -> std::result::Result<Permit<'_>, Open> {
        let now_ns = self.ns(now);
        match self.core.admit_closed() {
            Some(grant) => Ok(self.permit(grant, now_ns)),
            None => self.admit_unless_open(now_ns),
        }
    }

    #[cold]
    fn admit_unless_open(&self, now_ns: u64) -> std::result::Result<Permit<'_>, Open> {
        let mut changed = None;
        let admitted = self.core.admit(now_ns, &mut changed);
        self.tell(changed);
        match admitted {
            Ok(grant) => Ok(self.permit(grant, now_ns)),
            Err(ns) => Err(Open { retry_after: Duration::from_nanos(ns) }),
        }
    }

    /// Whether calls are let through.
    pub fn state(&self) -> BreakerState {
        self.core.state().1
    }

    /// All that can be seen of it, now.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.ns(Instant::now());
        let (generation, state) = self.core.state();
        let counts = self.core.counts(now);
        let left = if state == BreakerState::Open { self.core.left_ns(now) } else { 0 };
        Snapshot {
            state,
            generation,
            calls: counts.calls,
            failed: counts.failed,
            slow: counts.slow,
            retry_after: Duration::from_nanos(left),
        }
    }

    #[inline]
    fn permit(&self, grant: Grant, since_ns: u64) -> Permit<'_> {
        Permit { breaker: self, grant, since_ns }
    }

    #[inline]
    fn report(&self, grant: Grant, report: Report, now_ns: u64) {
        self.tell(self.core.report(grant, report, now_ns));
    }

    #[inline]
    fn tell(&self, changed: Option<Transition>) {
        if let (Some(changed), Some(hook)) = (changed, &self.config.hook) {
            hook(&changed);
        }
    }

    #[inline]
    fn ns(&self, now: Instant) -> u64 {
        nanos(now.into_std().saturating_duration_since(self.born))
    }
}

impl Permit<'_> {
    /// The call succeeded. If it took too long, it was slow.
    pub fn success(self) {
        self.success_at(Instant::now());
    }

    /// As [`success`](Permit::success), for who has looked at the clock anyway.
    #[inline]
    pub fn success_at(self, now: Instant) {
        let now_ns = self.breaker.ns(now);
        let slow = now_ns.saturating_sub(self.since_ns) > self.breaker.slow_after_ns;
        self.report(if slow { Report::Slow } else { Report::Good }, now_ns);
    }

    /// The other side did not answer.
    pub fn failure(self) {
        self.failure_at(Instant::now());
    }

    /// As [`failure`](Permit::failure), for who has looked at the clock anyway.
    pub fn failure_at(self, now: Instant) {
        let now_ns = self.breaker.ns(now);
        self.report(Report::Failed, now_ns);
    }

    /// The call tells nothing of the other side: it never got there.
    pub fn neutral(self) {
        // No time passes for what tells nothing.
        let now_ns = self.since_ns;
        self.report(Report::Neutral, now_ns);
    }

    fn report_cancelled(&self) {
        let now_ns = self.breaker.ns(Instant::now());
        let (took_ns, timeout_ns) =
            (now_ns.saturating_sub(self.since_ns), nanos(self.breaker.config.timeout));
        let report = if took_ns >= timeout_ns {
            Report::Failed
        } else if took_ns >= timeout_ns / 5 {
            Report::Slow
        } else {
            Report::Neutral
        };
        self.breaker.report(self.grant, report, now_ns);
    }

    #[inline]
    fn report(self, report: Report, now_ns: u64) {
        let permit = ManuallyDrop::new(self);
        permit.breaker.report(permit.grant, report, now_ns);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.report_cancelled();
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(&self.snapshot()).finish()
    }
}
