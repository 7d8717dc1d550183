//! What the embedded backends of `steadfast` share, so that it is written and tested once.
//!
//! An [`Engine`] is an ordered map of bytes in a file, with atomic commits. [`Embedded`] makes a
//! [`Backend`](steadfast_backend::Backend) of it:
//!
//! | part | what it does |
//! | --- | --- |
//! | one writer thread | decides each write against the committed state and the writes before it |
//! | group commit | writers that wait at the same time share one commit, so one `fsync` |
//! | record frame | version, deadline and checksum in front of each value |
//! | expiry index | finds what is due without reading the rest; swept in small pieces |
//! | floor | the latest time the store saw, so that a clock set back revives nothing |
//! | [`Slot`] | contains an engine's panics, and reopens it after an I/O error |
//!
//! A user of a backend needs none of this: see `steadfast-redb` and `steadfast-sled`.

mod backend;
mod decide;
mod engine;
mod fault;
mod files;
mod frame;
mod group;
mod job;
mod pace;
mod read;
mod slot;
mod sweep;
mod writer;

pub use backend::{Embedded, Options};
pub use engine::{Engine, Op, Span, Table};
pub use fault::Fault;
pub use files::{create_dir, fault_of_io, sync_dir};
pub use frame::commits_of;
pub use slot::Slot;
