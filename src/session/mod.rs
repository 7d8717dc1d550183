//! Sessions that live outside the process.
//!
//! A [`Sessions`] keeps typed state and named attributes under a 256-bit id, with an idle and an
//! absolute timeout. The store sees only a hash of the id. Sessions of a
//! [`Principal`](crate::Principal) can be listed and ended together.
//!
//! | key | value |
//! | --- | --- |
//! | `…:session:{GROUP}:HASH` | one session; after a rotation, for two minutes, that it moved |
//! | `…:session:{GROUP}:user` | the generation that all live sessions of a principal carry |
//! | `…:session:{GROUP}:devices` | the list of a principal's sessions |
//!
//! A session counts as live if its record is there, neither deadline has passed, and it carries
//! its principal's present generation. Ending all sessions removes the principal's record, and
//! with it the generation: one write, whatever their number. No write creates a session record
//! except under a fresh id, so nothing brings an ended session back.

mod attributes;
mod change;
mod config;
mod edit;
mod end;
mod event;
mod handle;
mod id;
mod live;
mod lookup;
mod record;
mod roster;
mod rotate;
mod sessions;
mod sign_in;
mod user;

pub use attributes::{Attribute, Attributes};
pub use config::{AtLimit, SessionsBuilder};
pub use edit::Edit;
pub use event::{Happening, SessionEvent};
pub use handle::{Mode, Outcome, SessionHandle};
pub use id::SessionId;
pub use live::{Changed, Ended, Found, Session, SessionError};
pub use rotate::Rotation;
pub use sessions::Sessions;
pub use user::Device;
