//! Generated histories against plain models: what callers are told, however their calls are
//! interleaved, cut off or dropped, must be what some order of whole operations would tell.
//!
//! `STEADFAST_MODEL_CASES` sets how many histories run on the memory backend; the others take
//! their share of it. Histories that failed are kept in `proptest-regressions/` and run first.

#![cfg(all(feature = "memory", feature = "redb", feature = "sled"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../promises/alone.rs"]
mod alone;
mod explain;
mod generated;
mod link;
mod place;
mod turns;

mod idempotency;
mod sessions;
