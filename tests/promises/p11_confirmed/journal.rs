use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::{Backend, Group, Namespace, ScanRequest};
use steadfast::redb::RedbBackend;
use steadfast::session::{JournalConfig, SessionId};
use steadfast::store::{Freshness, NearConfig, Reads};
use steadfast::{Sessions, Store};

use super::{World, unconfirmed, where_writes_wait};
use crate::world::{ABSOLUTE, Basket, IDLE, alice, sessions, until};

where_writes_wait!(
    a_change_that_could_wait_is_not_acknowledged,
    what_waits_is_kept_until_it_is_confirmed,
);

const KEEP: Duration = Duration::from_secs(300);

/// A node that keeps changes in a journal while the store is out.
struct Node {
    sessions: Sessions<Basket>,
    store: Store,
    journal: Arc<dyn Backend>,
    _dir: tempfile::TempDir,
}

async fn node(world: &World) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Backend> =
        Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let durability = if world.replica.is_some() { "replicas:1" } else { "disk" };
    let url = format!("redis://{}?durability={durability}&timeout=20s", world.link.addr());
    let store = Store::builder(steadfast::connect(&url).await.unwrap());
    let store = store.near(NearConfig::default().keep(KEEP)).build().unwrap();
    let sessions = Sessions::builder(&store).reads(Reads::latest().serve_stale(KEEP));
    // As those of the test, or the first read would move the deadline.
    let sessions = sessions.idle(IDLE).absolute(ABSOLUTE);
    let sessions = sessions.journal(JournalConfig::new(Arc::clone(&journal))).build().unwrap();
    Node { sessions, store, journal, _dir: dir }
}

impl Node {
    /// Reads a session, after it has taken in what the server told of earlier writes: it tells in
    /// order.
    async fn see(&self, id: &SessionId, there: &Store) {
        let key = self.store.key("marker", &Group::new("all").unwrap(), "marker").unwrap();
        let put = async |item| {
            let put = there.put_write(&key, &Basket { items: vec![item] }).unwrap();
            assert!(there.write(&put).await.unwrap().is_applied());
        };
        let read = async || {
            let read = self.store.get_as::<Basket>(&key, Reads::within(KEEP)).await;
            read.unwrap().unwrap()
        };
        put(1).await;
        let is_kept = async || matches!(read().await.freshness, Freshness::Cached { .. });
        until("the marker is kept", is_kept).await;
        put(2).await;
        until("the marker is heard of", async || read().await.value.items == [2]).await;
        self.sessions.load(id).await.unwrap().unwrap();
    }

    async fn waits(&self) -> bool {
        let (namespace, limit) = (Namespace::new("app").unwrap(), NonZeroUsize::MIN);
        let page = self.journal.scan(ScanRequest { namespace, after: None, limit }).await;
        !page.unwrap().keys.is_empty()
    }
}

async fn a_change_that_could_wait_is_not_acknowledged(world: World) {
    let here = node(&world).await;
    let id = sessions(&world.plain).create(Basket::default()).await.unwrap().id;
    world.lose();
    let pay = |basket: &mut Basket| basket.items = vec![1];
    unconfirmed!(here.sessions.update_or_queue(&id, pay));
    unconfirmed!(here.sessions.update_or_queue(&id, pay));
    assert!(!here.waits().await, "it is made, so it does not wait");
}

async fn what_waits_is_kept_until_it_is_confirmed(world: World) {
    let here = node(&world).await;
    let there = sessions(&world.plain);
    let id = there.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    here.see(&id, &world.plain).await;
    world.link.cut();
    let saved = here.sessions.update_or_queue(&id, |basket| basket.items.push(1)).await.unwrap();
    assert!(saved.is_queued());
    world.lose();
    world.link.heal();
    until("it is saved", async || there.load(&id).await.unwrap().unwrap().state.items == [1]).await;
    // The replay finds it there, again and again.
    let calls = || world.primary.calls("evalsha").unwrap();
    let made = calls();
    until("the replay looks at it", async || calls() > made + 3).await;
    assert!(here.waits().await, "a failover may lose what was saved");
    world.find_again();
    until("it is confirmed", async || !here.waits().await).await;
    assert_eq!(there.load(&id).await.unwrap().unwrap().state.items, [1], "once");
}
