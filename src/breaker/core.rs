//! The breaker as a machine: time and chance come from outside.

use std::num::NonZeroU64;

use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use super::window::{Count, Counts, Window};

/// What a breaker goes by. Times are in nanoseconds, rates in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) window_ns: u64,
    pub(super) calls_min: u64,
    pub(super) failed_permille: u64,
    pub(super) slow_permille: u64,
    pub(super) open_min_ns: u64,
    pub(super) open_max_ns: u64,
    /// How many calls may try the other side in each stage.
    pub(super) probes: Vec<u32>,
    /// A probe of which nothing was heard for so long has failed.
    pub(super) probe_ns: u64,
    /// Any number.
    pub(super) chance: fn() -> u64,
}

/// Whether calls are let through, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BreakerState {
    /// All are.
    Closed,
    /// A few are, to see whether the other side is there again.
    HalfOpen,
    /// None is.
    Open,
}

impl BreakerState {
    /// `closed`, `half-open` or `open`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// What it was.
    pub from: BreakerState,
    /// What it is now.
    pub to: BreakerState,
    /// Counts the changes.
    pub generation: u64,
}

/// A call that was let through in some generation. A report of an earlier one tells nothing of the
/// present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) generation: u64,
    /// The number of the probe, for one that is one.
    probe: Option<NonZeroU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Good,
    Failed,
    Slow,
    /// It tells nothing.
    Neutral,
}

/// `word` is the state in the low two bits and the generation above them: what the closed path
/// needs. All else is behind the lock, and only calls that are not let through anyway wait for it.
#[derive(Debug)]
pub(super) struct Core {
    rules: Rules,
    word: AtomicU64,
    /// Until when it is open.
    until_ns: AtomicU64,
    window: Window,
    rest: Mutex<Rest>,
}

#[derive(Debug)]
struct Rest {
    /// How long it was open the last time, without jitter; 0 if it never was.
    open_ns: u64,
    closed_since_ns: u64,
    stage: usize,
    succeeded: u32,
    /// The probes under way: their numbers, and when they began.
    probes: Vec<(NonZeroU64, u64)>,
    next_probe: NonZeroU64,
}

impl Core {
    pub(super) fn new(rules: Rules) -> Self {
        let rest = Rest {
            open_ns: 0,
            closed_since_ns: 0,
            stage: 0,
            succeeded: 0,
            probes: Vec::new(),
            next_probe: NonZeroU64::MIN,
        };
        Self {
            word: AtomicU64::new(word(0, BreakerState::Closed)),
            until_ns: AtomicU64::new(0),
            window: Window::new(rules.window_ns),
            rest: Mutex::new(rest),
            rules,
        }
    }

    #[inline]
    pub(super) fn state(&self) -> (u64, BreakerState) {
        parts(self.word.load(Ordering::Acquire))
    }

    pub(super) fn counts(&self, now_ns: u64) -> Counts {
        self.window.sum(now_ns)
    }

    /// How long it stays open from now on.
    pub(super) fn left_ns(&self, now_ns: u64) -> u64 {
        self.until_ns.load(Ordering::Acquire).saturating_sub(now_ns)
    }

    /// Lets a call through if it is closed, whatever the time is.
    #[inline]
    pub(super) fn admit_closed(&self) -> Option<Grant> {
        let (generation, state) = self.state();
        (state == BreakerState::Closed).then_some(Grant { generation, probe: None })
    }

    /// Lets a call through, or tells in how many nanoseconds it is worth asking again. Slower than
    /// [`admit_closed`](Self::admit_closed), which is asked first.
    pub(super) fn admit(
        &self,
        now_ns: u64,
        changed: &mut Option<Transition>,
    ) -> Result<Grant, u64> {
        let (_, state) = self.state();
        if state == BreakerState::Open && self.left_ns(now_ns) > 0 {
            return Err(self.left_ns(now_ns));
        }
        let mut rest = self.rest();
        let (mut generation, state) = self.state();
        match state {
            BreakerState::Closed => return Ok(Grant { generation, probe: None }),
            BreakerState::Open if self.left_ns(now_ns) > 0 => return Err(self.left_ns(now_ns)),
            BreakerState::Open => {
                (rest.stage, rest.succeeded) = (0, 0);
                *changed = Some(self.turn(BreakerState::HalfOpen));
                generation += 1;
            }
            BreakerState::HalfOpen => {
                let silent = |(_, since): &(NonZeroU64, u64)| now_ns >= since + self.rules.probe_ns;
                if rest.probes.iter().any(silent) {
                    *changed = Some(self.open(&mut rest, now_ns));
                    return Err(self.left_ns(now_ns));
                }
            }
        }
        let places = self.rules.probes[rest.stage] - rest.succeeded;
        if rest.probes.len() >= usize::try_from(places).unwrap_or(0) {
            let first = rest.probes.iter().map(|(_, since)| since + self.rules.probe_ns).min();
            return Err(first.map_or(self.rules.probe_ns, |end| end.saturating_sub(now_ns)));
        }
        let number = rest.next_probe;
        rest.next_probe = number.saturating_add(1);
        rest.probes.push((number, now_ns));
        Ok(Grant { generation, probe: Some(number) })
    }

