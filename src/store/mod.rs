//! The handle that every domain type is built on.
//!
//! A [`Store`] turns typed values into enveloped bytes and back, and passes them to a
//! [`Backend`](crate::backend::Backend). It is cheap to clone.

mod codec;
mod config;
mod draft;
mod envelope;
mod freshness;
mod guard;
mod handle;
mod lookup;
mod near;
mod record;
#[cfg(feature = "encrypt")]
mod seal;
mod together;
mod typed;
mod update;

pub use codec::Codec;
pub use config::StoreBuilder;
pub(crate) use config::{NAMESPACE_LEN_MAX, is_namespace};
pub use draft::{Draft, TtlChange};
pub(crate) use envelope::Limit;
pub(crate) use freshness::Demand;
pub use freshness::{Freshness, Reads, StaleReason};
pub use handle::Store;
pub use lookup::Lookup;
pub use near::NearConfig;
pub use record::Record;
pub(crate) use record::{Carried, Head, Opened};
#[cfg(feature = "encrypt")]
pub use seal::SealingKeys;
#[cfg(feature = "poem")]
pub(crate) use update::UPDATE_ATTEMPTS_MAX;
pub use update::Updated;
pub(crate) use update::{Fate, contended};
