//! The fence of the near cache, on the model checker's atomics, around a cache of one place.

#[path = "../../../src/store/near/fence.rs"]
#[expect(clippy::module_inception, reason = "the file is named so where it belongs")]
mod fence;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Mutex};
use loom::thread;

use self::fence::{Fence, Token};
use self::sync::Ordering::SeqCst;

/// A store with one key, whose value is its version, and a cache of it.
struct World {
    fence: Fence,
    store: AtomicU64,
    kept: Mutex<Option<(Token, u64)>>,
}

impl World {
    fn new() -> Arc<Self> {
        let (store, kept) = (AtomicU64::new(1), Mutex::new(None));
        Arc::new(Self { fence: Fence::with_stripes(1), store, kept })
    }

    /// Asks the store and keeps the answer, as the near cache does; gives the answer.
    fn load(&self) -> u64 {
        let token = self.fence.capture(0, 0);
        let answer = self.store.load(SeqCst);
        let alone = self.fence.arrive(&token);
        self.take_in(token, answer, alone);
        answer
    }

    /// Writes, and keeps what the write left, as the near cache does; gives its version.
    fn write(&self) -> u64 {
        self.fence.soft(0);
        let token = self.fence.capture(0, 0);
        let version = self.store.fetch_add(1, SeqCst) + 1;
        let token = self.fence.hard_by(&token);
        let alone = self.fence.arrive(&token);
        self.take_in(token, version, alone);
        version
    }

    /// Asks the store in the background, for nobody.
    fn refresh(&self) {
        let token = self.fence.capture(0, 0);
        let answer = self.store.load(SeqCst);
        if self.fence.arrive_alone(&token) {
            self.take_in(token, answer, true);
        }
    }

    fn take_in(&self, token: Token, answer: u64, alone: bool) {
        let mut kept = self.kept.lock().unwrap();
        if alone && self.fence.is_last(&token) {
            *kept = Some((token, answer));
        } else if kept.as_ref().is_some_and(|(_, other)| *other != answer) {
            self.fence.hard(0);
        }
    }

    /// Nothing from before this is given any more.
    fn assert_nothing_before(&self, version: u64) {
        for usable in [false, true] {
            let given = self.peek(usable);
            assert!(given.is_none_or(|given| given >= version), "{given:?} after {version}");
        }
    }

    /// What is given without asking, if anything is.
    fn peek(&self, usable: bool) -> Option<u64> {
        let kept = self.kept.lock().unwrap();
        let (token, answer) = kept.as_ref()?;
        let fits =
            if usable { self.fence.is_usable(token) } else { self.fence.is_current(token) };
        fits.then_some(*answer)
    }
}

#[test]
fn news_are_never_lost_to_an_answer_on_its_way() {
    loom::model(|| {
        let world = World::new();
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.load());
        // Somebody writes, and then it is told.
        world.store.store(2, SeqCst);
        world.fence.hard(0);
        assert_ne!(world.peek(true), Some(1), "told, and given all the same");
        reader.join().unwrap();
        assert_ne!(world.peek(true), Some(1));
        assert_ne!(world.peek(false), Some(1));
    });
}

#[test]
fn a_write_of_this_process_is_seen_as_soon_as_it_has_ended() {
    loom::model(|| {
        let world = World::new();
        world.load();
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.load());
        world.fence.soft(0);
        world.store.store(2, SeqCst);
        world.fence.hard(0);
        assert_ne!(world.peek(false), Some(1));
        reader.join().unwrap();
        assert_ne!(world.peek(true), Some(1));
    });
}

#[test]
fn two_answers_at_the_same_time_take_nobody_back() {
    loom::model(|| {
        let world = World::new();
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || reader.load());
        // Nobody tells of this write.
        world.store.store(2, SeqCst);
        let own = world.load();
        assert_eq!(own, 2);
        assert_ne!(world.peek(true), Some(1), "this thread has been given 2 already");
        reader.join().unwrap();
        assert_ne!(world.peek(true), Some(1));
        assert_ne!(world.peek(false), Some(1));
    });
}

#[test]
fn what_is_proved_after_news_makes_nothing_young_that_they_overtook() {
    loom::model(|| {
        let fence = Arc::new(Fence::with_stripes(1));
        let token = fence.capture(0, 1);
        let feed = Arc::clone(&fence);
        let feed = thread::spawn(move || {
            feed.hard(0);
            feed.prove(10);
        });
        assert!(matches!(fence.known_ns(&token), None | Some(1)));
        feed.join().unwrap();
        assert_eq!(fence.known_ns(&token), None);
    });
}

#[test]
fn of_two_writes_at_once_none_takes_anybody_back() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let other = thread::spawn(move || {
            let version = other.write();
            other.assert_nothing_before(version);
            version
        });
        let own = world.write();
        world.assert_nothing_before(own);
        let other = other.join().unwrap();
        world.assert_nothing_before(own.max(other));
    });
}

#[test]
fn what_was_written_is_not_followed_by_an_answer_from_before() {
    loom::model(|| {
        let world = World::new();
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || {
            let answer = reader.load();
            reader.assert_nothing_before(answer);
        });
        let own = world.write();
        world.assert_nothing_before(own);
        reader.join().unwrap();
        world.assert_nothing_before(own);
    });
}

#[test]
fn a_question_in_the_background_takes_nobody_back() {
    loom::model(|| {
        let world = World::new();
        let background = Arc::clone(&world);
        let background = thread::spawn(move || background.refresh());
        let own = world.write();
        world.assert_nothing_before(own);
        background.join().unwrap();
        world.assert_nothing_before(own);
    });
}

#[test]
fn what_was_written_is_not_given_once_there_is_news_of_another_write() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        // Somebody else writes, and then it is told.
        let other = thread::spawn(move || {
            let version = other.store.fetch_add(1, SeqCst) + 1;
            other.fence.hard(0);
            version
        });
        let own = world.write();
        let other = other.join().unwrap();
        world.assert_nothing_before(own.max(other));
    });
}
