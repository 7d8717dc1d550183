use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backend::{Error, ErrorKind, Result};
use crate::breaker::{BreakerState, Permit};
use crate::random;

use super::config::GuardConfig;
use super::deadline;
use super::endpoint::Endpoint;
use super::limit::Slot;

/// The pause before the first repeat; each further one may be twice as long.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a call may be repeated when nobody knows what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// The attempts at one call.
pub(super) struct Attempts<'a> {
    config: &'a GuardConfig,
    endpoint: &'a Endpoint,
    kind: Kind,
    begun: Instant,
    /// When it was last looked at the clock.
    now: Instant,
    deadline: Instant,
    made: u32,
    slot: Option<Slot<'a>>,
}

impl<'a> Attempts<'a> {
    #[inline]
    pub(super) fn new(config: &'a GuardConfig, endpoint: &'a Endpoint, kind: Kind) -> Self {
        let now = Instant::now();
        let deadline = deadline::current(now, config.deadline);
        Self { config, endpoint, kind, begun: now, now, deadline, made: 0, slot: None }
    }

    /// # Errors
    ///
    /// If the time is over, too many calls are under way, or the breaker is open.
    #[expect(clippy::inline_always, reason = "a permit that is handed over in memory takes longer")]
    #[inline(always)]
    pub(super) fn begin(&mut self) -> Result<Permit<'a>> {
        if self.deadline <= self.now {
            return Err(late("the time for this call was over before it was begun"));
        }
        if self.slot.is_none() {
            self.slot = Some(self.endpoint.enter(self.config.in_flight_max)?);
        }
        self.made += 1;
        self.endpoint.admit(self.now)
    }

    /// When the attempt that begins now has failed.
    #[inline]
    pub(super) fn limit(&self) -> Instant {
        match self.kind {
            // One that gets lost leaves time for another.
            Kind::Read => self.now + (self.deadline - self.now) / (self.left() + 1),
            Kind::Write => self.deadline,
        }
    }

    /// Whether its question may be put twice: only to a server that is well.
    #[inline]
    pub(super) fn hedges(&self) -> bool {
        self.config.hedges
            && deadline::has_timer()
            && self.kind == Kind::Read
            && self.endpoint.breaker.state() == BreakerState::Closed
    }

    /// Takes in what became of an attempt. If there is to be another, gives the pause before it.
    #[inline]
    pub(super) fn end<T>(&mut self, permit: Permit<'_>, answer: &Result<T>) -> Option<Duration> {
        let begun = std::mem::replace(&mut self.now, Instant::now());
        self.endpoint.record(permit, answer, self.now);
        let Err(error) = answer else {
            self.endpoint.earn();
            if self.config.hedges && self.kind == Kind::Read {
                self.endpoint.hedge.learn(self.now - begun);
            }
            return None;
        };
        self.repeat_after(error)
    }

    #[cold]
    fn repeat_after(&self, error: &Error) -> Option<Duration> {
        let pause = pause_before(self.made);
        let in_time = self.now + pause < self.deadline && deadline::has_timer();
        let again = self.left() > 0 && in_time && self.kind.may_repeat_after(error);
        (again && self.endpoint.pays_for(error)).then_some(pause)
    }

    pub(super) async fn pause(&mut self, pause: Duration) {
        sleep(pause).await;
        self.now = Instant::now();
    }

    /// From the beginning of the first to the end of the last.
    #[inline]
    pub(super) fn took(&self) -> Duration {
        self.now - self.begun
    }

    fn left(&self) -> u32 {
        self.config.attempts.saturating_sub(self.made)
    }
}

impl Kind {
    fn may_repeat_after(self, error: &Error) -> bool {
        let passes = error.is_outage() || error.kind() == ErrorKind::Busy;
        passes && (self == Self::Read || !error.is_ambiguous())
    }

    pub(super) fn unanswered(self) -> Error {
        let error = late("the store did not answer in time");
        if self == Self::Read { error } else { error.ambiguous() }
    }
}

#[cold]
pub(super) fn late(detail: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{detail}; try again, or allow more time"))
}

/// Up to twice as long after each attempt, at random: those who failed together do not come back
/// together.
fn pause_before(attempt: u32) -> Duration {
    let most = PAUSE * (1 << attempt.min(6));
    let part = random::number().map_or(1, |number| number % 1_000 + 1);
    most / 1_000 * u32::try_from(part).unwrap_or(1)
}
