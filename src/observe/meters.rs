use std::fmt;
use std::time::Duration;

use crate::backend::Health;

use super::{Operation, Outcome};

/// How a read through the near cache was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NearRead {
    /// By the store, since the latest was asked for.
    Asked,
    Hit,
    Miss,
    Refreshing,
    Stale,
}

impl NearRead {
    const ALL: [Self; 5] = [Self::Asked, Self::Hit, Self::Miss, Self::Refreshing, Self::Stale];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Refreshing => "refreshing",
            Self::Stale => "stale",
        }
    }
}

/// The numbers of one store. They are looked up once: a call only adds to them.
pub(crate) struct Meters {
    #[cfg(feature = "metrics")]
    calls: [[metrics::Histogram; Outcome::ALL.len()]; Operation::ALL.len()],
    #[cfg(feature = "metrics")]
    repeats: metrics::Counter,
    #[cfg(feature = "metrics")]
    conflicts: metrics::Counter,
    #[cfg(feature = "metrics")]
    near: [metrics::Counter; NearRead::ALL.len()],
    #[cfg(feature = "metrics")]
    backend: &'static str,
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "this build counts nothing")]
impl Meters {
    pub(crate) fn new(_backend: &'static str) -> Self {
        // So that all names are used.
        let _ = (Operation::ALL, Outcome::ALL, NearRead::ALL);
        Self {}
    }

    pub(crate) fn call(
        &self,
        _operation: Operation,
        _outcome: Outcome,
        _took: impl Fn() -> Duration,
    ) {
    }

    pub(crate) fn repeat(&self) {}

    pub(crate) fn conflict(&self) {}

    pub(crate) fn near_read(&self, _how: NearRead) {}

    pub(crate) fn health(&self, _health: &Health) {}
}

#[cfg(feature = "metrics")]
impl Meters {
    pub(crate) fn new(backend: &'static str) -> Self {
        super::describe::describe();
        let call = |operation: Operation, outcome: Outcome| {
            metrics::histogram!(
                "steadfast_call_duration_seconds",
                "backend" => backend,
                "operation" => operation.name(),
                "outcome" => outcome.name()
            )
        };
        let near = |read: NearRead| {
            let labels = [("backend", backend), ("result", read.name())];
            metrics::counter!("steadfast_near_reads_total", &labels)
        };
        Self {
            calls: Operation::ALL
                .map(|operation| Outcome::ALL.map(|outcome| call(operation, outcome))),
            repeats: metrics::counter!("steadfast_repeats_total", "backend" => backend),
            conflicts: metrics::counter!("steadfast_conflicts_total", "backend" => backend),
            near: NearRead::ALL.map(near),
            backend,
        }
    }

    pub(crate) fn call(&self, operation: Operation, outcome: Outcome, took: impl Fn() -> Duration) {
        self.calls[operation as usize][outcome as usize].record(took());
    }

    pub(crate) fn repeat(&self) {
        self.repeats.increment(1);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.increment(1);
    }

    pub(crate) fn near_read(&self, how: NearRead) {
        self.near[how as usize].increment(1);
    }

    pub(crate) fn health(&self, health: &Health) {
        let backend = self.backend;
        let set = |gauge: metrics::Gauge, value: Option<u64>| {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and near enough")]
            if let Some(value) = value {
                gauge.set(value as f64);
            }
        };
        let gauge = |name: &'static str| metrics::gauge!(name, "backend" => backend);
        set(gauge("steadfast_store_entries"), health.entries);
        set(gauge("steadfast_store_used_bytes"), health.used_bytes);
        set(gauge("steadfast_store_limit_bytes"), health.limit_bytes);
        set(gauge("steadfast_store_evicted"), health.evicted);
        set(gauge("steadfast_store_expired"), health.expired);
        set(gauge("steadfast_store_warnings"), u64::try_from(health.warnings.len()).ok());
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}
