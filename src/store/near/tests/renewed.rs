//! What this process wrote is kept, and given while the store is out.

use std::slice::from_ref;

use super::*;
use crate::backend::{Condition, Transacted, Ttl};

const TEN: Duration = Duration::from_secs(10);

/// A world that knows that versions are times, with a session and the record that makes it valid.
async fn session() -> (World, [Key; 2]) {
    let world = World::new(NearConfig::default());
    let keys = [key("g", "session"), key("g", "user")];
    for key in &keys {
        world.put(key, key.name()).await;
    }
    world.near.read(&keys, Demand::Latest, None).await.unwrap();
    (world, keys)
}

async fn transact(world: &World, writes: &[Write]) {
    let own = world.near.writing(writes);
    match world.store.inner.transact(writes).await.unwrap() {
        Transacted::Applied { versions } => world.near.wrote(own, writes, &versions, |_key| true),
        Transacted::Refused { .. } => world.near.refused(own, writes),
    }
}

/// What is given while the store is out, without a question in between.
async fn while_out(world: &World, keys: &[Key]) -> Option<Vec<Option<String>>> {
    world.store.out(true);
    let hit = world.near.read(keys, Demand::Latest, Some(TEN)).await;
    world.store.out(false);
    let text = |entry: Entry| String::from_utf8(entry.value.to_vec()).unwrap();
    hit.ok().map(|hit| hit.entries().map(|entry| entry.map(text)).collect())
}

