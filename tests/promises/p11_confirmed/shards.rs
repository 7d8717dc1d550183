//! On a Cluster each id of an anonymous session is a key on a shard of its own, and each shard
//! confirms its own writes only.

use std::num::NonZeroUsize;
use std::time::Duration;

use steadfast::backend::{Key, Namespace, ScanRequest};
use steadfast::session::{Mode, Rotation, SessionError, SessionHandle, SessionId};
use steadfast::{Sessions, Store};
use steadfast_conformance::servers::RedisCluster;

use super::error;
use crate::world::Basket;

/// A session's id, and the one that it has now.
type Renewed = [SessionId; 2];

struct Shards {
    cluster: RedisCluster,
    /// Its writes wait for a replica.
    here: Sessions<Basket>,
    /// Its writes wait for nothing.
    there: Sessions<Basket>,
}

impl Shards {
    async fn start() -> Self {
        let cluster = tokio::task::block_in_place(|| RedisCluster::start(2, 1)).unwrap();
        let at = async |options: &str| {
            let url = format!("{}?timeout=4s&lanes=4{options}", cluster.url());
            let store = Store::builder(steadfast::connect(&url).await.unwrap());
            let store = store.deadline(Duration::from_secs(60)).build().unwrap();
            // Longer than the test takes.
            let sessions = Sessions::builder(&store).grace(Duration::from_secs(600));
            sessions.build().unwrap()
        };
        let (here, there) = (at("&durability=replicas:1").await, at("").await);
        Self { cluster, here, there }
    }

    /// A session that was renewed: its old id is on the first shard, its new one on the second.
    async fn renewed(&self) -> Renewed {
        loop {
            let old = self.there.create(Basket::default()).await.unwrap().id;
            let new = self.there.rotate(&old, Rotation::Renewal).await.unwrap().id;
            if self.shard(&old).await == 0 && self.shard(&new).await == 1 {
                return [old, new];
            }
        }
    }

    async fn shard(&self, id: &SessionId) -> usize {
        let shown = format!("{id:?}");
        let is_it = |key: &Key| key.name().get(..8).is_some_and(|short| shown.contains(short));
        let backend = steadfast::connect(&self.cluster.url()).await.unwrap().backend;
        let (namespace, limit) = (Namespace::new("app").unwrap(), NonZeroUsize::MAX);
        let mut after = None;
        loop {
            let request = ScanRequest { namespace: namespace.clone(), after, limit };
            let page = backend.scan(request).await.unwrap();
            if let Some(key) = page.keys.iter().find(|key| is_it(key)) {
                let slot = self.cluster.slot_of(key.as_str()).unwrap();
                return self.cluster.slot_owner(slot).unwrap();
            }
            after = page.next;
            assert!(after.is_some(), "{shown} is not stored");
        }
    }

    /// From now on this shard confirms nothing.
    fn lose(&self, shard: usize) {
        self.cluster.nodes()[2 + shard].kill().unwrap();
    }

    /// Nobody is told that the session ended, however often it is tried.
    async fn assert_not_acknowledged(&self, [by_id, by_request, by_session]: [Renewed; 3]) {
        let request =
            |[old, _]: &Renewed| SessionHandle::new(&self.here, Some(old.clone()), Mode::Normal);
        for _ in ["ends it", "finds it ended"] {
            let after_a_read = async {
                let request = request(&by_session);
                request.get().await.unwrap();
                assert_unsure(request.destroy().await);
            };
            // At once, since each waits for as long as it may.
            tokio::join!(
                async { assert_unsure(self.here.destroy(&by_id[0]).await) },
                async { assert_unsure(request(&by_request).destroy().await) },
                after_a_read,
            );
        }
        for [old, new] in [by_id, by_request, by_session] {
            assert!(self.there.load(&old).await.unwrap().is_none());
            assert!(self.there.load(&new).await.unwrap().is_none());
        }
    }
}

/// On a busy machine the time may be over before the server says that nothing is confirmed.
fn assert_unsure(ended: Result<(), SessionError>) {
    let error = error(ended.unwrap_err());
    assert!(error.is_ambiguous(), "{error}");
}

async fn on_a_shard_that_confirms_nothing(lost: usize) {
    let shards = Shards::start().await;
    let renewed = [shards.renewed().await, shards.renewed().await, shards.renewed().await];
    let confirmed = shards.renewed().await;
    shards.here.destroy(&confirmed[0]).await.unwrap();
    shards.lose(lost);
    shards.assert_not_acknowledged(renewed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_waits_for_the_shard_that_has_the_new_id() {
    on_a_shard_that_confirms_nothing(1).await;
}

/// If the renewal is not confirmed, its old id may come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_waits_for_the_shard_that_has_the_old_id() {
    on_a_shard_that_confirms_nothing(0).await;
}
