//! Changes of sessions that wait on this node while the store is out.
//!
//! A change that the store did not take is made on the session as this process saw it last, and
//! kept in a local store with the version it was made on. When the store is back, the session is
//! written if it still has that version, or one that an earlier change of this kind left: who wrote
//! last stands in the record, so no clock decides. If somebody else changed or ended the session
//! meanwhile, theirs stands, and
//! [`SessionsBuilder::on_unsaved`](super::SessionsBuilder::on_unsaved) gets ours, to merge by
//! [`Sessions::merge_unsaved`](super::Sessions::merge_unsaved).

mod config;
mod merge;
mod queue;
mod replay;
mod waiting;

pub use config::JournalConfig;
pub use queue::Saved;
pub(super) use replay::{OnUnsaved, Replayer};
pub use replay::{Unsaved, WhyUnsaved};
pub(super) use waiting::{Queued, Waiting};