    /// Takes in what became of a call.
    #[inline]
    pub(super) fn report(&self, grant: Grant, report: Report, now_ns: u64) -> Option<Transition> {
        if let Some(number) = grant.probe {
            return self.report_probe(number, report, now_ns);
        }
        if self.word.load(Ordering::Acquire) != word(grant.generation, BreakerState::Closed) {
            return None;
        }
        let count = match report {
            Report::Neutral => return None,
            Report::Good => Count::Good,
            Report::Failed => Count::Failed,
            Report::Slow => Count::Slow,
        };
        self.window.add(count, now_ns);
        if count == Count::Good { None } else { self.open_if_too_much(grant, now_ns) }
    }

    fn open_if_too_much(&self, grant: Grant, now_ns: u64) -> Option<Transition> {
        if !self.is_too_much(self.window.sum(now_ns)) {
            return None;
        }
        let mut rest = self.rest();
        let same =
            self.word.load(Ordering::Acquire) == word(grant.generation, BreakerState::Closed);
        same.then(|| self.open(&mut rest, now_ns))
    }

    fn is_too_much(&self, counts: Counts) -> bool {
        let Counts { calls, failed, slow } = counts;
        calls >= self.rules.calls_min
            && (failed * 1_000 >= self.rules.failed_permille * calls
                || slow * 1_000 >= self.rules.slow_permille * calls)
    }

    fn report_probe(&self, number: NonZeroU64, report: Report, now_ns: u64) -> Option<Transition> {
        let mut rest = self.rest();
        // One of an earlier time is not there any more.
        let at = rest.probes.iter().position(|(probe, _)| *probe == number)?;
        rest.probes.swap_remove(at);
        match report {
            Report::Neutral => None,
            Report::Failed | Report::Slow => Some(self.open(&mut rest, now_ns)),
            Report::Good => {
                rest.succeeded += 1;
                if rest.succeeded < self.rules.probes[rest.stage] {
                    return None;
                }
                (rest.stage, rest.succeeded) = (rest.stage + 1, 0);
                if rest.stage < self.rules.probes.len() {
                    return None;
                }
                rest.closed_since_ns = now_ns;
                self.window.clear();
                Some(self.turn(BreakerState::Closed))
            }
        }
    }

    /// Twice as long as the last time, unless it was closed for longer than that since.
    fn open(&self, rest: &mut Rest, now_ns: u64) -> Transition {
        let Rules { open_min_ns, open_max_ns, .. } = self.rules;
        let (_, from) = self.state();
        let was_closed = from == BreakerState::Closed;
        let calm = was_closed && now_ns.saturating_sub(rest.closed_since_ns) >= rest.open_ns;
        rest.open_ns = if calm || rest.open_ns == 0 {
            open_min_ns
        } else {
            rest.open_ns.saturating_mul(2).min(open_max_ns)
        };
        rest.probes.clear();
        // A fifth more or less, so that those who gave up together do not come back together.
        let permille = 800 + (self.rules.chance)() % 401;
        let open_ns = rest.open_ns / 1_000 * permille;
        self.until_ns.store(now_ns.saturating_add(open_ns), Ordering::Release);
        self.turn(BreakerState::Open)
    }

    /// Only under the lock.
    fn turn(&self, to: BreakerState) -> Transition {
        let (generation, from) = self.state();
        self.word.store(word(generation + 1, to), Ordering::Release);
        Transition { from, to, generation: generation + 1 }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn word(generation: u64, state: BreakerState) -> u64 {
    generation << 2 | state as u64
}

fn parts(word: u64) -> (u64, BreakerState) {
    let state = match word & 3 {
        0 => BreakerState::Closed,
        1 => BreakerState::HalfOpen,
        _ => BreakerState::Open,
    };
    (word >> 2, state)
}
