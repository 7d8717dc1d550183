//! The contract between `steadfast` and a storage engine.
//!
//! A [`Backend`] keeps bytes under [`Key`]s, with a [`Version`] per write, a time to live and a
//! [`Condition`] on every change. It knows nothing of sessions, codecs or retries: those are built
//! on these few verbs, so a new engine gets every feature by implementing this trait.
//!
//! Read in this order: [`Key`], [`Entry`] and [`Version`], [`Write`] and [`Written`],
//! [`Capabilities`], [`Error`], then [`Backend`] itself.
//!
//! | rule | where it is stated |
//! | --- | --- |
//! | a miss is `Ok(None)`, an outage is an error, never a miss | [`Backend::get`] |
//! | a lost race is a value that carries the present entry | [`Written::Refused`] |
//! | versions strictly increase per key and are never reused | [`Version`] |
//! | time is the store's, not the caller's | [`Entry`] |
//! | several keys change together or not at all | [`Backend::transact`] |
//! | dropping any future leaves the backend usable | [`Backend`] |

mod backend;
mod capabilities;
mod clock;
mod entry;
mod error;
mod key;
mod scan;
mod start;
mod ttl;
mod url;
mod watch;
mod write;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use backend::{Backend, Health, Replication};
pub use capabilities::{BackendInfo, Capabilities, Durability, Transactions};
pub use clock::{Clock, ManualClock, StoreClock, SystemClock};
pub use entry::{Entry, Version};
pub use error::{Error, ErrorKind, Result, Retry};
pub use key::{Group, Key, Namespace};
pub use scan::{Cursor, ScanPage, ScanRequest};
pub use start::Start;
pub use ttl::Ttl;
pub use url::StoreUrl;
pub use watch::{Watch, Watcher};
pub use write::{Condition, Transacted, Write, Written};
