//! The contract in its plainest form, to compare backends with.

mod backend;
mod model;

pub use backend::{ModelBackend, ModelRecords};
pub(crate) use model::Model;
