//! P8: a cached read is never older than the bound the caller set, and says how old it is. Here
//! between two processes on one Redis; the near cache's own tests have every interleaving.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast::backend::{Backend, Group, Key, Transacted, Transactions, Written};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::session::{Mode, Rotation, SessionHandle};
use steadfast::store::{Freshness, NearConfig, Reads};
use steadfast::{ErrorKind, Principal, Sessions, Store};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::{MemcachedServer, RedisServer};

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, alice, until};

const BOUND: Duration = Duration::from_secs(2);
const KEEP: Duration = Duration::from_secs(60);

async fn store(url: &str) -> Store {
    let near = NearConfig::default().keep(KEEP).refresh_changed(true);
    Store::builder(steadfast::connect(url).await.unwrap()).near(near).build().unwrap()
}

/// For servers that no fault befalls: a busy machine may make them slow.
fn patient(url: &str) -> String {
    format!("{url}?timeout=20s")
}

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::new(MemoryConfig::default()))
}

fn key(store: &Store) -> Key {
    store.key("flag", &Group::new("all").unwrap(), "dark-mode").unwrap()
}

async fn put(store: &Store, items: &[u32]) {
    let basket = Basket { items: items.to_vec() };
    let written = store.write(&store.put_write(&key(store), &basket).unwrap()).await.unwrap();
    assert!(matches!(written, Written::Applied { .. }));
}

async fn read(store: &Store, reads: Reads) -> (Vec<u32>, Freshness) {
    let record = store.get_as::<Basket>(&key(store), reads).await.unwrap().unwrap();
    (record.value.items, record.freshness)
}

async fn until_seen(store: &Store, reads: Reads, items: &[u32]) {
    until("it is seen", async || read(store, reads).await.0 == items).await;
}