#[tokio::test(start_paused = true)]
async fn a_write_of_this_process_is_given_while_the_store_is_out() {
    let (world, _) = session().await;
    for name in ["seen-before", "never-read"] {
        let key = key("own", name);
        if name == "seen-before" {
            world.put(&key, "old").await;
            world.read(&key, Demand::Latest).await;
        }
        world.own(Write::put(key.clone(), "new")).await.unwrap();
        assert_eq!(while_out(&world, from_ref(&key)).await, Some(vec![text("new")]), "{name}");
        assert_eq!(world.seen(&key, WITHIN).await, (text("new"), false), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_has_the_times_that_the_store_gives_it() {
    let (world, _) = session().await;
    let key = key("own", "k");
    let ttl = Ttl::new(SECOND * 5).unwrap();
    world.own(Write::put(key.clone(), "v").expiring(ttl)).await.unwrap();
    advance(SECOND).await;
    let kept = world.near.peek(from_ref(&key), WITHIN).unwrap();
    assert_eq!(kept.freshness.age(), SECOND);
    let kept = kept.entry(0).unwrap();
    assert_eq!((kept.age, kept.left), (SECOND, Some(SECOND * 4)));
    let stored = world.store.inner.get(&key).await.unwrap().unwrap();
    assert_eq!(kept.version, stored.version);
    assert!(kept.written_us.abs_diff(stored.written_us) <= STEP_US);
}

#[tokio::test(start_paused = true)]
async fn a_write_with_an_unknown_end_is_not_kept() {
    let (world, [key, _]) = session().await;
    let write = [Write::put(key.clone(), "unknown")];
    let own = world.near.writing(&write);
    assert!(world.store.inner.write(&write[0]).await.unwrap().is_applied());
    drop(own);
    assert_ne!(while_out(&world, &[key]).await, Some(vec![text("unknown")]));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_with_the_record_that_makes_it_valid() {
    let (world, keys) = session().await;
    let user = world.store.inner.get(&keys[1]).await.unwrap().unwrap();
    let check = Write::check(keys[1].clone(), Condition::VersionIs(user.version));
    transact(&world, &[Write::put(keys[0].clone(), "changed"), check]).await;
    let expected = Some(vec![text("changed"), text("user")]);
    assert_eq!(while_out(&world, &keys).await, expected);
    // Both are put.
    let writes = [Write::put(keys[0].clone(), "both"), Write::put(keys[1].clone(), "new")];
    transact(&world, &writes).await;
    assert_eq!(while_out(&world, &keys).await, Some(vec![text("both"), text("new")]));
}

/// Nothing says that the other record is as it was, so the store is asked for both.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_written_alone_is_asked_for_again() {
    let (world, keys) = session().await;
    world.put(&keys[1], "another").await;
    world.own(Write::put(keys[0].clone(), "changed")).await.unwrap();
    assert_eq!(while_out(&world, &keys).await, None);
    world.own(Write::put(keys[0].clone(), "changed")).await.unwrap();
    settle().await;
    assert_eq!(while_out(&world, &keys).await, Some(vec![text("changed"), text("another")]));
}

/// As on Memcached: nobody knows when it was written.
#[tokio::test(start_paused = true)]
async fn where_versions_are_no_times_what_was_written_is_asked_for() {
    let (world, key) = (World::new(NearConfig::default()), key("g", "k"));
    world.own(Write::put(key.clone(), "v")).await.unwrap();
    assert_eq!(world.store.reads(), 0);
    settle().await;
    assert_eq!(world.store.reads(), 1);
    assert_eq!(while_out(&world, &[key]).await, Some(vec![text("v")]));
}

/// Its echo may be the news of somebody else's write.
#[tokio::test(start_paused = true)]
async fn news_of_an_own_write_are_not_trusted_to_be_of_that_one() {
    for echo_first in [false, true] {
        let (world, key) = (session().await.0, key("own", "k"));
        let writes = [Write::put(key.clone(), "own")];
        let own = world.near.writing(&writes);
        let Written::Applied { version } = world.store.inner.write(&writes[0]).await.unwrap()
        else {
            panic!("it is refused")
        };
        world.put(&key, "somebody else's").await;
        if echo_first {
            world.feed().changed(&key);
        }
        world.near.wrote(own, &writes, &[version], |_key| true);
        if !echo_first {
            world.feed().changed(&key);
        }
        assert_eq!(while_out(&world, from_ref(&key)).await, None, "{echo_first}");
        world.own(Write::touch(key.clone(), None)).await.unwrap();
        world.feed().changed(&key);
        settle().await;
        let found = while_out(&world, &[key]).await;
        assert_eq!(found, Some(vec![text("somebody else's")]), "{echo_first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_leaves_what_is_kept_also_when_the_store_tells_of_it() {
    let (world, keys) = session().await;
    for echo_first in [false, true] {
        let touch = [Write::touch(keys[0].clone(), None)];
        let own = world.near.writing(&touch);
        let Written::Applied { version } = world.store.inner.write(&touch[0]).await.unwrap() else {
            panic!("it is refused")
        };
        if echo_first {
            world.feed().changed(&keys[0]);
        }
        world.near.wrote(own, &touch, &[version], |_key| true);
        if !echo_first {
            world.feed().changed(&keys[0]);
        }
        settle().await;
        let expected = Some(vec![text("session"), text("user")]);
        assert_eq!(while_out(&world, &keys).await, expected, "{echo_first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_refused_leaves_the_one_that_won() {
    let (world, [key, _]) = session().await;
    world.read(&key, Demand::Latest).await;
    world.put(&key, "the winner's").await;
    let write = Write::put(key.clone(), "ours").only_if(Condition::Absent);
    world.own(write).await.unwrap();
    settle().await;
    assert_eq!(while_out(&world, &[key]).await, Some(vec![text("the winner's")]));
}

#[tokio::test(start_paused = true)]
async fn a_write_of_one_kind_leaves_the_others_of_its_group() {
    let (world, key) = kept_of("g").await;
    let cart = Key::new(&Namespace::new("cart").unwrap(), &Group::new("g").unwrap(), "k").unwrap();
    world.own(Write::put(cart.clone(), "v")).await.unwrap();
    world.feed().changed(&cart);
    world.near.forget(&cart);
    assert_eq!(world.seen(&key, WITHIN).await, (text("kept"), false));
    assert_eq!(while_out(&world, &[key]).await, Some(vec![text("kept")]));
}

async fn kept_of(group: &str) -> (World, Key) {
    let (world, key) = (World::new(NearConfig::default()), key(group, "k"));
    world.put(&key, "kept").await;
    world.read(&key, Demand::Latest).await;
    (world, key)
}

#[tokio::test(start_paused = true)]
async fn what_a_touch_ends_earlier_is_not_given_beyond_that() {
    let (world, _) = session().await;
    for kept in [Some(SECOND * 3_600), None] {
        let key = key("own", "k");
        let put = Write::put(key.clone(), "v");
        let ttl = |span| Ttl::new(span).unwrap();
        world.own(kept.map_or(put.clone(), |kept| put.expiring(ttl(kept)))).await.unwrap();
        world.read(&key, Demand::Latest).await;
        world.own(Write::touch(key.clone(), Some(ttl(SECOND)))).await.unwrap();
        settle().await;
        advance(SECOND * 2).await;
        assert_eq!(while_out(&world, from_ref(&key)).await.and_then(|kept| kept[0].clone()), None);
    }
}
