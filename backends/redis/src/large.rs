//! Which keys had large values lately, so that they are read where they stall nobody.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_backend::Key;

use crate::question::BULK;

/// Remembers some of them: a wrong guess costs speed only.
pub(crate) struct LargeKeys {
    hasher: std::hash::RandomState,
    slots: Box<[AtomicU64]>,
}

const SLOTS: usize = 1_024;

impl LargeKeys {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: std::hash::RandomState::new(), slots }
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        self.slot(hash).load(Ordering::Relaxed) == hash
    }

    /// The value under the key has this many bytes now.
    pub(crate) fn note(&self, key: &Key, value_bytes: usize) {
        let hash = self.hasher.hash_one(key);
        let slot = self.slot(hash);
        if value_bytes > BULK {
            slot.store(hash, Ordering::Relaxed);
        } else if slot.load(Ordering::Relaxed) == hash {
            slot.store(0, Ordering::Relaxed);
        }
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        let len = u64::try_from(self.slots.len()).unwrap_or(1);
        &self.slots[usize::try_from(hash % len).unwrap_or(0)]
    }
}