/// Reads until an answer comes from memory.
async fn until_kept(store: &Store, reads: Reads) {
    let kept = |freshness| matches!(freshness, Freshness::Cached { .. });
    until("it is kept", async || kept(read(store, reads).await.1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_one_process_is_soon_seen_by_the_other_where_the_store_tells() {
    let server = RedisServer::start().unwrap();
    let (one, other) = (store(&patient(&server.url())).await, store(&patient(&server.url())).await);
    put(&one, &[0]).await;
    // Longer than anything here takes: it is seen because the store tells.
    let reads = Reads::within(KEEP);
    let mut took = Vec::new();
    for number in 1..=50 {
        until_kept(&other, reads).await;
        put(&one, &[number]).await;
        let written = Instant::now();
        until_seen(&other, reads, &[number]).await;
        took.push(written.elapsed());
    }
    took.sort_unstable();
    println!("seen after {:?} (median), {:?} (most)", took[25], took[49]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_store_tells_nothing_the_bound_holds() {
    let server = MemcachedServer::start().unwrap();
    let (one, other) = (store(&patient(&server.url())).await, store(&patient(&server.url())).await);
    put(&one, &[1]).await;
    read(&other, Reads::within(BOUND)).await;
    let asked = Instant::now();
    put(&one, &[2]).await;
    let mut cached = 0;
    loop {
        let begun = asked.elapsed();
        let (items, freshness) = read(&other, Reads::within(BOUND)).await;
        assert!(freshness.age() <= BOUND);
        if items == [2] {
            break;
        }
        cached += 1;
        assert!(begun <= BOUND, "it is older than the bound");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(cached > 0, "no answer from memory");
}

/// Nobody tells it but the write itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_this_process_is_seen_at_once_where_the_store_tells_nothing() {
    let server = MemcachedServer::start().unwrap();
    for url in [patient(&server.url()), "memory:".to_owned()] {
        let store = store(&url).await;
        let key = key(&store);
        let reads = Reads::within(BOUND * 10);
        for number in 0..3 {
            put(&store, &[number]).await;
            assert_eq!(read(&store, reads).await.0, [number], "a put");
        }
        let push = |basket: &mut Option<Basket>| basket.get_or_insert_default().items.push(7);
        store.update(&key, None, push).await.unwrap();
        assert_eq!(read(&store, reads).await.0, [2, 7], "an update");
        if store.info().capabilities.transactions > Transactions::None {
            let basket = Basket { items: vec![8] };
            let put = store.put_write(&key, &basket).unwrap();
            assert!(matches!(store.transact(&[put]).await.unwrap(), Transacted::Applied { .. }));
            assert_eq!(read(&store, reads).await.0, [8], "a transaction");
        }
        store.delete(&key).await.unwrap();
        assert!(store.get_as::<Basket>(&key, reads).await.unwrap().is_none(), "a delete");
    }
}

/// Nothing tells this process that it is told nothing any more, but the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_link_black_holed_the_bound_still_holds() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::to(server.addr()).await.unwrap();
    let one = store(&patient(&server.url())).await;
    let cut_off = store(&format!("redis://{}?timeout=1s", proxy.addr())).await;
    put(&one, &[1]).await;
    until_kept(&cut_off, Reads::within(BOUND)).await;
    proxy.stall();
    let stalled = Instant::now();
    put(&one, &[2]).await;
    let reads = Reads::within(BOUND);
    loop {
        let begun = stalled.elapsed();
        let answer = cut_off.get_as::<Basket>(&key(&cut_off), reads).await;
        match answer {
            // It may be as old as the bound.
            Ok(record) => {
                assert_eq!(record.unwrap().value.items, [1]);
                assert!(begun <= BOUND, "over the bound");
            }
            Err(error) => {
                assert!(error.is_outage(), "{error:?}");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Asked for, it is given all the same, and says what it is.
    let stale = reads.serve_stale(KEEP);
    let (items, freshness) = read(&cut_off, stale).await;
    assert!(items == [1] && freshness.is_stale() && freshness.age() >= BOUND, "{freshness:?}");
    proxy.heal();
    until("it is reached again", async || cut_off.check().await.is_ok()).await;
    // A server that is back may be tried only a moment later.
    until_seen(&cut_off, reads.serve_stale(KEEP), &[2]).await;
}

/// "Revocation always wins": on the process that did it at once, on the other as soon as it hears.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_is_not_served_from_memory() {
    let server = RedisServer::start().unwrap();
    let build = |store: &Store| {
        let reads = Reads::within(BOUND).serve_stale(KEEP);
        Sessions::<Basket>::builder(store).reads(reads).build().unwrap()
    };
    let stores = [store(&patient(&server.url())).await, store(&patient(&server.url())).await];
    let [here, there] = stores.each_ref().map(build);
    for everywhere in [false, true] {
        let id = here.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
        for sessions in [&here, &there] {
            assert!(sessions.load(&id).await.unwrap().is_some());
        }
        if everywhere {
            here.destroy_all(&alice()).await.unwrap();
        } else {
            here.destroy(&id).await.unwrap();
        }
        assert!(here.load(&id).await.unwrap().is_none());
        let ended = Instant::now();
        loop {
            let begun = ended.elapsed();
            if there.load(&id).await.unwrap().is_none() {
                break;
            }
            assert!(begun <= BOUND, "it is served for longer than the bound");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Nobody can tell whether it ended, but somebody wanted it to.
#[tokio::test]
async fn a_session_that_could_not_be_ended_is_not_served_from_memory() {
    let faulty = Faulty::new(memory());
    let near = NearConfig::default().keep(KEEP);
    let store = Store::builder(faulty.clone()).attempts(1).near(near).build().unwrap();
    let reads = Reads::latest().serve_stale(KEEP);
    let sessions = Sessions::<Basket>::builder(&store).reads(reads).build().unwrap();
    let alice = alice();
    for by_device in [false, true] {
        let id = sessions.sign_in(&alice, "laptop", Basket::default()).await.unwrap().id;
        let device = sessions.devices(&alice, Some(&id)).await.unwrap().remove(0);
        assert!(sessions.load(&id).await.unwrap().is_some());
        faulty.fail_next(&[Fault::Cut; 10_000]);
        let kept = sessions.load(&id).await.unwrap().unwrap();
        assert!(kept.freshness.is_stale());
        let failed = if by_device {
            sessions.destroy_device(&alice, &device.short_id).await.is_err()
        } else {
            sessions.destroy(&id).await.is_err()
        };
        assert!(failed);
        let error = sessions.load(&id).await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
        faulty.heal();
        sessions.destroy(&id).await.unwrap();
    }
}

/// Each id of an anonymous session is in a group of its own.
#[tokio::test]
async fn a_session_that_could_not_be_ended_by_an_old_id_is_not_served_from_memory() {
    let faulty = Faulty::new(memory());
    let near = NearConfig::default().keep(Duration::from_secs(60));
    let store = Store::builder(faulty.clone()).attempts(1).near(near).build().unwrap();
    let reads = Reads::latest().serve_stale(Duration::from_secs(60));
    let sessions = Sessions::<Basket>::builder(&store).reads(reads).build().unwrap();
    for way in ["by id", "by request", "by request with several ids"] {
        let first = sessions.create(Basket::default()).await.unwrap().id;
        let second = sessions.rotate(&first, Rotation::Renewal).await.unwrap().id;
        let third = sessions.rotate(&second, Rotation::Renewal).await.unwrap().id;
        let other = sessions.create(Basket::default()).await.unwrap().id;
        assert_eq!(sessions.load(&first).await.unwrap().unwrap().id, third);
        faulty.fail_next(&[Fault::Cut; 10_000]);
        assert!(sessions.load(&third).await.unwrap().unwrap().freshness.is_stale(), "{way}");
        let given =
            if way == "by request" { vec![first.clone()] } else { vec![other, first.clone()] };
        let request = SessionHandle::of_several(&sessions, given, Mode::Normal);
        let ended = match way {
            "by id" => sessions.destroy(&first).await,
            _ => request.destroy().await,
        };
        assert!(ended.is_err(), "{way}");
        for id in [&first, &second, &third] {
            let error = sessions.load(id).await.unwrap_err();
            assert!(error.is_outage(), "{way}: {error:?}");
        }
        faulty.heal();
        sessions.destroy(&first).await.unwrap();
    }
}

/// Others ended it, and nobody told this process: it sees so when it wants to end it itself.
#[tokio::test]
async fn a_session_that_was_found_ended_is_not_served_from_memory() {
    let backend = memory();
    let near = NearConfig::default().keep(KEEP);
    let store = Store::builder(backend.clone()).near(near).build().unwrap();
    let reads = Reads::within(KEEP);
    let here = Sessions::<Basket>::builder(&store).reads(reads).build().unwrap();
    let there = Store::builder(backend).build().unwrap();
    let there = Sessions::<Basket>::builder(&there).build().unwrap();
    let id = here.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    assert!(here.load(&id).await.unwrap().is_some());
    there.destroy(&id).await.unwrap();
    assert!(here.load(&id).await.unwrap().is_some(), "it may be as old as that");
    here.destroy(&id).await.unwrap();
    assert!(here.load(&id).await.unwrap().is_none());
}

/// Others changed it, and this process was told so by a read that is not answered from memory.
#[tokio::test]
async fn what_this_process_has_read_is_not_followed_by_what_was_before() {
    let backend = memory();
    let near = NearConfig::default().keep(KEEP);
    let here = Store::builder(backend.clone()).near(near).build().unwrap();
    let there = Store::builder(backend).build().unwrap();
    let reads = Reads::within(KEEP);
    put(&there, &[1]).await;
    assert_eq!(read(&here, reads).await.0, [1]);
    put(&there, &[2]).await;
    assert_eq!(read(&here, reads).await.0, [1], "it may be as old as that");
    let latest = here.get::<Basket>(&key(&here)).await.unwrap().unwrap();
    assert_eq!(latest.value.items, [2]);
    assert_eq!(read(&here, reads).await.0, [2]);
    let sessions = |store: &Store, reads| Sessions::<Basket>::builder(store).reads(reads).build();
    let there = sessions(&there, Reads::latest()).unwrap();
    let here = sessions(&here, reads).unwrap();
    let id = there.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    assert!(here.load(&id).await.unwrap().is_some());
    there.destroy(&id).await.unwrap();
    // It reads several records at once.
    assert!(here.rotate(&id, Rotation::Renewal).await.is_err());
    assert!(here.load(&id).await.unwrap().is_none());
}

/// A cart and a session of one user have nothing in common but the user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_another_kind_leaves_the_session_of_its_user_on_every_replica() {
    let server = RedisServer::start().unwrap();
    let near = NearConfig::default().keep(KEEP);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let url = format!("{}?timeout=5s", server.url());
        let store = Store::builder(steadfast::connect(&url).await.unwrap());
        let store = store.near(near).build().unwrap();
        let reads = Reads::latest().serve_stale(KEEP);
        let sessions = Sessions::<Basket>::builder(&store).reads(reads).build().unwrap();
        replicas.push((store, sessions));
    }
    let mut ids = Vec::new();
    for name in ["alice", "bob"] {
        let owner = Principal::new(name).unwrap();
        let session = replicas[0].1.sign_in(&owner, "laptop", Basket::default()).await.unwrap();
        ids.push(session.id);
    }
    // A session's group is its user's.
    let cart =
        replicas[0].0.key("cart", &Principal::new("alice").unwrap().group(), "cart").unwrap();
    let put = async |items: &[u32]| {
        let (store, basket) = (&replicas[1].0, Basket { items: items.to_vec() });
        assert!(store.write(&store.put_write(&cart, &basket).unwrap()).await.unwrap().is_applied());
    };
    put(&[1]).await;
    for (store, sessions) in &replicas {
        until("the cart is kept", async || {
            let cart = store.get_as::<Basket>(&cart, Reads::within(KEEP)).await.unwrap().unwrap();
            matches!(cart.freshness, Freshness::Cached { .. })
        })
        .await;
        for id in &ids {
            assert!(sessions.load(id).await.unwrap().is_some());
        }
    }
    put(&[2]).await;
    for (store, _) in &replicas {
        until("the cart's change is heard of", async || {
            let cart = store.get_as::<Basket>(&cart, Reads::within(KEEP)).await.unwrap().unwrap();
            cart.value.items == [2]
        })
        .await;
    }
    server.kill().unwrap();
    for (number, (_, sessions)) in replicas.iter().enumerate() {
        for id in &ids {
            let session = sessions.load(id).await.unwrap().unwrap();
            assert!(session.freshness.is_stale(), "replica {number}");
        }
    }
}

#[tokio::test]
async fn reads_that_the_near_cache_cannot_serve_are_refused() {
    let backend = || async { steadfast::connect("memory:").await.unwrap() };
    let without = Store::builder(backend().await).build().unwrap();
    let near = NearConfig::default().keep(BOUND / 2);
    let with = Store::builder(backend().await).near(near).build().unwrap();
    for store in [without, with] {
        for reads in [Reads::within(BOUND), Reads::latest().serve_stale(BOUND)] {
            let built = Sessions::<Basket>::builder(&store).reads(reads).build().map(drop);
            let read = store.get_as::<Basket>(&key(&store), reads).await.map(drop);
            for refused in [built, read, store.check_reads(reads)] {
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid);
                assert!(error.to_string().contains("StoreBuilder::near"), "{error}");
            }
        }
        assert!(store.check_reads(Reads::latest()).is_ok());
        assert!(store.get_as::<Basket>(&key(&store), Reads::latest()).await.is_ok());
    }
}
