//! One execution per idempotency key, and the same answer on every retry.
//!
//! [`Idempotency::begin`] claims a key; whoever gets the [`Claim`] executes, records the answer
//! with [`Claim::complete`], and every later `begin` replays it. A claim is a lease: if its holder
//! dies, the key is *lapsed*, which is told apart from a key that was never seen.
//!
//! ```text
//!            begin                 complete
//!  absent ──────────► running ───────────────► completed ──► absent (retention over)
//!     ▲      release │   │ ▲
//!     └──────────────┘   │ │ take-over, a new holder
//!                 lease  ▼ │
//!                 over  lapsed
//! ```
//!
//! A record is one key, changed only by compare-and-set on its version, so a holder that lost its
//! lease is told ([`Completion::Fenced`]) and cannot overwrite its successor.
//!
//! After draft-ietf-httpapi-idempotency-key-header-07, where that speaks of the store.

mod begin;
mod claim;
mod config;
mod fingerprint;
mod record;
mod scope;

pub use begin::{Begin, Idempotency};
pub use claim::{Claim, Completion, Renewal};
pub use config::{IdempotencyBuilder, OnLapse};
pub use fingerprint::Fingerprint;
pub use scope::{IdempotencyKey, Scope};
