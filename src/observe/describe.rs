//! What each metric is, for whoever reads them.

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

const METRICS: [(Kind, &str, &str); 18] = [
    (Histogram, "steadfast_call_duration_seconds", "Calls to the store, with their repeats."),
    (Counter, "steadfast_repeats_total", "Attempts that were made again."),
    (Counter, "steadfast_breaker_transitions_total", "Changes of the state of a breaker."),
    (Gauge, "steadfast_breaker_state", "State of a breaker: 0 closed, 1 half-open, 2 open."),
    (
        Counter,
        "steadfast_near_reads_total",
        "Reads through the near cache; asked are those that wanted the latest from the store.",
    ),
    (Counter, "steadfast_claims_total", "Requests for an idempotency key, by what came of them."),
    (Counter, "steadfast_conflicts_total", "Updates that met a newer version and ran again."),
    (Histogram, "steadfast_cleanup_duration_seconds", "Runs of the cleanup."),
    (Counter, "steadfast_cleanup_removed_total", "Entries and sessions that the cleanup removed."),
    (Gauge, "steadfast_journal_sessions", "Sessions with changes that wait in the journal."),
    (Gauge, "steadfast_journal_bytes", "Bytes of the changes that wait in the journal."),
    (Counter, "steadfast_journal_total", "Changes for the journal, by what came of them."),
    (Gauge, "steadfast_store_entries", "Entries in the store at the last check."),
    (Gauge, "steadfast_store_used_bytes", "Bytes that the store used at the last check."),
    (Gauge, "steadfast_store_limit_bytes", "Bytes that the store may use."),
    (Gauge, "steadfast_store_evicted", "Live entries that the store dropped to make room."),
    (Gauge, "steadfast_store_expired", "Entries of the store whose time was over."),
    (Gauge, "steadfast_store_warnings", "Warnings of the store at the last check."),
];

/// Gives the recorder the texts. It takes them as often as they come.
pub(super) fn describe() {
    for (kind, name, text) in METRICS {
        match kind {
            Counter => metrics::describe_counter!(name, text),
            Gauge => metrics::describe_gauge!(name, text),
            Histogram => metrics::describe_histogram!(name, text),
        }
    }
}
