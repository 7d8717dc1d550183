use std::time::Duration;

/// How old an answer may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Demand {
    /// As the store has it now: it is asked.
    #[default]
    Latest,
    /// As the store had it no longer ago than this.
    Within(Duration),
}

/// How old an answer may be, chosen by each use: as the store has it now, unless it says otherwise.
///
/// ```
/// use std::time::Duration;
/// use steadfast::store::Reads;
///
/// // From memory if it was true two seconds ago; while the store is out, two minutes.
/// let reads = Reads::within(Duration::from_secs(2)).serve_stale(Duration::from_secs(120));
/// # let _ = reads;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    pub(crate) demand: Demand,
    /// How old it may be while the store does not answer; `None` if that is an error.
    pub(crate) stale: Option<Duration>,
}

impl Reads {
    /// The store is asked each time.
    pub fn latest() -> Self {
        Self::default()
    }

    /// The store is asked unless this process knows what it had no longer ago than this.
    pub fn within(age: Duration) -> Self {
        Self { demand: Demand::Within(age), stale: None }
    }

    /// While the store does not answer, what this process read from it or wrote to it last does, if
    /// that is no longer ago than this: [`Freshness::Stale`] says so. Without this a read fails
    /// then.
    ///
    /// It is not given if this process knows that somebody else changed or removed it since, or
    /// tried to remove it itself. What others did while the store could not be heard is not known.
    #[must_use]
    pub fn serve_stale(mut self, max_age: Duration) -> Self {
        self.stale = Some(max_age);
        self
    }
}

/// How old an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// The store was asked for it.
    #[default]
    Fresh,
    /// From memory, or asked for by somebody else before, and no older than was asked for. Also
    /// what this process wrote that long ago.
    Cached {
        /// How long before the read, at most, the store had it so.
        age: Duration,
    },
    /// From memory, and older than was asked for.
    Stale {
        /// How long ago the store was asked for it, or this process wrote it.
        age: Duration,
        /// Why there is nothing better.
        reason: StaleReason,
    },
}

/// Why an answer is older than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleReason {
    /// The store did not answer.
    Outage,
    /// The store was not asked, because most calls to it failed.
    BreakerOpen,
    /// The store is being asked, for those who come later.
    Refreshing,
}

impl Freshness {
    /// How long ago, at most, the store had it so; zero if it was asked.
    pub fn age(self) -> Duration {
        match self {
            Self::Fresh => Duration::ZERO,
            Self::Cached { age } | Self::Stale { age, .. } => age,
        }
    }

    /// True if it is older than was asked for.
    pub fn is_stale(self) -> bool {
        matches!(self, Self::Stale { .. })
    }
}
