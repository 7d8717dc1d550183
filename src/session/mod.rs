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
//!
//! # Without transactions
//!
//! Where the store has no [transactions](crate::backend::Transactions), as Memcached, the same
//! writes are made one after the other. Each waits for the one before it and depends on what was
//! read, and they stand in an order in which a session that anybody can use is on its principal's
//! list: it is there before it is listed, listed before its id is handed out, and over before it is
//! off the list. If a process ends in between, what stays is an entry that nobody holds. No
//! promise but these is weaker for it:
//!
//! * A sign-in at the limit that fails may have ended the session that had to make room; its error
//!   is ambiguous then. So may one that others overtake, and is then
//!   [told](SessionsBuilder::on_event) as expired.
//! * A sign-in or a new id that is cut off may leave a session that nobody has the id of. It is
//!   shown as a device, and counts for the limit, until it has been idle for too long or is
//!   [ended there](Sessions::destroy_device).
//! * A session that was ended may stay on the list until somebody looks; to end it there once more
//!   is told to have done so.
//! * A store that drops entries may drop any of them. Without its record a session is logged out,
//!   without their principal's record all of its sessions are. If the list is dropped, its sessions
//!   live on, but are neither shown nor counted; ending all of them still does.
//!
//! | call | trips with transactions | without |
//! | --- | --- | --- |
//! | [`create`](Sessions::create), [`load`](Sessions::load), [`peek`](Sessions::peek) | 1 | 1 |
//! | [`update`](Sessions::update), [`edit`](Sessions::edit) | 2 | 2 |
//! | [`sign_in`](Sessions::sign_in) | 2, at the limit 3 | 4, at the limit 6 |
//! | [`elevate`](Sessions::elevate) | 2, at the limit 3 | 5, at the limit 7 |
//! | [`rotate`](Sessions::rotate) | 2 | 3, signed in 4 |
//! | [`destroy`](Sessions::destroy), [`destroy_device`](Sessions::destroy_device) | 2 | 3, after a rotation up to 4 |
//! | [`destroy_all`](Sessions::destroy_all) | 1 | 1 |
//! | [`devices`](Sessions::devices) | 2 | 2 |

mod attributes;
mod change;
mod config;
mod edit;
mod end;
mod event;
mod handle;
mod id;
mod journal;
mod lifetime;
mod live;
mod lookup;
mod record;
mod roster;
mod rotate;
mod sessions;
mod sign_in;
mod sweep;
mod user;

pub use attributes::{Attribute, Attributes};
pub use config::{AtLimit, SessionsBuilder};
pub use edit::Edit;
pub use event::{Happening, SessionEvent};
pub use handle::{Mode, Outcome, SessionHandle};
pub use id::SessionId;
pub use journal::{JournalConfig, Saved, Unsaved, WhyUnsaved};
pub use lifetime::Lifetime;
pub use live::{Changed, Ended, Found, Session, SessionError};
pub use rotate::Rotation;
pub use sessions::Sessions;
pub use user::Device;
