//! Which servers there are, and which of them a key belongs to.

use std::sync::Arc;

use steadfast_backend::Key;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::config::{RedisConfig, Servers};
use crate::error::{Fault, Then, a_cluster};
use crate::lane::Progress;
use crate::locate::Locate;
use crate::question::{Answer, Question};
use crate::shard::Shard;
use crate::slots::slot;

pub(crate) enum Router {
    One(Arc<Shard>),
    Many(Cluster),
}

impl Router {
    pub(crate) fn start(config: &Arc<RedisConfig>) -> Self {
        match &config.servers {
            Servers::Single(address) => {
                Self::One(Shard::start(config, 0, Locate::At(address.clone())))
            }
            Servers::Sentinel { sentinels, primary, login } => {
                let locate = Locate::by_sentinels(sentinels, primary, login);
                Self::One(Shard::start(config, 0, locate))
            }
            Servers::Cluster(seeds) => Self::Many(Cluster::start(config, seeds)),
        }
    }

    /// Until it is known which servers there are, or why that cannot be found out.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        match self {
            Self::One(_) => Ok(()),
            Self::Many(cluster) => cluster.ready().await,
        }
    }

    /// Asks the primary that a key belongs to. Tells which one answered.
    pub(crate) async fn ask(
        &self,
        key: &Key,
        question: &Question,
        progress: &Progress,
    ) -> Result<(Answer, Arc<Shard>), Fault> {
        match self {
            Self::One(shard) => {
                let answer = shard.primary.ask(question, progress).await;
                Ok((answer.map_err(alone)?, Arc::clone(shard)))
            }
            Self::Many(cluster) => cluster.ask(slot(key), question, progress).await,
        }
    }

    /// The same of a replica, if reads may go there and there is one.
    pub(crate) async fn read(
        &self,
        key: &Key,
        question: &Question,
        progress: &Progress,
    ) -> Result<(Answer, Arc<Shard>), Fault> {
        match self {
            Self::One(shard) => {
                let answer = shard.read(question, progress).await;
                Ok((answer.map_err(alone)?, Arc::clone(shard)))
            }
            Self::Many(cluster) => cluster.read(slot(key), question, progress).await,
        }
    }

    /// The number of the shard that a key belongs to.
    pub(crate) fn endpoint(&self, key: &Key) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(cluster) => cluster.endpoint(slot(key)),
        }
    }

    /// What must be asked for together: `None` where one server keeps everything.
    pub(crate) fn place(&self, key: &Key) -> Option<u16> {
        match self {
            Self::One(_) => None,
            Self::Many(_) => Some(slot(key)),
        }
    }

    /// All primaries, and a number that changes with them.
    pub(crate) fn primaries(&self) -> (Vec<Arc<Shard>>, u64) {
        match self {
            Self::One(shard) => (vec![Arc::clone(shard)], 0),
            Self::Many(cluster) => cluster.primaries(),
        }
    }

    /// Changes with every new set of primaries; `None` if that never does.
    pub(crate) fn maps(&self) -> Option<watch::Receiver<u64>> {
        match self {
            Self::One(_) => None,
            Self::Many(cluster) => Some(cluster.maps()),
        }
    }

    /// Until when the primaries of this map are known to have been all, if it is not longer than
    /// this; `None` if it is not known.
    pub(crate) fn confirmed(
        &self,
        map: u64,
        at_most: std::time::Instant,
    ) -> Option<std::time::Instant> {
        match self {
            Self::One(_) => Some(at_most),
            Self::Many(cluster) => Some(cluster.confirmed(map)?.min(at_most)),
        }
    }

    /// Gives up all connections.
    pub(crate) fn close(&self) {
        match self {
            Self::One(shard) => shard.close(),
            Self::Many(cluster) => cluster.close(),
        }
    }
}

/// A single server has nobody to send its callers to.
fn alone(fault: Fault) -> Fault {
    match fault.then {
        Then::Moved(_) | Then::Ask(_) => a_cluster(),
        _ => fault,
    }
}
