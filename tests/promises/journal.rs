//! P9: what waits on this node while the store is out is typed, is saved when the store is back,
//! and is never forced on what others did meanwhile.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast::backend::{
    Backend, Durability, Group, Key, ManualClock, Namespace, ScanRequest, Write,
};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::redb::{Options, RedbBackend};
use steadfast::session::{
    Edit, Ended, JournalConfig, Rotation, Saved, SessionError, SessionId, Unsaved, WhyUnsaved,
};
use steadfast::store::{Freshness, NearConfig, Reads};
use steadfast::{ErrorKind, Principal, Sessions, Store};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::RedisServer;
use tempfile::TempDir;

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, alice, until};

mod own;
mod renewed;
mod unsure;

const KEEP: Duration = Duration::from_secs(300);

type Reports = Arc<Mutex<Vec<Unsaved<Basket>>>>;

/// This node, whose link to the server can be cut, and another one, whose link cannot.
struct World {
    here: Sessions<Basket>,
    there: Sessions<Basket>,
    stores: [Store; 2],
    link: FaultProxy,
    reports: Reports,
    dir: TempDir,
    server: RedisServer,
}

impl World {
    async fn new() -> Self {
        let server = RedisServer::builder().persist().start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let link = FaultProxy::to(server.addr()).await.unwrap();
        let (reports, here) = (Reports::default(), store_at(&link).await);
        let there = steadfast::connect(&server.url()).await.unwrap();
        let there = Store::builder(there).build().unwrap();
        let stores = [here.clone(), there.clone()];
        let here = over(&here, journal(&dir), &reports);
        let there = Sessions::builder(&there).build().unwrap();
        Self { here, there, stores, link, reports, dir, server }
    }

    /// A session that this node has seen.
    async fn seen(&self, name: &str) -> SessionId {
        let (owner, basket) = (Principal::new(name).unwrap(), Basket { items: vec![0] });
        let id = self.there.sign_in(&owner, "Firefox", basket).await.unwrap().id;
        self.until_all_is_heard().await;
        self.here.load(&id).await.unwrap().unwrap();
        id
    }

    /// Until this node has taken in what the server told of earlier writes: it tells in order.
    async fn until_all_is_heard(&self) {
        let [here, there] = &self.stores;
        let key = here.key("marker", &Group::new("all").unwrap(), "marker").unwrap();
        let put = async |item| {
            let put = there.put_write(&key, &Basket { items: vec![item] }).unwrap();
            assert!(there.write(&put).await.unwrap().is_applied());
        };
        let read = async || {
            let read = here.get_as::<Basket>(&key, Reads::within(KEEP)).await.unwrap().unwrap();
            (read.value.items, read.freshness)
        };
        put(1).await;
        let kept = |freshness| matches!(freshness, Freshness::Cached { .. });
        until("the marker is kept", async || kept(read().await.1)).await;
        put(2).await;
        until("the marker is heard of", async || read().await.0 == [2]).await;
    }

    async fn until_stored(&self, id: &SessionId, items: &[u32]) {
        until("the change is saved", async || {
            // The other node was cut off, too, where the server was.
            let session = self.there.load(id).await.ok().flatten();
            session.is_some_and(|session| session.state.items == items)
        })
        .await;
    }

    async fn report(&self) -> Unsaved<Basket> {
        until("it is reported", async || !self.reports.lock().unwrap().is_empty()).await;
        let mut reports = self.reports.lock().unwrap();
        assert_eq!(reports.len(), 1, "once");
        reports.remove(0)
    }
}

fn journal(dir: &TempDir) -> JournalConfig {
    JournalConfig::new(Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap()))
}

async fn store_at(link: &FaultProxy) -> Store {
    let url = format!("redis://{}?timeout=500ms", link.addr());
    let store = Store::builder(steadfast::connect(&url).await.unwrap());
    store.near(near()).build().unwrap()
}

fn near() -> NearConfig {
    NearConfig::default().keep(KEEP)
}

fn over(store: &Store, journal: JournalConfig, reports: &Reports) -> Sessions<Basket> {
    let reports = Arc::clone(reports);
    Sessions::builder(store)
        .reads(Reads::latest().serve_stale(KEEP))
        .journal(journal)
        .on_unsaved(move |unsaved| reports.lock().unwrap().push(unsaved.clone()))
        .build()
        .unwrap()
}

