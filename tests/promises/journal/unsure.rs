//! Changes of which it is not known at once what became of them.

use steadfast::breaker::BreakerState;

use super::*;

/// A node with a session of its own, over a store that fails as it is told.
struct Node {
    here: Sessions<Basket>,
    id: SessionId,
    store: Store,
    faulty: Arc<Faulty>,
    backend: Arc<MemoryBackend>,
    reports: Reports,
    _dir: TempDir,
}

impl Node {
    async fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new(MemoryConfig::default()));
        let faulty = Faulty::new(backend.clone());
        let (dir, reports) = (tempfile::tempdir().unwrap(), Reports::default());
        let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
        let here = over(&store, journal(&dir), &reports);
        let id = here.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
        here.load(&id).await.unwrap().unwrap();
        Self { here, id, store, faulty, backend, reports, _dir: dir }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_reply_was_lost_is_made_once() {
    for more in [0, 1, 2, 5, 9] {
        let node = Node::new().await;
        let (here, id, faulty) = (&node.here, &node.id, &node.faulty);
        faulty.fail_next(&[Fault::Cut; 10_000]);
        // The read passes, the store makes the change, and nothing is heard of it.
        faulty.fail_after(1, Fault::ReplyLost);
        for item in 0..=more {
            assert!(add(here, id, item).await.is_queued());
        }
        let there: Sessions<Basket> =
            Sessions::builder(&Store::builder(node.backend).build().unwrap()).build().unwrap();
        assert_eq!(items(&there, id).await.0, [0], "the first was made");
        let mut expected: Vec<u32> = (0..=more).collect();
        if more == 0 {
            there.update(id, |basket| basket.items.push(9)).await.unwrap();
            expected.push(9);
        }
        faulty.heal();
        until("all are made", async || items(&there, id).await.0 == expected).await;
        until("it is fresh", async || !items(here, id).await.1).await;
        assert_eq!(items(here, id).await.0, expected);
        assert!(node.reports.lock().unwrap().is_empty());
    }
}

/// The store was back long enough to be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_a_change_that_was_made_is_seen_and_goes_on() {
    let node = Node::new().await;
    let (here, id, faulty) = (&node.here, &node.id, &node.faulty);
    faulty.fail_next(&[Fault::Cut; 10_000]);
    faulty.fail_after(1, Fault::ReplyLost);
    assert!(add(here, id, 0).await.is_queued());
    assert!(add(here, id, 1).await.is_queued());
    faulty.read_only(true);
    faulty.heal();
    until("it is seen that the first was made", async || {
        assert_eq!(items(here, id).await, (vec![0, 1], true));
        node.store.breakers().iter().all(|(_, breaker)| breaker.state == BreakerState::Closed)
    })
    .await;
    assert_eq!(items(here, id).await, (vec![0, 1], true));
    faulty.fail_next(&[Fault::Cut; 10_000]);
    assert_eq!(items(here, id).await, (vec![0, 1], true));
    assert!(add(here, id, 2).await.is_queued());
    assert_eq!(items(here, id).await, (vec![0, 1, 2], true));
    faulty.read_only(false);
    faulty.heal();
    until("all are made", async || items(here, id).await == (vec![0, 1, 2], false)).await;
    assert!(node.reports.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_writes_is_asked_twice_before_a_change_waits() {
    let node = Node::new().await;
    let (here, id, faulty) = (&node.here, &node.id, &node.faulty);
    faulty.read_only(true);
    faulty.trips();
    assert!(add(here, id, 0).await.is_queued());
    // A read and a write for each, a read between, and what the first replay may have made so far.
    assert!(faulty.trips() <= 5 + 2);
}

/// Found on a second reading: the store was back for the next look, and the change was made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_may_be_made_is_not_made_again_when_the_store_is_back() {
    let node = Node::new().await;
    let (here, id, faulty) = (&node.here, &node.id, &node.faulty);
    // The read passes, the reply to the write is lost, and its repeat is.
    faulty.fail_next(&[Fault::Cut]);
    faulty.fail_after(1, Fault::ReplyLost);
    let told = here.update_or_queue(id, |basket| basket.items.push(1)).await;
    let Err(SessionError::Store(error)) = told else { panic!("{told:?}") };
    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!(items(here, id).await, (vec![1], false));
}

/// As it is after a failover, until the replicas are back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_while_the_store_is_read_and_takes_no_writes() {
    let world = World::new().await;
    let id = world.seen("alice").await;
    let replicas = |min| {
        let set = ["CONFIG", "SET", "min-replicas-to-write", min];
        assert_eq!(world.server.command(&set).unwrap().trim(), "OK");
    };
    replicas("1");
    assert!(add(&world.here, &id, 1).await.is_queued());
    assert!(add(&world.here, &id, 2).await.is_queued());
    assert_eq!(items(&world.here, &id).await, (vec![0, 1, 2], true));
    assert_eq!(items(&world.there, &id).await, (vec![0], false));
    replicas("0");
    world.until_stored(&id, &[0, 1, 2]).await;
    assert!(world.reports.lock().unwrap().is_empty());
}
