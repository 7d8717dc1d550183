//! P11: where the store waits for replicas or disks, no call is acknowledged whose outcome they did
//! not confirm. Neither is its repeat, which finds the outcome there and has nothing left to do.
//!
//! It was lost money: a completion that no replica had was made again, was refused by its own
//! record, and counted as kept; after a failover the key was new, and the payment ran twice.

mod claims;
mod failover;
#[cfg(feature = "poem")]
mod http;
mod journal;
mod records;
mod sessions;
mod shards;

use std::time::Duration;

use steadfast::session::SessionError;
use steadfast::{Error, Store};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::RedisServer;

/// Runs each test of a file on a store that waits for a replica, and on one that waits for a disk.
macro_rules! where_writes_wait {
    ($($test:ident),+ $(,)?) => {
        mod replicas {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::p11_confirmed::World::replicas().await).await;
            })+
        }
        mod disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::p11_confirmed::World::disk().await).await;
            })+
        }
    };
}
use where_writes_wait;

/// The call fails, because what it came to is not confirmed.
macro_rules! unconfirmed {
    ($call:expr) => {
        match $call.await {
            Err(error) => {
                let error = $crate::p11_confirmed::error(error);
                assert_eq!(error.kind(), steadfast::ErrorKind::Unconfirmed, "{error}");
                assert!(error.is_ambiguous(), "{error}");
            }
            Ok(answer) => panic!("{} is acknowledged: {answer:?}", stringify!($call)),
        }
    };
}
use unconfirmed;

fn error(error: impl Into<SessionError>) -> Error {
    match error.into() {
        SessionError::Store(error) => error,
        other => panic!("no error of the store: {other:?}"),
    }
}

/// A server, two ways to it, and what confirms writes.
struct World {
    /// Its writes wait.
    waiting: Store,
    /// Its writes wait for nothing.
    plain: Store,
    link: FaultProxy,
    primary: RedisServer,
    replica: Option<RedisServer>,
}

impl World {
    /// Writes wait for a replica.
    async fn replicas() -> Self {
        let primary = RedisServer::start().unwrap();
        let replica = RedisServer::builder().replica_of(&primary).start().unwrap();
        Self::over(primary, Some(replica), "replicas:1").await
    }

    /// Writes wait for the server's disk. What that says is the link's.
    async fn disk() -> Self {
        Self::over(RedisServer::start().unwrap(), None, "disk").await
    }

    async fn over(primary: RedisServer, replica: Option<RedisServer>, durability: &str) -> Self {
        let link = FaultProxy::to_redis(primary.addr()).await.unwrap();
        let waiting = store(&format!("redis://{}?durability={durability}", link.addr())).await;
        let plain = store(&format!("{}?", primary.url())).await;
        Self { waiting, plain, link, primary, replica }
    }

    /// From now on nothing is confirmed.
    fn lose(&self) {
        if let Some(replica) = &self.replica {
            replica.kill().unwrap();
        }
        self.link.confirm(false);
    }

    /// From now on it is again, what came before too.
    fn find_again(&self) {
        if let Some(replica) = &self.replica {
            replica.restart().unwrap();
        }
        self.link.confirm(true);
    }
}

/// A busy machine is no outage.
async fn store(url: &str) -> Store {
    let opened = steadfast::connect(&format!("{url}&timeout=20s")).await.unwrap();
    Store::builder(opened).deadline(Duration::from_secs(60)).build().unwrap()
}
