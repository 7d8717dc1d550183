//! Changes of which it is not known at once what became of them.

use steadfast::breaker::BreakerState;

use super::*;

/// A node with a session of its own, over a store that fails as it is told, and another one, for
/// which it does not.
struct Node {
    here: Sessions<Basket>,
    id: SessionId,
    store: Store,
    faulty: Arc<Faulty>,
    there: Sessions<Basket>,
    local: Arc<Faulty>,
    reports: Reports,
    _dir: TempDir,
}

impl Node {
    async fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new(MemoryConfig::default()));
        let faulty = Faulty::new(backend.clone());
        let (dir, reports) = (tempfile::tempdir().unwrap(), Reports::default());
        let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
        let disk = RedbBackend::open(dir.path().join("journal.redb")).unwrap();
        let local = Faulty::new(Arc::new(disk));
        let here = over(&store, JournalConfig::new(local.clone()), &reports);
        let there = Store::builder(backend).build().unwrap();
        let there = Sessions::builder(&there).build().unwrap();
        let id = here.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
        here.load(&id).await.unwrap().unwrap();
        Self { here, id, store, faulty, there, local, reports, _dir: dir }
    }

    async fn until_stored(&self, expected: &[u32]) {
        until("all are made", async || items(&self.there, &self.id).await.0 == expected).await;
        assert!(self.reports.lock().unwrap().is_empty());
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
        let there = &node.there;
        assert_eq!(items(there, id).await.0, [0], "the first was made");
        let mut expected: Vec<u32> = (0..=more).collect();
        if more == 0 {
            there.update(id, |basket| basket.items.push(9)).await.unwrap();
            expected.push(9);
        }
        faulty.heal();
        until("all are made", async || items(there, id).await.0 == expected).await;
        until("it is fresh", async || !items(here, id).await.1).await;
        assert_eq!(items(here, id).await.0, expected);
        assert!(node.reports.lock().unwrap().is_empty());
    }
}

/// A replay saved what waited, nothing was heard of it, and more came behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_with_its_reply_lost_is_known_however_many_follow() {
    let node = Node::new().await;
    node.faulty.fail_next(&[Fault::Cut; 10_000]);
    for item in 0..3 {
        assert!(add(&node.here, &node.id, item).await.is_queued());
    }
    node.faulty.fail_after(1, Fault::ReplyLost);
    node.until_stored(&[0, 1, 2]).await;
    for item in 3..9 {
        assert!(add(&node.here, &node.id, item).await.is_queued());
    }
    node.faulty.heal();
    node.until_stored(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).await;
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
    faulty.writes();
    // Nothing is saved in the background while the journal is silent.
    let held = node.local.hold_replies().await;
    let kept = async {
        until("it is on the disk", async || waits(&*node.local).await).await;
        // The second time only if the read in between is answered in time.
        assert!((1..=2).contains(&faulty.writes()));
        drop(held);
    };
    let (saved, ()) = tokio::join!(add(here, id, 0), kept);
    assert!(saved.is_queued());
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

/// Others have changed the session, this node has seen it, and what waits could not be reported.
#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_wait_meets_an_outage() {
    let node = Node::new().await;
    node.faulty.fail_next(&[Fault::Cut; 10_000]);
    assert!(add(&node.here, &node.id, 1).await.is_queued());
    // Time moves when nothing else does: the background has failed, and pauses.
    tokio::time::sleep(Duration::from_millis(1)).await;
    node.there.update(&node.id, |basket| basket.items.push(9)).await.unwrap();
    node.faulty.fail_after(1, Fault::Cut);
    assert_eq!(items(&node.here, &node.id).await, (vec![9], false));
    let refused = node.here.update_or_queue(&node.id, |basket| basket.items.push(2)).await;
    let Err(SessionError::Store(error)) = refused else { panic!("{refused:?}") };
    assert!(error.is_outage() && !error.is_ambiguous(), "{error:?}");
    node.faulty.heal();
    until("it is reported", async || !node.reports.lock().unwrap().is_empty()).await;
    assert_eq!(node.reports.lock().unwrap()[0].why, WhyUnsaved::Changed);
    assert_eq!(items(&node.there, &node.id).await.0, [9]);
}

/// The first read hangs, and so would the write of the second try.
#[tokio::test(start_paused = true)]
async fn a_change_that_may_wait_has_one_deadline() {
    const DEADLINE: Duration = Duration::from_secs(5);
    let node = Node::new().await;
    node.faulty.fail_after(2, Fault::Hang);
    node.faulty.fail_next(&[Fault::Hang]);
    let begun = tokio::time::Instant::now();
    let saved = node.here.update_or_queue(&node.id, |basket| basket.items.push(1)).await;
    let took = begun.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE * 3 / 2, "{took:?}");
    assert!(saved.unwrap().is_queued());
    node.faulty.heal();
    node.until_stored(&[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_journal_took_without_a_reply_is_saved() {
    let node = Node::new().await;
    node.faulty.fail_next(&[Fault::Cut; 10_000]);
    node.local.fail_next(&[Fault::ReplyLost]);
    let told = node.here.update_or_queue(&node.id, |basket| basket.items.push(1)).await;
    let Err(SessionError::Store(error)) = told else { panic!("{told:?}") };
    assert!(error.is_ambiguous(), "{error:?}");
    node.faulty.heal();
    node.until_stored(&[1]).await;
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
