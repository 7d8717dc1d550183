use std::fmt;

/// What somebody who wants a key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Acquired,
    Replayed,
    InFlight,
    Mismatch,
    Lapsed,
    Indeterminate,
    #[cfg_attr(not(feature = "poem"), expect(dead_code, reason = "only HTTP goes on without"))]
    Bypassed,
}

/// The numbers of the claims in one store.
pub(crate) struct ClaimMeters {
    #[cfg(feature = "metrics")]
    total: [metrics::Counter; 7],
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "this build counts nothing")]
impl ClaimMeters {
    pub(crate) fn new(_backend: &'static str) -> Self {
        Self {}
    }

    pub(crate) fn claim(&self, _result: Claimed) {}
}

#[cfg(feature = "metrics")]
impl ClaimMeters {
    pub(crate) fn new(backend: &'static str) -> Self {
        const RESULTS: [&str; 7] = [
            "acquired",
            "replayed",
            "in_flight",
            "mismatch",
            "lapsed",
            "indeterminate",
            "bypassed",
        ];
        let total = |result: &'static str| {
            let labels = [("backend", backend), ("result", result)];
            metrics::counter!("steadfast_claims_total", &labels)
        };
        Self { total: RESULTS.map(total) }
    }

    pub(crate) fn claim(&self, result: Claimed) {
        self.total[result as usize].increment(1);
    }
}

impl fmt::Debug for ClaimMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimMeters")
    }
}
