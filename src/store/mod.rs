//! The handle that every domain type is built on.
//!
//! A [`Store`] turns typed values into enveloped bytes and back, and passes them to a
//! [`Backend`](crate::backend::Backend). It is cheap to clone.

mod codec;
mod envelope;
mod handle;
mod record;

pub use codec::Codec;
pub(crate) use envelope::{Limit, now_us};
pub(crate) use handle::contended;
pub use handle::{Store, StoreBuilder, Updated};
pub use record::Record;
