//! The breaker's own files, on the model checker's atomics.

#[path = "../../../src/breaker/core.rs"]
mod core;
#[path = "../../../src/breaker/window.rs"]
mod window;

mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

use loom::sync::Arc;
use loom::thread;

use self::core::{BreakerState, Core, Grant, Report, Rules};
use self::window::{Count, Window};

const SECOND: u64 = 1_000_000_000;

fn core() -> Arc<Core> {
    Arc::new(Core::new(Rules {
        window_ns: 10 * SECOND,
        calls_min: 2,
        failed_permille: 500,
        slow_permille: 800,
        open_min_ns: SECOND,
        open_max_ns: 30 * SECOND,
        probes: vec![1],
        probe_ns: SECOND,
        chance: || 200,
    }))
}

fn admit(core: &Core, now: u64) -> Option<Grant> {
    core.admit(now, &mut None).ok()
}

/// Fails two calls, so that it opens at 0 for a second.
fn open(core: &Core) {
    for _ in 0..2 {
        core.report(admit(core, 0).unwrap(), Report::Failed, 0);
    }
    assert_eq!(core.state(), (1, BreakerState::Open));
}

#[test]
fn it_opens_once_however_many_fail_at_once() {
    loom::model(|| {
        let core = core();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let core = Arc::clone(&core);
                thread::spawn(move || {
                    let grant = admit(&core, 0);
                    grant.and_then(|grant| core.report(grant, Report::Failed, 0)).is_some()
                })
            })
            .collect();
        let opened = threads.into_iter().map(|it| it.join().unwrap());
        // The bucket was new, so one of the two counts may have been lost.
        let opened = opened.filter(|opened| *opened).count();
        let (generation, state) = core.state();
        assert!(opened <= 1);
        assert_eq!((generation, state == BreakerState::Open), (opened as u64, opened == 1));
    });
}

#[test]
fn one_call_gets_the_only_probe() {
    loom::model(|| {
        let core = core();
        open(&core);
        let other = Arc::clone(&core);
        let thread = thread::spawn(move || admit(&other, SECOND).is_some());
        let admitted = usize::from(admit(&core, SECOND).is_some());
        assert_eq!(admitted + usize::from(thread.join().unwrap()), 1);
        assert_eq!(core.state(), (2, BreakerState::HalfOpen));
    });
}

#[test]
fn a_late_answer_changes_nothing_whenever_it_comes() {
    for late in [Report::Good, Report::Failed] {
        loom::model(move || {
            let core = core();
            let early = admit(&core, 0).unwrap();
            open(&core);
            let other = Arc::clone(&core);
            let thread = thread::spawn(move || other.report(early, late, SECOND));
            let probe = admit(&core, SECOND).unwrap();
            assert_eq!(core.state(), (2, BreakerState::HalfOpen));
            core.report(probe, Report::Good, SECOND);
            assert!(thread.join().unwrap().is_none());
            assert_eq!(core.state(), (3, BreakerState::Closed));
        });
    }
}

#[test]
fn a_probe_is_reported_once_though_it_is_given_up_meanwhile() {
    loom::model(|| {
        let core = core();
        open(&core);
        let probe = admit(&core, SECOND).unwrap();
        let other = Arc::clone(&core);
        // It is late: whoever asks next takes it for failed.
        let thread = thread::spawn(move || admit(&other, 2 * SECOND).is_some());
        core.report(probe, Report::Good, 2 * SECOND);
        let admitted = thread.join().unwrap();
        let expected = if admitted { BreakerState::Closed } else { BreakerState::Open };
        assert_eq!(core.state(), (3, expected));
    });
}

#[test]
fn a_bucket_loses_no_count_but_where_it_begins() {
    loom::model(|| {
        let window = Arc::new(Window::new(10 * SECOND));
        window.add(Count::Good, SECOND);
        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.add(Count::Failed, SECOND));
        window.add(Count::Slow, SECOND);
        thread.join().unwrap();
        let sum = window.sum(SECOND);
        assert_eq!((sum.calls, sum.failed, sum.slow), (3, 1, 1));
    });
}

#[test]
fn a_bucket_that_begins_anew_forgets_the_old_and_at_most_one_of_the_new() {
    loom::model(|| {
        let window = Arc::new(Window::new(10 * SECOND));
        for _ in 0..3 {
            window.add(Count::Good, 0);
        }
        let later = 10 * SECOND;
        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.add(Count::Good, later));
        window.add(Count::Good, later);
        thread.join().unwrap();
        let calls = window.sum(later).calls;
        assert!((1..=2).contains(&calls), "{calls}");
    });
}

#[test]
fn a_bucket_that_begins_anew_shows_no_failure_without_the_good_calls_beside_it() {
    loom::model(|| {
        let window = Arc::new(Window::new(10 * SECOND));
        window.add(Count::Good, 0);
        window.add(Count::Failed, 0);
        let later = 10 * SECOND;
        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.add(Count::Good, later));
        let sum = window.sum(later);
        assert!(sum.failed == 0 || sum.calls >= 2, "{sum:?}");
        thread.join().unwrap();
        assert_eq!(window.sum(later).failed, 0);
    });
}
