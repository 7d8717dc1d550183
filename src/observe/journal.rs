use std::fmt;

/// What became of a change that was to wait in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    Queued,
    Full,
    Saved,
    Conflict,
    Ended,
    TooOld,
}

/// The numbers of one journal.
pub(crate) struct JournalMeters {
    #[cfg(feature = "metrics")]
    sessions: metrics::Gauge,
    #[cfg(feature = "metrics")]
    bytes: metrics::Gauge,
    #[cfg(feature = "metrics")]
    total: [metrics::Counter; 6],
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "this build counts nothing")]
impl JournalMeters {
    pub(crate) fn new(_backend: &'static str) -> Self {
        Self {}
    }

    pub(crate) fn depth(&self, _sessions: usize, _bytes: usize) {}

    pub(crate) fn replay(&self, _result: Replay) {}
}

#[cfg(feature = "metrics")]
impl JournalMeters {
    pub(crate) fn new(backend: &'static str) -> Self {
        let total = |result: &'static str| {
            let labels = [("backend", backend), ("result", result)];
            metrics::counter!("steadfast_journal_total", &labels)
        };
        Self {
            sessions: metrics::gauge!("steadfast_journal_sessions", "backend" => backend),
            bytes: metrics::gauge!("steadfast_journal_bytes", "backend" => backend),
            total: ["queued", "full", "saved", "conflict", "ended", "too_old"].map(total),
        }
    }

    pub(crate) fn depth(&self, sessions: usize, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and near enough")]
        let (sessions, bytes) = (sessions as f64, bytes as f64);
        self.sessions.set(sessions);
        self.bytes.set(bytes);
    }

    pub(crate) fn replay(&self, result: Replay) {
        self.total[result as usize].increment(1);
    }
}

impl fmt::Debug for JournalMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalMeters")
    }
}
