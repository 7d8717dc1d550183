//! One question for all who ask the same.

use super::*;

#[tokio::test]
async fn a_thousand_that_miss_at_once_ask_once() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    world.store.hold();
    let readers: Vec<_> = (0..1_000).map(|_| world.begin_read(&key)).collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    world.store.answers.add_permits(1);
    for reader in readers {
        assert_eq!(joined(reader).await, text("v"));
    }
    assert_eq!(world.store.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_joins_late_is_told_how_long_ago_it_was_asked_for() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    world.store.hold();
    let read = || world.begin_read(&key);
    let early = read();
    world.until_asked(1).await;
    advance(SECOND).await;
    let late = read();
    tokio::task::yield_now().await;
    advance(SECOND).await;
    world.store.answers.add_permits(1);
    assert_eq!(early.await.unwrap().unwrap().freshness, Freshness::Fresh);
    assert_eq!(late.await.unwrap().unwrap().freshness, Freshness::Cached { age: SECOND });
    assert_eq!(world.store.reads(), 1);
}

#[tokio::test]
async fn who_leaves_takes_the_answer_from_nobody() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    world.store.hold();
    let (first, second) = (world.begin_read(&key), world.begin_read(&key));
    world.until_asked(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    world.store.answers.add_permits(1);
    assert_eq!(joined(second).await, text("v"));
    assert_eq!(world.store.reads(), 1);
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_the_next_one_asks_again() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    world.store.out(true);
    let keys = [key.clone()];
    let readers = (0..10).map(|_| world.near.read(&keys, WITHIN, None));
    for answer in futures_util::future::join_all(readers).await {
        let error = answer.unwrap_err();
        assert!(error.is_outage() && error.to_string().contains("cut the link"), "{error}");
    }
    assert_eq!(world.store.reads(), 1);
    world.store.out(false);
    assert_eq!(world.seen(&key, WITHIN).await, (text("v"), true));
}

#[tokio::test]
async fn too_many_different_questions_are_turned_away() {
    let world = World::new(NearConfig { flights_max: 2, ..NearConfig::default() });
    world.store.hold();
    let read = |name: &str| world.begin_read(&key(name, "k"));
    let under_way = [read("1"), read("2")];
    world.until_asked(2).await;
    assert_eq!(read("3").await.unwrap().unwrap_err().kind(), ErrorKind::Busy);
    world.store.answers.add_permits(100);
    for flight in under_way {
        assert_eq!(joined(flight).await, None);
    }
    assert_eq!(joined(read("3")).await, None);
}

#[tokio::test]
async fn outside_of_a_runtime_it_says_what_it_needs() {
    let built = std::thread::spawn(|| {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
        let guard = Guard::new(Arc::clone(&backend), GuardConfig::default()).unwrap();
        let watched = Watched { backend, namespace: Namespace::new("test").unwrap() };
        Near::start(NearConfig::default(), Arc::new(guard), watched).map(drop)
    });
    assert_eq!(built.join().unwrap().unwrap_err().kind(), ErrorKind::Config);
}
