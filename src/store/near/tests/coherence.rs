//! What is served, and for how long.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_until_it_is_too_old() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "old").await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("old"), true));
    world.put(&key, "new").await;
    advance(SECOND * 2).await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("old"), false));
    let hit = world.read(&key, WITHIN).await;
    assert_eq!(hit.freshness, Freshness::Cached { age: SECOND * 2 });
    advance(Duration::from_millis(1)).await;
    assert_eq!(world.seen(&key, WITHIN).await, (text("new"), true));
    assert_eq!(world.read(&key, Demand::Latest).await.freshness, Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn the_latest_is_always_asked_for_and_keeps_what_it_got() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "1").await;
    assert_eq!(world.seen(&key, Demand::Latest).await, (text("1"), true));
    world.put(&key, "2").await;
    assert_eq!(world.seen(&key, Demand::Latest).await, (text("2"), true));
    assert_eq!(world.seen(&key, WITHIN).await, (text("2"), false));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_tells_is_forgotten_at_once() {
    let (world, other) = (World::new(NearConfig::default()), key("other", "k"));
    let key = key("g", "k");
    let feed = world.feed();
    world.put(&other, "other").await;
    for number in 0..3 {
        world.put(&key, &number.to_string()).await;
        feed.changed(&key);
        assert_eq!(world.seen(&key, WITHIN).await, (text(&number.to_string()), true));
        world.read(&other, WITHIN).await;
    }
    assert_eq!(world.seen(&other, WITHIN).await, (text("other"), false));
    feed.everything();
    assert_eq!(world.seen(&other, WITHIN).await, (text("other"), true));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_proves_that_it_told_everything_an_answer_stays_young() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    world.read(&key, WITHIN).await;
    let feed = world.feed();
    for _ in 0..10 {
        advance(SECOND).await;
        feed.told_until(Instant::now().into_std());
        advance(SECOND / 2).await;
        let hit = world.read(&key, WITHIN).await;
        assert_eq!(hit.freshness, Freshness::Cached { age: SECOND / 2 });
    }
    // The link is silent.
    advance(SECOND * 2).await;
    assert!(world.seen(&key, WITHIN).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_proof_from_before_the_link_was_lost_proves_nothing() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "v").await;
    let feed = world.feed();
    feed.told_until((Instant::now() + SECOND * 3).into_std());
    feed.everything();
    world.read(&key, WITHIN).await;
    advance(SECOND * 2 + Duration::from_millis(1)).await;
    assert!(world.seen(&key, WITHIN).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_this_process_is_seen_at_once() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    for number in 0..3 {
        let number = number.to_string();
        world.own(Write::put(key.clone(), number.clone())).await.unwrap();
        assert_eq!(world.seen(&key, WITHIN).await.0, text(&number));
    }
    world.own(Write::delete(key.clone())).await.unwrap();
    assert_eq!(world.seen(&key, WITHIN).await.0, None);
}

#[tokio::test(start_paused = true)]
async fn news_that_come_between_a_question_and_its_answer_are_not_lost() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    for news in 0..3 {
        world.put(&key, "old").await;
        world.store.hold();
        let slow = world.begin_read(&key);
        tokio::task::yield_now().await;
        world.until_asked(1).await;
        world.put(&key, "new").await;
        match news {
            0 => world.feed().changed(&key),
            1 => world.feed().everything(),
            _ => world.own(Write::put(key.clone(), "new")).await.unwrap(),
        }
        world.store.answers.add_permits(1_000);
        slow.await.unwrap().unwrap();
        assert_eq!(world.seen(&key, WITHIN).await.0, text("new"), "news {news}");
        world.feed().everything();
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_news_does_not_get_an_answer_from_before_them() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.put(&key, "old").await;
    world.store.hold();
    let read = || world.begin_read(&key);
    let early = read();
    world.until_asked(1).await;
    world.put(&key, "new").await;
    world.feed().changed(&key);
    let late = read();
    world.until_asked(2).await;
    world.store.answers.add_permits(2);
    assert_eq!((joined(early).await, joined(late).await), (text("old"), text("new")));
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_past_the_cache_is_not_followed_by_what_was_before() {
    let (world, key, mate) = (World::new(NearConfig::default()), key("g", "k"), key("g", "mate"));
    world.put(&key, "old").await;
    world.put(&mate, "mate").await;
    let keys = [key.clone(), mate.clone()];
    for together in [false, true] {
        let asked = if together { &keys[..] } else { &keys[..1] };
        let read = || world.near.read(asked, WITHIN, Some(SECOND * 10));
        read().await.unwrap();
        assert_eq!(world.past(&key).await, value(&read().await.unwrap()));
        assert!(world.near.peek(asked, WITHIN).is_some(), "it is the same");
        world.put(&key, "new").await;
        assert_eq!(world.past(&key).await, text("new"));
        assert!(world.near.peek(asked, WITHIN).is_none());
        world.store.out(true);
        assert!(read().await.unwrap_err().is_outage(), "nor while the store is out");
        world.store.out(false);
        assert_eq!(value(&read().await.unwrap()), text("new"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_what_was_seen_past_the_cache_is_neither_kept_nor_joined() {
    for joins in [false, true] {
        let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
        world.put(&key, "old").await;
        world.store.hold();
        let read = || world.begin_read(&key);
        let early = read();
        world.until_asked(1).await;
        world.put(&key, "new").await;
        assert_eq!(world.past(&key).await, text("new"));
        let late = joins.then(read);
        tokio::task::yield_now().await;
        world.store.answers.add_permits(3);
        assert_eq!(joined(early).await, text("old"));
        if let Some(late) = late {
            assert_eq!(joined(late).await, text("new"), "joined");
        }
        assert_eq!(world.seen(&key, WITHIN).await.0, text("new"), "kept");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_not_served_after_its_deadline_and_its_times_go_on() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    let ttl = crate::backend::Ttl::new(SECOND).unwrap();
    let put = Write::put(key.clone(), "v").expiring(ttl);
    assert!(world.store.inner.write(&put).await.unwrap().is_applied());
    let left = world.read(&key, WITHIN).await.entry(0).unwrap().left.unwrap();
    advance(SECOND / 2).await;
    let hit = world.read(&key, WITHIN).await;
    let entry = hit.entry(0).unwrap();
    assert!(hit.freshness.age() == SECOND / 2 && entry.age >= SECOND / 2);
    assert_eq!(entry.left.unwrap() + SECOND / 2, left);
    advance(SECOND / 2).await;
    assert!(world.seen(&key, WITHIN).await.1, "over");
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_together_is_used_together() {
    let world = World::new(NearConfig::default());
    let keys = [key("g", "session"), key("g", "user")];
    for key in &keys {
        world.put(key, key.name()).await;
    }
    world.near.read(&keys, WITHIN, None).await.unwrap();
    let hit = world.near.peek(&keys, WITHIN).unwrap();
    let values: Vec<_> = hit.entries().map(|entry| entry.unwrap().value).collect();
    assert_eq!(values, ["session", "user"]);
    assert!(world.near.peek(&keys[..1], WITHIN).is_none(), "another question");
    world.feed().changed(&keys[1]);
    assert!(world.near.peek(&keys, WITHIN).is_none(), "one of them was changed");
}
