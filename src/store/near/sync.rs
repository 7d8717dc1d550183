//! What the fence and the hot places are built on. The model checker puts its own in the place of
//! this.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