async fn add(sessions: &Sessions<Basket>, id: &SessionId, item: u32) -> Saved<usize> {
    let add = |basket: &mut Basket| {
        basket.items.push(item);
        basket.items.len()
    };
    sessions.update_or_queue(id, add).await.unwrap()
}

/// Whether the journal on this store has anything.
async fn waits(local: &dyn Backend) -> bool {
    let (namespace, limit) = (Namespace::new("app").unwrap(), std::num::NonZeroUsize::MIN);
    let request = ScanRequest { namespace, after: None, limit };
    !local.scan(request).await.unwrap().keys.is_empty()
}

async fn items(sessions: &Sessions<Basket>, id: &SessionId) -> (Vec<u32>, bool) {
    let session = sessions.load(id).await.unwrap().unwrap();
    (session.state.items, session.freshness.is_stale())
}

async fn changes_wait_and_are_saved(go: impl Fn(&World), come: impl Fn(&World)) {
    let world = World::new().await;
    let (id, other) = (world.seen("alice").await, world.seen("bob").await);
    assert!(!add(&world.here, &id, 1).await.is_queued());
    // The server tells of that, too.
    world.until_all_is_heard().await;
    world.here.load(&id).await.unwrap();
    go(&world);
    for item in 2..=4 {
        let saved = add(&world.here, &id, item).await;
        let expected = Saved::Queued { output: 1 + item as usize, durability: Durability::Durable };
        assert_eq!(saved, expected);
    }
    let _queued = add(&world.here, &other, 7).await;
    assert_eq!(items(&world.here, &id).await, (vec![0, 1, 2, 3, 4], true), "its own changes show");
    come(&world);
    let back = Instant::now();
    world.until_stored(&id, &[0, 1, 2, 3, 4]).await;
    world.until_stored(&other, &[0, 7]).await;
    println!("all is saved {:?} after the store is back", back.elapsed());
    // What comes after is made on it, as soon as the breaker trusts the server again.
    until("it goes on", async || {
        let saved = world.here.update_or_queue(&other, |basket| basket.items.push(8)).await;
        saved.is_ok_and(|saved| !saved.is_queued())
    })
    .await;
    let seen = items(&world.there, &other).await.0;
    assert_eq!(seen[..2], [0, 7]);
    assert!(seen.len() > 2 && seen[2..].iter().all(|item| *item == 8), "{seen:?}");
    assert!(world.reports.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_while_the_link_is_cut() {
    changes_wait_and_are_saved(|world| world.link.cut(), |world| world.link.heal()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_while_the_link_is_a_black_hole() {
    changes_wait_and_are_saved(|world| world.link.stall(), |world| world.link.heal()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_while_the_server_stands_still() {
    let come = |world: &World| world.server.resume().unwrap();
    changes_wait_and_are_saved(|world| world.server.pause().unwrap(), come).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_while_the_server_is_killed_and_started_again() {
    let come = |world: &World| world.server.restart().unwrap();
    changes_wait_and_are_saved(|world| world.server.kill().unwrap(), come).await;
}

/// Whoever comes first when the store is back does not have to wait for the background.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_uses_the_session_finds_what_waited() {
    for way in 0..3 {
        let world = World::new().await;
        let id = world.seen("alice").await;
        world.link.cut();
        assert!(add(&world.here, &id, 1).await.is_queued());
        world.link.heal();
        let id = match way {
            0 => {
                until("a fresh read", async || !items(&world.here, &id).await.1).await;
                id
            }
            1 => {
                until("an update", async || {
                    let update = world.here.update(&id, |basket| basket.items.push(2));
                    update.await.is_ok()
                })
                .await;
                id
            }
            _ => {
                let new = OnceCell::new();
                until("another id", async || {
                    let rotated = world.here.rotate(&id, Rotation::PrivilegeChange).await;
                    rotated.is_ok_and(|session| new.set(session.id).is_ok())
                })
                .await;
                new.into_inner().unwrap()
            }
        };
        let (items, _) = items(&world.there, &id).await;
        assert_eq!(items[..2], [0, 1], "way {way}");
        assert!(world.reports.lock().unwrap().is_empty(), "way {way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_saved_can_be_merged_without_the_sessions_id() {
    let world = World::new().await;
    let id = world.seen("alice").await;
    world.link.cut();
    assert!(add(&world.here, &id, 1).await.is_queued());
    world.there.update(&id, |basket| basket.items.push(9)).await.unwrap();
    world.link.heal();
    let report = world.report().await;
    let merge = |now: &mut Basket, ours: &Basket| {
        let new = ours.items.iter().filter(|item| !now.items.contains(item));
        let new: Vec<_> = new.copied().collect();
        now.items.extend(new);
        now.items.clone()
    };
    let changed = world.here.merge_unsaved(&report, merge).await.unwrap();
    assert_eq!(changed.output, [0, 9, 1]);
    let session = world.there.load(&id).await.unwrap().unwrap();
    assert_eq!((session.state.items, session.version), (vec![0, 9, 1], changed.version));
    // A second time it comes out as it was.
    let again = world.here.merge_unsaved(&report, merge).await.unwrap();
    assert_eq!(again.version, changed.version);
    // What the owner has to act by shows nothing of the id.
    assert!(!format!("{report:?}").contains(&id.expose()[..12]));

    let renewal = steadfast::session::Rotation::PrivilegeChange;
    let new = world.there.rotate(&id, renewal).await.unwrap().id;
    let gone = world.here.merge_unsaved(&report, merge).await.unwrap_err();
    assert!(matches!(gone, SessionError::Gone(Ended::RotatedOut)), "{gone}");
    world.there.destroy(&new).await.unwrap();
    world.there.destroy_all(&alice()).await.unwrap();
    assert!(world.here.merge_unsaved(&report, merge).await.is_err());
    assert!(world.there.load(&new).await.unwrap().is_none(), "nothing comes back");
    assert!(world.reports.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_changed_meanwhile_stands_and_ours_is_reported() {
    let world = World::new().await;
    let id = world.seen("alice").await;
    world.link.cut();
    assert!(add(&world.here, &id, 1).await.is_queued());
    world.there.update(&id, |basket| basket.items.push(9)).await.unwrap();
    assert!(add(&world.here, &id, 2).await.is_queued());
    world.link.heal();
    let report = world.report().await;
    assert_eq!(report.why, WhyUnsaved::Changed);
    assert_eq!(report.state.unwrap().items, [0, 1, 2]);
    assert_eq!(report.principal.as_deref(), Some("alice"));
    assert_eq!(items(&world.there, &id).await.0, [0, 9]);
    assert_eq!(items(&world.here, &id).await, (vec![0, 9], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_meanwhile_stays_ended() {
    for (all, why) in [(false, Ended::Missing), (true, Ended::Revoked)] {
        let world = World::new().await;
        let id = world.seen("alice").await;
        world.link.cut();
        assert!(add(&world.here, &id, 1).await.is_queued());
        if all {
            world.there.destroy_all(&alice()).await.unwrap();
            // A new generation of sessions.
            world.there.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap();
        } else {
            world.there.destroy(&id).await.unwrap();
        }
        world.link.heal();
        assert_eq!(world.report().await.why, WhyUnsaved::Ended(why));
        assert!(world.there.load(&id).await.unwrap().is_none());
        let late = world.here.update_or_queue(&id, |basket| basket.items.clear()).await;
        assert!(matches!(late, Err(SessionError::Gone(_))), "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_also_where_reads_are_answered_from_memory() {
    let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
    let here: Sessions<Basket> = Sessions::builder(&store)
        .reads(Reads::within(KEEP).serve_stale(KEEP))
        .journal(journal(&dir))
        .build()
        .unwrap();
    let id = here.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
    here.load(&id).await.unwrap().unwrap();
    faulty.fail_next(&[Fault::Cut; 10_000]);
    assert!(add(&here, &id, 1).await.is_queued());
    assert!(add(&here, &id, 2).await.is_queued());
    assert_eq!(items(&here, &id).await.0, [1, 2], "its own changes show");
    faulty.heal();
    let there = Sessions::<Basket>::builder(&store).build().unwrap();
    until("all is saved", async || {
        let session = there.load(&id).await.ok().flatten();
        session.is_some_and(|session| session.state.items == [1, 2])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_outlives_the_process() {
    let world = World::new().await;
    let id = world.seen("alice").await;
    world.link.cut();
    assert!(add(&world.here, &id, 1).await.is_queued());
    let World { here, there, stores, link, reports, dir, server } = world;
    drop(here);
    // The file is free as soon as nobody has it.
    let path = dir.path().join("journal.redb");
    until("the journal is closed", async || RedbBackend::open(path.as_path()).is_ok()).await;
    link.heal();
    let here = over(&store_at(&link).await, journal(&dir), &reports);
    let world = World { here, there, stores, link, reports, dir, server };
    world.until_stored(&id, &[0, 1]).await;
}

/// Nothing destroyed unread: what this build cannot read stays, and holds up nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_stays_and_holds_up_nothing_else() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let namespace = Namespace::new("app").unwrap().child("v1").unwrap();
    let namespace = namespace.child("journal").unwrap();
    let foreign = Key::new(&namespace, &Group::new("g").unwrap(), "foreign").unwrap();
    let put = Write::put(foreign.clone(), "not of this build");
    assert!(local.write(&put).await.unwrap().is_applied());
    let config = JournalConfig::new(local.clone());
    let here = over(&world.stores[0], config, &world.reports);
    let id = world.seen("alice").await;
    here.load(&id).await.unwrap().unwrap();
    world.link.cut();
    assert!(add(&here, &id, 1).await.is_queued());
    world.link.heal();
    world.until_stored(&id, &[0, 1]).await;
    assert_eq!(local.get(&foreign).await.unwrap().unwrap().value, "not of this build");
}

/// What was cut off may be on the disk all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_cut_off_is_not_in_the_way_of_the_next() {
    let (world, dir) = (World::new().await, tempfile::tempdir().unwrap());
    let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let local = Faulty::new(local);
    let here = over(&world.stores[0], JournalConfig::new(local.clone()), &world.reports);
    let id = world.seen("alice").await;
    here.load(&id).await.unwrap().unwrap();
    world.link.cut();
    local.fail_next(&[Fault::ReplyLost]);
    let cut_off = here.update_or_queue(&id, |basket| basket.items.push(1)).await;
    assert!(cut_off.is_err(), "{cut_off:?}");
    assert!(add(&here, &id, 2).await.is_queued());
    world.link.heal();
    world.until_stored(&id, &[0, 1, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_cut_off_when_it_was_kept_is_saved() {
    let (world, dir) = (World::new().await, tempfile::tempdir().unwrap());
    let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let slow = Faulty::new(local.clone());
    let here = over(&world.stores[0], JournalConfig::new(slow.clone()), &world.reports);
    let id = world.seen("alice").await;
    here.load(&id).await.unwrap().unwrap();
    world.link.cut();
    let held = slow.hold_replies().await;
    tokio::select! {
        early = here.update_or_queue(&id, |basket| basket.items.push(1)) => panic!("{early:?}"),
        () = until("it is on the disk", async || waits(&*local).await) => {}
    }
    drop(held);
    world.link.heal();
    world.until_stored(&id, &[0, 1]).await;
}

/// It was used on another node while a change of it waited on this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waited_ends_no_session_early() {
    const MINUTE: Duration = Duration::from_secs(60);
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at_us(1_700_000_000_000_000));
    let backend = Arc::new(MemoryBackend::with_clock(MemoryConfig::default(), clock.clone()));
    let faulty = Faulty::new(backend.clone());
    let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
    let options = Options { clock: clock.clone(), sweep_every: None };
    let local = RedbBackend::open_with(dir.path().join("journal.redb"), options).unwrap();
    let local = Arc::new(local);
    let here = over(&store, JournalConfig::new(local.clone()), &Reports::default());
    let there = Sessions::<Basket>::builder(&Store::builder(backend).build().unwrap());
    let there = there.build().unwrap();
    let id = here.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
    here.load(&id).await.unwrap().unwrap();
    faulty.fail_next(&[Fault::Cut; 10_000]);
    assert!(add(&here, &id, 1).await.is_queued());
    clock.advance(MINUTE * 20);
    there.load(&id).await.unwrap().unwrap();
    faulty.heal();
    until("the change is saved", async || {
        // A look at the session would be a use, and lengthen its life.
        !waits(&*local).await
    })
    .await;
    clock.advance(MINUTE * 15);
    assert_eq!(items(&there, &id).await.0, [1]);
}

/// Changes of a newer build, say, that nobody can be told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_cannot_be_read_are_not_forgotten() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Text(String, String);
    impl steadfast::State for Text {
        const SCHEMA: u16 = 1;
    }

    let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
    let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let here = over(&store, JournalConfig::new(local.clone()), &Reports::default());
    let id = here.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
    here.load(&id).await.unwrap().unwrap();
    faulty.fail_next(&[Fault::Cut; 10_000]);
    assert!(add(&here, &id, 1).await.is_queued());
    drop(here);
    faulty.heal();
    let there = Sessions::<Basket>::builder(&store).build().unwrap();
    there.update(&id, |basket| basket.items.push(9)).await.unwrap();
    let foreign: Sessions<Text> = Sessions::builder(&store)
        .reads(Reads::latest().serve_stale(KEEP))
        .journal(JournalConfig::new(local.clone()))
        .on_unsaved(|_unreadable| panic!("it cannot be told"))
        .build()
        .unwrap();
    for _look in 0..3 {
        assert_eq!(foreign.load(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert!(waits(&*local).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_takes_no_more_and_keeps_what_it_has() {
    let world = World::new().await;
    for bytes in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let full = journal(&dir);
        let full = if bytes { full.bytes_max(170) } else { full.sessions_max(1) };
        let here = over(&world.stores[0], full, &world.reports);
        let (id, other) = (world.seen("alice").await, world.seen("bob").await);
        for id in [&id, &other] {
            here.load(id).await.unwrap().unwrap();
        }
        world.link.cut();
        assert!(add(&here, &id, 1).await.is_queued());
        let refused = here.update_or_queue(&other, |basket| basket.items.push(1)).await;
        let Err(SessionError::Store(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(add(&here, &id, 2).await.is_queued(), "there is room for more of the same");
        world.link.heal();
        world.until_stored(&id, &[0, 1, 2]).await;
        assert_eq!(items(&world.there, &other).await.0, [0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_too_long_is_not_saved() {
    let world = World::new().await;
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at_us(1_700_000_000_000_000));
    let options = Options { clock: clock.clone(), sweep_every: None };
    let local = RedbBackend::open_with(dir.path().join("journal.redb"), options).unwrap();
    let config = JournalConfig::new(Arc::new(local)).age_max(Duration::from_secs(60));
    let here = over(&world.stores[0], config, &world.reports);
    let id = world.seen("alice").await;
    here.load(&id).await.unwrap().unwrap();
    world.link.cut();
    assert!(add(&here, &id, 1).await.is_queued());
    clock.advance(Duration::from_secs(61));
    world.link.heal();
    let report = world.report().await;
    assert_eq!((report.why, report.state.unwrap().items), (WhyUnsaved::TooOld, vec![0, 1]));
    assert_eq!(items(&world.there, &id).await.0, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_never_seen_here_cannot_wait() {
    let world = World::new().await;
    let id = world.there.sign_in(&alice(), "", Basket { items: vec![] }).await.unwrap().id;
    world.link.cut();
    let refused = world.here.update_or_queue(&id, |basket| basket.items.push(1)).await;
    assert!(
        matches!(&refused, Err(SessionError::Store(error)) if error.is_outage()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_journal_that_cannot_do_its_work_is_refused() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let store = Store::builder(backend.clone()).near(near()).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stale = Reads::latest().serve_stale(KEEP);
    let builder = || Sessions::<Basket>::builder(&store);
    let file = journal(&dir);
    let refusals = [
        (builder().reads(stale).journal(JournalConfig::new(backend)), "outlives its process"),
        (builder().journal(file.clone()), "serve_stale"),
        (builder().reads(stale).journal(file.sessions_max(0)), "sessions_max of a journal"),
    ];
    for (builder, why) in refusals {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why), "{error}");
    }
    let without = builder().build().unwrap();
    let id = without.create(Basket { items: vec![] }).await.unwrap().id;
    let refused = without.update_or_queue(&id, |basket| basket.items.push(1)).await;
    let Err(SessionError::Store(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
