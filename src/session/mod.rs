//! Sessions that live outside the process.
//!
//! A [`Sessions`] keeps typed state under a 256-bit id, with an idle and an absolute timeout. The
//! store sees only a hash of the id. Sessions of a [`Principal`](crate::Principal) can be listed
//! and ended together.
//!
//! | key | value |
//! | --- | --- |
//! | `…:session:{GROUP}:HASH` | one session |
//! | `…:session:{GROUP}:user` | one principal's generation and list of devices |
//!
//! A session counts as live if its record is there, neither deadline has passed, and it carries
//! its principal's present generation. Ending all sessions removes the principal's record, and
//! with it the generation: one write, whatever their number. No write creates a session record
//! except under a fresh id, so nothing brings an ended session back.

mod config;
mod id;
mod live;
mod record;
mod sessions;
mod user;

pub use config::SessionsBuilder;
pub use id::SessionId;
pub use live::{Changed, Session, SessionError};
pub use sessions::Sessions;
pub use user::Device;
