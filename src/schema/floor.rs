use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::State;

/// Which types are still written under an earlier version.
#[derive(Debug, Default)]
pub(crate) struct Floors(RwLock<HashMap<TypeId, u16>>);

impl Floors {
    pub(crate) fn set<T: State>(&mut self, schema: u16) {
        let floors = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        floors.insert(TypeId::of::<T>(), schema);
    }

    pub(crate) fn lift<T: State>(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&TypeId::of::<T>());
    }

    /// The version that new records of a type are written under.
    pub(crate) fn of<T: State>(&self) -> u16 {
        let floors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        floors.get(&TypeId::of::<T>()).map_or(T::SCHEMA, |floor| T::SCHEMA.min(*floor))
    }
}
