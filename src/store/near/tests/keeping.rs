//! What is kept, and what it is good for when the store is out.

use super::*;

async fn kept(config: NearConfig) -> (World, Key) {
    let (world, key) = (World::new(config), key("g", "k"));
    world.put(&key, "kept").await;
    world.read(&key, Demand::Latest).await;
    (world, key)
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_out_what_is_kept_does_for_so_long() {
    let (world, key) = kept(NearConfig::default()).await;
    world.store.out(true);
    advance(SECOND * 9).await;
    let hit = world.stale(&key, SECOND * 10).await.unwrap();
    assert_eq!(value(&hit), text("kept"));
    let reason = StaleReason::Outage;
    assert_eq!(hit.freshness, Freshness::Stale { age: SECOND * 9, reason });
    advance(SECOND * 2).await;
    assert!(world.stale(&key, SECOND * 10).await.unwrap_err().is_outage());
    assert!(
        world.near.read(std::slice::from_ref(&key), WITHIN, None).await.unwrap_err().is_outage()
    );
    world.store.out(false);
    assert_eq!(world.stale(&key, SECOND * 10).await.unwrap().freshness, Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_waited_for_with_patience_and_its_answer_is_kept() {
    for reads in [WITHIN, Demand::Latest] {
        let (world, key) = kept(NearConfig::default()).await;
        world.put(&key, "new").await;
        advance(SECOND * 3).await;
        world.store.hold();
        let (keys, asked) = ([key.clone()], Instant::now());
        let hit = world.near.read(&keys, reads, Some(SECOND * 10)).await.unwrap();
        assert_eq!((asked.elapsed().as_millis(), value(&hit)), (500, text("kept")));
        assert!(hit.freshness.is_stale());
        world.store.answers.add_permits(1);
        settle().await;
        assert_eq!(world.seen(&key, WITHIN).await, (text("new"), false));
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_waited_in_vain_spares_the_others_the_wait_until_the_store_answers() {
    let (world, slow) = kept(NearConfig::default()).await;
    let other = key("h", "other");
    world.put(&other, "kept, too").await;
    world.read(&other, Demand::Latest).await;
    world.store.hold();
    let took = async |key: &Key| {
        let asked = Instant::now();
        let keys = std::slice::from_ref(key);
        let hit = world.near.read(keys, Demand::Latest, Some(SECOND * 10)).await.unwrap();
        (asked.elapsed().as_millis(), hit.freshness.is_stale())
    };
    assert_eq!(took(&slow).await, (500, true));
    assert_eq!(took(&other).await, (1, true));
    assert_eq!(took(&slow).await, (1, true));
    world.store.answers.add_permits(3);
    settle().await;
    world.store.answers.add_permits(1);
    assert_eq!(took(&slow).await, (0, false));
    assert_eq!(took(&other).await, (500, true), "it was there again, so it is waited for again");
}

/// An error that the server tells is an answer, and so is one that is there before it is asked for.
#[tokio::test(start_paused = true)]
async fn whatever_the_server_answers_ends_the_silence() {
    let kinds = [ErrorKind::Contended, ErrorKind::Corrupt, ErrorKind::Full, ErrorKind::Rejected];
    let (world, slow) = kept(NearConfig::default()).await;
    let other = [key("h", "other")];
    world.store.hold();
    let took = async || {
        let (keys, asked) = (std::slice::from_ref(&slow), Instant::now());
        world.near.read(keys, Demand::Latest, Some(SECOND * 10)).await.unwrap();
        asked.elapsed().as_millis()
    };
    for kind in kinds {
        assert_eq!((took().await, took().await), (500, 1), "{kind:?}");
        world.store.fail(Some(kind));
        let error = world.near.read(&other, Demand::Latest, None).await.unwrap_err();
        world.store.fail(None);
        assert_eq!(error.kind(), kind);
    }
    assert_eq!((took().await, took().await), (500, 1), "one that is ready");
    world.store.ready.store(true, Ordering::SeqCst);
    world.near.read(&other, Demand::Latest, None).await.unwrap();
    world.store.ready.store(false, Ordering::SeqCst);
    assert_eq!((took().await, took().await), (500, 1), "nothing");
}

/// Found by four hundred requests at once: each waited with patience for what was overtaken then.
#[tokio::test(start_paused = true)]
async fn what_was_overtaken_while_it_was_waited_for_is_waited_for_to_the_end() {
    let (world, key) = kept(NearConfig::default()).await;
    world.put(&key, "new").await;
    world.store.hold();
    let (near, keys) = (Arc::clone(&world.near), [key.clone()]);
    let read = tokio::spawn(async move { near.read(&keys, Demand::Latest, Some(SECOND)).await });
    settle().await;
    world.feed().changed(&key);
    advance(SECOND * 2).await;
    settle().await;
    world.store.answers.add_permits(1);
    let hit = read.await.unwrap().unwrap();
    assert_eq!((value(&hit), hit.freshness), (text("new"), Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_told_as_the_reason() {
    let (world, key) = kept(NearConfig::default()).await;
    world.store.out(true);
    advance(SECOND * 3).await;
    for _ in 0..20 {
        world.stale(&key, SECOND * 10).await.unwrap();
    }
    let before = world.store.reads();
    let hit = world.stale(&key, SECOND * 10).await.unwrap();
    let Freshness::Stale { reason, .. } = hit.freshness else { panic!("{hit:?}") };
    assert_eq!((reason, world.store.reads()), (StaleReason::BreakerOpen, before));
}

#[tokio::test(start_paused = true)]
async fn what_was_overtaken_is_not_given_while_the_store_is_out() {
    for news in 0..3 {
        let (world, key) = kept(NearConfig::default()).await;
        let out = || world.store.out(true);
        match news {
            0 => world.feed().changed(&key),
            1 => world.own(Write::delete(key.clone())).await.unwrap(),
            // Nobody knows what became of it, but it should be gone.
            _ => {
                out();
                world.own(Write::delete(key.clone())).await.unwrap_err();
            }
        }
        out();
        assert!(world.stale(&key, SECOND * 10).await.is_err(), "news {news}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_or_a_put_that_failed_leaves_what_is_kept_to_be_given() {
    let (world, key) = kept(NearConfig::default()).await;
    world.feed().everything();
    world.store.out(true);
    world.own(Write::put(key.clone(), "new")).await.unwrap_err();
    drop(world.near.writing(&[Write::touch(key.clone(), None)]));
    let hit = world.stale(&key, SECOND * 10).await.unwrap();
    assert!(hit.freshness.is_stale());
    assert_eq!(value(&hit), text("kept"));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_no_outage_is_told() {
    let (world, key) = kept(NearConfig::default()).await;
    advance(SECOND * 3).await;
    world.store.inner.close().await.unwrap();
    assert_eq!(world.stale(&key, SECOND * 10).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_kept_only_if_that_is_wanted() {
    for negative in [false, true] {
        let (world, key) = (World::new(NearConfig::default().negative(negative)), key("g", "k"));
        assert_eq!(world.seen(&key, WITHIN).await, (None, true));
        assert_eq!(world.seen(&key, WITHIN).await, (None, !negative));
        world.own(Write::put(key.clone(), "there")).await.unwrap();
        assert_eq!(world.seen(&key, WITHIN).await.0, text("there"));
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_more_room_than_it_may() {
    let world = World::new(NearConfig::default().capacity(10_000));
    for number in 0..1_000 {
        let key = key(&number.to_string(), "k");
        world.put(&key, &"v".repeat(100)).await;
        world.read(&key, WITHIN).await;
    }
    let units = &world.near.units;
    units.run_pending_tasks();
    let (count, bytes) = (units.entry_count(), units.weighted_size());
    assert!(count > 10 && bytes <= 10_000, "{count} answers, {bytes} bytes");
    let last = key("999", "k");
    assert!(!world.seen(&last, WITHIN).await.1, "the last used is the last to go");
}

#[tokio::test(start_paused = true)]
async fn what_is_used_all_the_time_stays() {
    let world = World::new(NearConfig::default().capacity(10_000));
    let used = key("used", "k");
    world.put(&used, "kept").await;
    world.read(&used, Demand::Latest).await;
    for number in 0..1_000 {
        let key = key(&number.to_string(), "k");
        world.read(&key, WITHIN).await;
        world.put(&key, &"v".repeat(100)).await;
        world.read(&key, Demand::Latest).await;
        assert_eq!(world.seen(&used, WITHIN).await, (text("kept"), false), "{number}");
        advance(Duration::from_millis(1)).await;
        world.near.units.run_pending_tasks();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_that_is_older_than_it_may_be_kept() {
    let config = NearConfig::default().keep(SECOND).revalidate(SECOND * 10);
    let (world, key) = kept(config).await;
    advance(SECOND).await;
    assert!(!world.seen(&key, WITHIN).await.1);
    advance(Duration::from_millis(1)).await;
    assert!(world.seen(&key, WITHIN).await.1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_hardly_too_old_is_given_while_the_store_is_asked() {
    let (world, key) = kept(NearConfig::default().revalidate(SECOND)).await;
    world.put(&key, "new").await;
    advance(SECOND * 5 / 2).await;
    let hit = world.read(&key, WITHIN).await;
    let reason = StaleReason::Refreshing;
    assert_eq!(hit.freshness, Freshness::Stale { age: SECOND * 5 / 2, reason });
    assert_eq!(value(&hit), text("kept"));
    settle().await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("new"), false));
    advance(SECOND * 4).await;
    assert!(world.seen(&key, WITHIN).await.1, "this one is far too old");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_will_soon_be_too_old_is_asked_for_again() {
    let (world, key) = kept(NearConfig::default().refresh_ahead(true)).await;
    world.put(&key, "new").await;
    advance(SECOND).await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("kept"), false));
    settle().await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("kept"), false), "young enough");
    advance(SECOND * 4 / 5).await;
    assert_eq!(world.seen(&key, WITHIN).await.0, text("kept"));
    settle().await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("new"), false));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_is_asked_for_again_where_that_is_wanted() {
    for wanted in [false, true] {
        let (world, key) = kept(NearConfig::default().refresh_changed(wanted)).await;
        world.put(&key, "new").await;
        world.feed().changed(&key);
        settle().await;
        world.store.out(true);
        let stale = world.stale(&key, SECOND * 10).await.ok().map(|hit| value(&hit).unwrap());
        assert_eq!(stale.as_deref(), wanted.then_some("new"));
    }
}
