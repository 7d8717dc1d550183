//! What was used a moment ago.
//!
//! A cache that gives up what was not used for the longest time notes each use, in a place where
//! all threads meet. Here each answer has a place of its own, and the cache is told of its use once
//! in a while.

use std::sync::{Arc, Weak};

use super::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// A power of two.
const PLACES: usize = 1 << 10;
/// For how long the cache is not told that an answer is used.
const MOMENT_NS: u64 = 1_000_000;

/// Values of a cache by a hash of their keys; where two have the same place, one has it.
#[derive(Debug)]
pub(super) struct Hot<V>(Box<[Place<V>]>);

/// In a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Place<V>(RwLock<Held<V>>);

#[derive(Debug)]
struct Held<V> {
    /// Keeps nothing in memory that the cache gave up.
    value: Weak<V>,
    until_ns: u64,
    /// How often a change of the cache began or ended.
    changes: u64,
    /// How many are under way.
    changing: usize,
}

/// The state of a place before the cache was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl<V> Hot<V> {
    pub(super) fn new() -> Self {
        Self::with_places(PLACES)
    }

    pub(super) fn with_places(count: usize) -> Self {
        let vacant = || Held { value: Weak::new(), until_ns: 0, changes: 0, changing: 0 };
        Self((0..count).map(|_| Place(RwLock::new(vacant()))).collect())
    }

    /// What is there, and what [`put`](Self::put) wants to know if the cache is asked instead.
    pub(super) fn get(&self, hash: u64, now_ns: u64) -> (Option<Arc<V>>, Seen) {
        let held = self.place(hash).0.read().unwrap_or_else(PoisonError::into_inner);
        let value = if now_ns < held.until_ns { held.value.upgrade() } else { None };
        (value, Seen(held.changes))
    }

    /// Takes in what the cache gave, unless that has changed since the place was seen, or is about
    /// to.
    pub(super) fn put(&self, hash: u64, seen: Seen, value: &Arc<V>, now_ns: u64) {
        let mut held = self.place(hash).write();
        if held.changes == seen.0 && held.changing == 0 {
            held.value = Arc::downgrade(value);
            held.until_ns = now_ns + MOMENT_NS;
        }
    }

    /// To be held while the cache is changed: nothing is taken in, or given, meanwhile.
    pub(super) fn changing(&self, hash: u64) -> Changing<'_, V> {
        let place = self.place(hash);
        let mut held = place.write();
        held.value = Weak::new();
        held.changes += 1;
        held.changing += 1;
        drop(held);
        Changing(place)
    }

    fn place(&self, hash: u64) -> &Place<V> {
        let mask = self.0.len() as u64 - 1;
        &self.0[usize::try_from(hash & mask).unwrap_or(0)]
    }
}

impl<V> Place<V> {
    fn write(&self) -> RwLockWriteGuard<'_, Held<V>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Changing<'a, V>(&'a Place<V>);

impl<V> Drop for Changing<'_, V> {
    fn drop(&mut self) {
        let mut held = self.0.write();
        held.changes += 1;
        held.changing -= 1;
    }
}
