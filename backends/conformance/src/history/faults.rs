use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::nanos_since;
use super::operation::Span;
use super::random::Random;

/// In the hands of the one who makes faults while a [`History`](super::History) runs: when to,
/// which, and where to note that data is lost.
pub struct Faults {
    random: Random,
    /// Closed once all writes are made.
    over: watch::Receiver<()>,
    started: Instant,
    losses: Losses,
}

pub(super) type Losses = Arc<Mutex<Vec<Span>>>;

impl Faults {
    pub(super) fn new(
        seed: u64,
        over: watch::Receiver<()>,
        started: Instant,
        losses: Losses,
    ) -> Self {
        Self { random: Random::new(seed), over, started, losses }
    }

    /// A random number below `bound`, to choose a fault by.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    /// Waits for a random time of so many milliseconds. False once all writes are made, at once:
    /// then heal what is broken, and return.
    pub async fn wait(&mut self, millis: Range<u64>) -> bool {
        let span = millis.end.saturating_sub(millis.start).max(1);
        let micros = millis.start * 1_000 + self.random.below(span * 1_000);
        let time = tokio::time::sleep(Duration::from_micros(micros));
        tokio::select! {
            () = time => true,
            _ = self.over.changed() => false,
        }
    }

    /// From now until this is dropped, the store may forget all keys with their versions, as it
    /// does in a flush, or in a restart of one that keeps nothing. Hold it until that is over.
    pub fn losing(&self) -> Losing {
        let from = nanos_since(self.started);
        Losing { from, started: self.started, losses: Arc::clone(&self.losses) }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

/// While this lives, the store may lose its data. See [`Faults::losing`].
#[must_use = "the loss is over when this is dropped"]
pub struct Losing {
    from: u64,
    started: Instant,
    losses: Losses,
}

impl Drop for Losing {
    fn drop(&mut self) {
        let span = Span { from: self.from, to: nanos_since(self.started) };
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }
}

impl fmt::Debug for Losing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Losing")
    }
}
