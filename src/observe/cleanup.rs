use std::fmt;
use std::time::Duration;

use crate::cleanup::Removed;

/// The numbers of one cleanup.
pub(crate) struct CleanupMeters {
    #[cfg(feature = "metrics")]
    runs: [metrics::Histogram; 2],
    #[cfg(feature = "metrics")]
    removed: [metrics::Counter; 2],
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "this build counts nothing")]
impl CleanupMeters {
    pub(crate) fn new(_backend: &'static str) -> Self {
        Self {}
    }

    pub(crate) fn run(&self, _removed: Option<&Removed>, _took: Duration) {}
}

#[cfg(feature = "metrics")]
impl CleanupMeters {
    pub(crate) fn new(backend: &'static str) -> Self {
        let run = |outcome: &'static str| {
            let labels = [("backend", backend), ("outcome", outcome)];
            metrics::histogram!("steadfast_cleanup_duration_seconds", &labels)
        };
        let removed = |what: &'static str| {
            let labels = [("backend", backend), ("what", what)];
            metrics::counter!("steadfast_cleanup_removed_total", &labels)
        };
        Self { runs: ["ok", "error"].map(run), removed: ["expired", "listed"].map(removed) }
    }

    pub(crate) fn run(&self, removed: Option<&Removed>, took: Duration) {
        self.runs[usize::from(removed.is_none())].record(took);
        if let Some(removed) = removed {
            let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            self.removed[0].increment(count(removed.expired));
            self.removed[1].increment(count(removed.listed));
        }
    }
}

impl fmt::Debug for CleanupMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CleanupMeters")
    }
}
