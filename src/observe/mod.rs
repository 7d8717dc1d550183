//! What a store tells an operator: events by `tracing`, and numbers by the
//! [`metrics`](https://docs.rs/metrics) facade with the feature `metrics`. Neither has payloads,
//! keys or ids: a key is a digest of eight hex digits.
//!
//! | metric | labels | is |
//! | --- | --- | --- |
//! | `steadfast_call_duration_seconds` | `backend`, `operation`, `outcome` | a histogram of calls to the store, repeats included; `outcome` is `ok`, `outage`, `busy` or `error` |
//! | `steadfast_repeats_total` | `backend` | attempts that were made again |
//! | `steadfast_breaker_transitions_total` | `backend`, `endpoint`, `to` | changes of a breaker's state: `closed`, `open`, `half-open` |
//! | `steadfast_breaker_state` | `backend`, `endpoint` | 0 closed, 1 half-open, 2 open |
//! | `steadfast_near_reads_total` | `backend`, `result` | reads through the near cache. Those that want the latest: `asked`. Those for which an older answer does: `hit`, `miss`. With an answer older than that: `refreshing` while the store is asked, `stale` since it is out |
//! | `steadfast_claims_total` | `backend`, `result` | wishes for an idempotency key: `acquired`, `replayed`, `in_flight`, `mismatch`, `lapsed`, `indeterminate`, or `bypassed` while the store was out |
//! | `steadfast_conflicts_total` | `backend` | updates that others overtook, and that were made again |
//! | `steadfast_cleanup_duration_seconds` | `backend`, `outcome` | a histogram of the runs of a [`Cleanup`](crate::Cleanup): `ok` or `error` |
//! | `steadfast_cleanup_removed_total` | `backend`, `what` | what it removed: `expired` entries, and `listed` sessions |
//! | `steadfast_journal_sessions`, `_bytes` | `backend` | what waits in a session journal |
//! | `steadfast_journal_total` | `backend`, `result` | changes that were to wait: `queued`, `full`; and sessions whose changes waited: `saved`, or not: `conflict`, `ended`, `too_old` |
//! | `steadfast_store_entries`, `_used_bytes`, `_limit_bytes`, `_evicted`, `_expired`, `_warnings` | `backend` | what the store said at the last [`check`](crate::Store::check) |
//!
//! Install the recorder before the store is built: it holds on to the one that is there.

mod breaker;
mod calls;
mod claims;
mod cleanup;
#[cfg(feature = "metrics")]
mod describe;
mod journal;
mod meters;

pub(crate) use breaker::{breaker_begins, breaker_changed};
pub(crate) use calls::{Digest, Operation, Outcome};
pub(crate) use claims::{ClaimMeters, Claimed};
pub(crate) use cleanup::CleanupMeters;
pub(crate) use journal::{JournalMeters, Replay};
pub(crate) use meters::{Meters, NearRead};
