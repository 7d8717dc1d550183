//! What the near cache used a moment ago, on the model checker's locks, before a cache of one key.

#[path = "../../../src/store/near/hot.rs"]
#[expect(clippy::module_inception, reason = "the file is named so where it belongs")]
mod hot;

mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use loom::sync::{RwLock, RwLockWriteGuard};
}

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use self::hot::Hot;

struct World {
    hot: Hot<u64>,
    cache: Mutex<Arc<u64>>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { hot: Hot::with_places(1), cache: Mutex::new(Arc::new(1)) })
    }

    /// Reads as the near cache does.
    fn read(&self) -> u64 {
        let (hot, seen) = self.hot.get(0, 0);
        if let Some(value) = hot {
            return *value;
        }
        let value = Arc::clone(&self.cache.lock().unwrap());
        self.hot.put(0, seen, &value, 0);
        *value
    }

    /// Takes in an answer as the near cache does; gives what there was, which somebody may hold.
    fn change(&self, value: u64) -> Arc<u64> {
        let _changing = self.hot.changing(0);
        std::mem::replace(&mut self.cache.lock().unwrap(), Arc::new(value))
    }
}

#[test]
fn nobody_is_taken_back_while_the_cache_changes() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let other = thread::spawn(move || (other.read(), other.read()));
        let _before = world.change(2);
        assert_eq!(world.read(), 2);
        let (first, second) = other.join().unwrap();
        assert!(first <= second, "{second} after {first}");
    });
}

#[test]
fn two_changes_at_once_leave_nothing_old_behind() {
    loom::model(|| {
        let world = World::new();
        let _before = world.change(2);
        let other = Arc::clone(&world);
        let other = thread::spawn(move || other.change(4));
        let _between = world.change(3);
        world.read();
        let _other = other.join().unwrap();
        let last = **world.cache.lock().unwrap();
        assert_eq!(world.read(), last);
    });
}
