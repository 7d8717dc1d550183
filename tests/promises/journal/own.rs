//! What this process wrote itself is what it saw last: it is given while the store is out, and a
//! change of it waits.

use super::*;

/// Until this process has a copy that it gives while the store is out. The link only stands still,
/// so that nothing on its way is lost, and a read that is given up leaves nothing behind.
async fn until_kept(link: &FaultProxy, here: &Sessions<Basket>, id: &SessionId) {
    until("there is a copy", async || {
        link.stall();
        let session = tokio::time::timeout(Duration::from_secs(1), here.load(id)).await;
        link.heal();
        let session = session.ok().and_then(Result::ok).flatten();
        session.is_some_and(|session| session.freshness.is_stale())
    })
    .await;
}

/// It is given as it was written, and the next change waits.
async fn assert_goes_on(here: &Sessions<Basket>, id: &SessionId, written: &[u32]) {
    assert_eq!(items(here, id).await, (written.to_vec(), true));
    assert!(add(here, id, 9).await.is_queued());
    assert_eq!(items(here, id).await, ([written, &[9]].concat(), true));
}

async fn killed_after(change: impl AsyncFn(&Sessions<Basket>) -> (SessionId, Vec<u32>)) {
    for refresh_changed in [false, true] {
        let world = World::new().await;
        let url = format!("redis://{}?timeout=5s", world.link.addr());
        let store = Store::builder(steadfast::connect(&url).await.unwrap());
        let store = store.near(near().refresh_changed(refresh_changed)).build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let here = over(&store, journal(&dir), &world.reports);
        let (id, written) = change(&here).await;
        until_kept(&world.link, &here, &id).await;
        world.server.kill().unwrap();
        assert_goes_on(&here, &id, &written).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_this_process_changed_goes_on_when_the_server_is_killed() {
    killed_after(async |here| {
        let id = here.sign_in(&alice(), "Firefox", Basket { items: vec![0] }).await.unwrap().id;
        here.load(&id).await.unwrap().unwrap();
        assert!(!add(here, &id, 1).await.is_queued());
        (id, vec![0, 1])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_this_process_began_goes_on_when_the_server_is_killed() {
    killed_after(async |here| {
        let basket = Basket { items: vec![0] };
        (here.sign_in(&alice(), "Firefox", basket).await.unwrap().id, vec![0])
    })
    .await;
}

/// Each way to write one, where the store tells no news.
#[tokio::test]
async fn whichever_way_a_session_was_written_it_goes_on() {
    for way in ["create", "sign_in", "sign_in again", "update", "edit", "rotate", "elevate"] {
        let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
        let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let here = over(&store, journal(&dir), &Reports::default());
        let new = || Basket { items: vec![0] };
        let mut written = vec![0];
        let id = match way {
            "create" => here.create(new()).await.unwrap().id,
            _ => here.sign_in(&alice(), "Firefox", new()).await.unwrap().id,
        };
        let id = match way {
            "sign_in again" => here.sign_in(&alice(), "phone", new()).await.unwrap().id,
            "update" => {
                assert!(!add(&here, &id, 1).await.is_queued());
                written.push(1);
                id
            }
            "edit" => {
                here.edit(&id, &Edit::new().set("theme", "dark")).await.unwrap();
                id
            }
            "rotate" => here.rotate(&id, Rotation::Renewal).await.unwrap().id,
            "elevate" => {
                let anonymous = here.create(new()).await.unwrap().id;
                here.elevate(&anonymous, &alice(), "phone").await.unwrap().id
            }
            _ => id,
        };
        // The background may ask for what the write alone does not tell.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        faulty.fail_next(&[Fault::Cut; 10_000]);
        assert_eq!(items(&here, &id).await, (written.clone(), true), "{way}");
        assert_goes_on(&here, &id, &written).await;
    }
}

#[tokio::test]
async fn an_update_is_given_at_once_where_the_store_tells_no_news() {
    let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
    let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let here = over(&store, journal(&dir), &Reports::default());
    let id = here.sign_in(&alice(), "Firefox", Basket { items: vec![0] }).await.unwrap().id;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!add(&here, &id, 1).await.is_queued());
    faulty.fail_next(&[Fault::Cut; 10_000]);
    assert_goes_on(&here, &id, &[0, 1]).await;
}

/// It may have been made, or not: it is not given for what is there.
#[tokio::test]
async fn an_update_with_a_lost_reply_is_not_given() {
    let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
    let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
    let reads = Reads::latest().serve_stale(KEEP);
    let here = Sessions::<Basket>::builder(&store).reads(reads).build().unwrap();
    let id = here.sign_in(&alice(), "Firefox", Basket { items: vec![0] }).await.unwrap().id;
    here.load(&id).await.unwrap().unwrap();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    // The read of the update, its write, and all after that.
    faulty.fail_after(1, Fault::ReplyLost);
    let cut: Vec<_> = std::iter::repeat_n(Fault::Cut, 100).collect();
    let updated = here.update(&id, |basket| basket.items.push(1)).await;
    faulty.fail_next(&cut);
    let found = here.load(&id).await.ok().flatten();
    match updated {
        Ok(_settled) => assert!(found.is_none_or(|session| session.state.items == [0, 1])),
        Err(_unknown) => assert!(found.is_none_or(|session| session.state.items == [0])),
    }
}
