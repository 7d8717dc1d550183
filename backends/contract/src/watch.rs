use std::any::Any;
use std::fmt;
use std::time::Instant;

use crate::Key;

/// Is told what changes in a store, to forget what it has cached.
///
/// It is called in the order in which the store tells, and in the midst of that: it should take
/// note and return, and never block.
pub trait Watcher: fmt::Debug + Send + Sync + 'static {
    /// The entry under this key was written, touched or deleted, or its time is over.
    fn changed(&self, key: &Key);

    /// Anything may have changed: the store was emptied, or the link to it was lost or is new.
    fn everything(&self);

    /// Everything that changed before this moment has been told.
    fn told_until(&self, moment: Instant);
}

/// A [`Watcher`] that is being told; dropping this ends it.
#[must_use = "the watcher is told nothing more once this is dropped"]
pub struct Watch {
    /// Held for the sake of its `Drop`.
    _until: Box<dyn Any + Send + Sync>,
}

impl Watch {
    /// What a backend wants to be dropped when the watching ends.
    pub fn new(until: impl Any + Send + Sync) -> Self {
        Self { _until: Box::new(until) }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
