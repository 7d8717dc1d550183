//! One execution per idempotency key, and the same answer on every retry.
//!
//! [`Idempotency::begin`] claims a key; whoever gets the [`Claim`] executes, records the answer
//! with [`Claim::complete`], and every later `begin` replays it. A claim is a lease: if its holder
//! dies, the key is *lapsed*, which is told apart from a key that was never seen.
//!
//! ```text
//!            begin                 complete
//!  absent ──────────► running ───────────────► completed ──► absent (retention over)
//!     ▲      release │  │  ▲ │                   ▲
//!     ├──────────────┘  │  │ │ tombstone         │ complete, resolve
//!     │          lease  ▼  │ └────────► indeterminate
//!     │          over  lapsed                │
//!     └────────────────┴──── resolve ────────┘
//! ```
//!
//! From lapsed and indeterminate a new holder takes over where the policy, [`OnLapse`], says that
//! this is safe. The first row that fits decides what [`Idempotency::begin`] does:
//!
//! | the key | the caller gets |
//! | --- | --- |
//! | is absent | [`Begin::Acquired`], attempt 1 |
//! | has a record that this build cannot read | an error; the record is kept |
//! | was used with another fingerprint | [`Begin::Mismatch`] |
//! | is this caller's already: the reply was lost | [`Begin::Acquired`] |
//! | is completed | [`Begin::Replay`] |
//! | is indeterminate, and may not run again | [`Begin::Indeterminate`] |
//! | is running | [`Begin::InFlight`] |
//! | is lapsed, and may not run again | [`Begin::Lapsed`] |
//! | lapsed after its fifth holder | [`Begin::Indeterminate`], [`Reason::Attempts`] |
//! | is lapsed or indeterminate, and may run again | [`Begin::Acquired`], the next attempt, with the checkpoint |
//!
//! A record is one key, changed only by compare-and-set on its version, so a holder that lost its
//! lease is told ([`Completion::Fenced`]) and cannot overwrite its successor.
//!
//! Any store will do: only [`Claim::complete_with`] needs
//! [transactions](crate::backend::Transactions). But a key that the store loses was never seen, and
//! a retry runs again. A store that [evicts](crate::backend::Capabilities::evicts) may lose a key
//! when it is full; one whose [durability](crate::backend::Capabilities::durability) is `Process`
//! or `Volatile`, as Memcached's, loses all with the process or server that holds them. What must
//! not run twice [requires](IdempotencyBuilder::requires) a store that does neither, or a service
//! behind it that remembers the [`Claim::downstream_key`].
//!
//! After draft-ietf-httpapi-idempotency-key-header-07, where that speaks of the store.

mod begin;
mod claim;
mod complete;
mod config;
#[cfg(feature = "runtime")]
mod drain;
#[cfg(feature = "runtime")]
mod execution;
mod fingerprint;
#[cfg(feature = "runtime")]
mod late;
mod record;
mod resolve;
#[cfg(feature = "runtime")]
mod run;
mod scope;

pub use begin::{Begin, Idempotency};
pub use claim::{Claim, Release, Renewal};
pub use complete::{CompletedWith, Completion, Tombstone};
pub use config::{IdempotencyBuilder, OnLapse};
#[cfg(feature = "runtime")]
pub use execution::Execution;
pub use fingerprint::Fingerprint;
pub use record::Reason;
pub use resolve::{KeyState, Resolution, Resolved, Status};
#[cfg(feature = "poem")]
pub(crate) use run::{Ending, Settled, detached, forget, give_up, refuse};
#[cfg(feature = "runtime")]
pub use run::{Failure, Ran};
pub use scope::{IdempotencyKey, Scope};
