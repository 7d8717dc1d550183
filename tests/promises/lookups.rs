//! Look-ups are made once for all who ask, also when some of them leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadfast::backend::{Backend, Error, Group, Key, Ttl};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::store::{Lookup, NearConfig};
use steadfast::{ErrorKind, Store};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{Fault, Faulty};
use crate::world::Basket;

/// A database that is asked, and answers when it is let.
struct Origin {
    store: Store,
    faulty: Arc<Faulty>,
    key: Key,
    asked: Arc<AtomicUsize>,
    answer: Arc<Notify>,
}

impl Origin {
    fn new() -> Self {
        let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
        let backend: Arc<dyn Backend> = faulty.clone();
        let store = Store::builder(backend).near(NearConfig::default()).build().unwrap();
        let key = store.key("flag", &Group::new("all").unwrap(), "dark-mode").unwrap();
        Self { store, faulty, key, asked: Arc::default(), answer: Arc::default() }
    }

    fn look_up(&self) -> Lookup<Basket, Error> {
        let (asked, answer) = (Arc::clone(&self.asked), Arc::clone(&self.answer));
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        self.store.cached(&self.key, ttl, move || async move {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            answer.notified().await;
            Ok(Basket { items: vec![u32::try_from(number).unwrap()] })
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_ask_at_once_make_one_look_up() {
    let origin = Origin::new();
    let lookups: Vec<_> = (0..1_000).map(|_| origin.look_up()).collect();
    sleep(Duration::from_millis(1)).await;
    origin.answer.notify_one();
    for lookup in lookups {
        assert_eq!(lookup.await.unwrap().items, [0]);
    }
    assert_eq!(origin.asked(), 1);
    assert_eq!(origin.look_up().await.unwrap().items, [0]);
    assert_eq!(origin.asked(), 1, "it is kept");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_does_not_end_it() {
    let origin = Origin::new();
    drop(origin.look_up());
    sleep(Duration::from_millis(1)).await;
    let other = origin.look_up();
    origin.answer.notify_one();
    assert_eq!(other.await.unwrap().items, [0]);
    assert_eq!(origin.asked(), 1);
}

/// What a second of work comes to, for a hundred who ask for it at once.
async fn at_once(origin: &Origin, outcome: Result<Basket, ErrorKind>) {
    let (ttl, asked) = (Ttl::new(Duration::from_secs(10)).unwrap(), origin.asked());
    let load = || {
        let (asked, outcome) = (Arc::clone(&origin.asked), outcome.clone());
        origin.store.cached(&origin.key, ttl, move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            outcome.map_err(|kind| Error::new(kind, "the database says no"))
        })
    };
    let lookups: Vec<_> = (0..100).map(|_| load()).collect();
    for lookup in lookups {
        assert_eq!(lookup.await.map_err(|error| error.kind()), outcome);
    }
    assert_eq!(origin.asked() - asked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_fails_once_for_all_who_wait() {
    let (origin, begun) = (Origin::new(), Instant::now());
    at_once(&origin, Err(ErrorKind::Contended)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "one after the other");
    at_once(&origin, Ok(Basket::default())).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_out_who_asks_at_the_same_time_shares_a_load() {
    for fault in [Fault::Cut, Fault::Hang] {
        let (origin, begun) = (Origin::new(), Instant::now());
        origin.faulty.fail_next(&[fault; 10_000]);
        at_once(&origin, Ok(Basket::default())).await;
        // A call has five seconds, and a load takes one.
        assert!(begun.elapsed() < Duration::from_secs(7), "{fault:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_load_of_another_waits_no_longer_than_a_call_has() {
    let origin = Origin::new();
    let first = origin.look_up();
    sleep(Duration::from_millis(1)).await;
    let (second, begun) = (origin.look_up(), Instant::now());
    let second = timeout(Duration::from_secs(60), second).await.expect("as long as the other");
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    origin.answer.notify_one();
    assert_eq!(first.await.unwrap().items, [0]);
    assert_eq!(origin.asked(), 1);
}

/// Neither looked up nor changed: whatever else it is, it does not wait for what is slow.
#[tokio::test(start_paused = true)]
async fn a_slow_look_up_holds_up_nothing_else() {
    let origin = Origin::new();
    let slow = origin.look_up();
    sleep(Duration::from_millis(1)).await;
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    for number in 0..200 {
        let group = Group::new(&number.to_string()).unwrap();
        let key = origin.store.key("flag", &group, "other").unwrap();
        let found = origin.store.cached(&key, ttl, || async { Ok::<_, Error>(Basket::default()) });
        let found = timeout(Duration::from_secs(1), found).await;
        assert_eq!(found.expect("it waits for another").unwrap(), Basket::default());
    }
    // A look-up may need others.
    let (store, other) = (origin.store.clone(), origin.key.clone());
    for number in 0..200 {
        let group = Group::new(&number.to_string()).unwrap();
        let key = origin.store.key("flag", &group, "nested").unwrap();
        let inner = origin.store.key("flag", &group, "inner").unwrap();
        let store = store.clone();
        let nested = origin.store.cached(&key, ttl, move || async move {
            store.cached(&inner, ttl, || async { Ok::<_, Error>(Basket::default()) }).await
        });
        assert!(timeout(Duration::from_secs(1), nested).await.is_ok(), "it waits for itself");
    }
    assert_eq!(origin.asked(), 1);
    origin.answer.notify_one();
    assert_eq!(slow.await.unwrap().items, [0]);
    assert!(store.get::<Basket>(&other).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_out_there_is_no_stampede_on_what_is_behind_it() {
    let origin = Origin::new();
    origin.faulty.fail_next(&vec![Fault::Cut; 100_000]);
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    let lookups: Vec<_> = (0..500)
        .map(|number: u32| {
            let group = Group::new(&number.to_string()).unwrap();
            let key = origin.store.key("flag", &group, "k").unwrap();
            let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
            origin.store.cached(&key, ttl, move || async move {
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(10)).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Error>(Basket { items: vec![number] })
            })
        })
        .collect();
    for (number, lookup) in (0..).zip(lookups) {
        assert_eq!(lookup.await.unwrap().items, [number]);
    }
    assert_eq!(most.load(Ordering::SeqCst), 32);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_none_of_the_look_up() {
    let origin = Origin::new();
    origin.faulty.fail_next(&[Fault::Cut; 1_000]);
    for number in 0..3 {
        origin.answer.notify_one();
        assert_eq!(origin.look_up().await.unwrap().items, [number]);
    }
}

#[tokio::test]
async fn an_error_is_told_and_not_kept() {
    let origin = Origin::new();
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    let failing = origin.store.cached::<Basket, _, _>(&origin.key, ttl, || async {
        Err(Error::new(ErrorKind::Contended, "the database says no"))
    });
    assert_eq!(failing.await.unwrap_err().kind(), ErrorKind::Contended);
    let panicking = origin.store.cached::<Basket, Error, _>(&origin.key, ttl, || async {
        panic!("the look-up panics, as this test wants it to")
    });
    assert_eq!(panicking.await.unwrap_err().kind(), ErrorKind::Other);
    origin.answer.notify_one();
    assert_eq!(origin.look_up().await.unwrap().items, [0]);
}
