//! What the fence is built on. The model checker puts its own in the place of this.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
