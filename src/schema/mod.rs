//! Versions of stored state.
//!
//! Every record says which [`State::SCHEMA`] its value was written under. A build reads its own
//! version and those before it, step by step; a newer one it reports and leaves alone.
//!
//! | phase of a rollout | reads | writes | an old build may run beside it |
//! | --- | --- | --- | --- |
//! | the new build, with [`write_floor`](crate::store::StoreBuilder::write_floor) | old and new | old | yes, and the rollout can be rolled back |
//! | [`finalize`](crate::Store::finalize), or without the floor | old and new | new | no: it reports what is new, and keeps it |
//!
//! A record that is new already is never written in an old version again. All versions of a
//! record have one key: with a key per version, the old and the new copy of a session could be
//! changed apart, and an old build would take a newer session for an absent one.

mod floor;
mod version;

pub(crate) use floor::Floors;
pub use version::{Downcast, Older, State};
pub(crate) use version::{read, write};
