//! The behaviour suite for `steadfast` backends: with it, anyone proves a backend.
//!
//! Put this in `tests/conformance.rs`, with `harness = false` for that test in `Cargo.toml`:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
//! use steadfast_conformance::{ModelBackend, Suite};
//!
//! /// What the backend promises. Written out here, not taken from the backend: a case compares
//! /// the two, so that a promise cannot change unseen.
//! const DECLARED: BackendInfo = BackendInfo {
//!     name: "model",
//!     capabilities: Capabilities {
//!         transactions: Transactions::Any,
//!         scan: true,
//!         shared: false,
//!         evicts: false,
//!         invalidations: false,
//!         durability: Durability::Process,
//!         ttl_step: std::time::Duration::from_micros(1),
//!         value_len_max: 1 << 20,
//!         batch_len_max: 1024,
//!     },
//! };
//!
//! fn main() -> ExitCode {
//!     Suite::new(DECLARED, |place| async move { Ok(ModelBackend::with_clock(place.clock)) }).run()
//! }
//! ```
//!
//! An engine with files opens them below [`Place::dir`]; it may be called again with the same
//! place after a close, and then must find its data:
//!
//! ```text
//! Suite::new(DECLARED, |place| async move {
//!     RedbBackend::open_with_clock(place.dir.join("db"), place.clock).await
//! })
//! .run()
//! ```
//!
//! A client of a server, whose time the suite cannot move, adds [`Suite::on_real_time`], and
//! [`Suite::hiding`] with the password that must never be shown.
//!
//! No backend may take for absent, or overwrite, what it cannot read. To prove that,
//! [`Suite::damaged_by`] gives the suite the stored bytes, past the backend.
//!
//! # How it runs
//!
//! * Names, filters and flags are those of `cargo test`, which lists every case.
//! * Each case opens its own backend in its own place and works in a random namespace. Nothing is
//!   flushed and nothing is tried again.
//! * A case that needs what the backend does not declare is listed as ignored, with the need:
//!   `[needs scan] scan::every_stable_key_is_seen ... ignored`.
//! * The model case runs 10,000 random operations; `STEADFAST_MODEL_OPS` sets another number and
//!   `STEADFAST_MODEL_SEED` repeats a run. A failure is shrunk, printed with its seed, and kept in
//!   `proptest-regressions/conformance.txt` beside the `Cargo.toml`.
//! * [`Suite::report`] returns the verdicts instead of printing them.
//!
//! # Servers and faults
//!
//! The module `servers` starts the Redis and Memcached servers that a backend talks to, and
//! kills, pauses and restarts them (on Unix). [`proxy::FaultProxy`] stands between a client and
//! its server and cuts, stalls or slows the link, or swallows replies.
//!
//! # Under faults
//!
//! [`History`] has many tasks write to few keys while faults happen, and checks that what they
//! were told is linearizable per key. [`Cancellation`] drops calls at random points and checks that
//! every other answer belongs to its question. Both run over any `Arc<dyn Backend>`.

mod canary;
mod case;
mod cases;
mod context;
mod dropping;
mod failure;
mod history;
mod place;
pub mod proxy;
mod reference;
#[cfg(unix)]
pub mod servers;
mod suite;

pub use history::{Cancellation, Drops, Faults, Figures, History, Losing, Recorded, Violation};
pub use place::{Place, Stored, Subject};
pub use reference::{ModelBackend, ModelRecords};
pub use suite::{Report, Suite, Verdict};
