//! The servers that keep the same keys: a primary and its replicas.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config::{Address, RedisConfig};
use crate::dial::Role;
use crate::endpoint::Endpoint;
use crate::error::Fault;
use crate::health::Report;
use crate::lane::Progress;
use crate::locate::Locate;
use crate::question::{Answer, Question};
use crate::task::Task;

/// How often the primary is asked for its replicas.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct Shard {
    /// No other shard that is in use has it.
    pub(crate) number: usize,
    pub(crate) primary: Arc<Endpoint>,
    replicas: Arc<Replicas>,
    lookout: Option<Task>,
}

#[derive(Default)]
struct Replicas {
    known: RwLock<Vec<(Address, Arc<Endpoint>)>>,
    turn: AtomicUsize,
}

impl Shard {
    pub(crate) fn start(config: &Arc<RedisConfig>, number: usize, locate: Locate) -> Arc<Self> {
        let primary = Endpoint::start(config, locate, Role::Primary);
        let replicas = Arc::new(Replicas::default());
        let lookout = config.read_from_replicas.then(|| {
            let (config, primary) = (Arc::clone(config), Arc::clone(&primary));
            Task::spawn(look_out(config, primary, Arc::clone(&replicas)))
        });
        Arc::new(Self { number, primary, replicas, lookout })
    }

    /// Asks a replica if there is one to ask, or else the primary.
    pub(crate) async fn read(
        &self,
        question: &Question,
        progress: &Progress,
    ) -> Result<Answer, Fault> {
        if let Some(replica) = self.replicas.next()
            && let Ok(answer) = replica.ask(question, progress).await
        {
            return Ok(answer);
        }
        self.primary.ask(question, progress).await
    }

    /// Gives up all connections.
    pub(crate) fn close(&self) {
        if let Some(lookout) = &self.lookout {
            lookout.end();
        }
        self.primary.close();
        let known = self.replicas.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().for_each(|(_, replica)| replica.close());
    }
}

impl Replicas {
    fn next(&self) -> Option<Arc<Endpoint>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return None;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let turns = (0..known.len()).map(|turn| &known[(first + turn) % known.len()].1);
        turns.into_iter().find(|replica| replica.is_up()).cloned()
    }

    /// Keeps the connections to those that are still there.
    fn are(&self, config: &Arc<RedisConfig>, found: Vec<Address>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(address, _)| found.contains(address));
        for address in found {
            if !known.iter().any(|(known, _)| *known == address) {
                let locate = Locate::At(address.clone());
                known.push((address, Endpoint::start(config, locate, Role::Replica)));
            }
        }
    }
}

async fn look_out(config: Arc<RedisConfig>, primary: Arc<Endpoint>, replicas: Arc<Replicas>) {
    loop {
        // While the primary is away, what was known last is as good as anything.
        let asked = tokio::time::timeout(config.timeout, Report::of(&primary)).await;
        if let Ok(Ok(report)) = asked {
            let addresses = report.replicas.into_iter();
            replicas.are(&config, addresses.map(|it| config.address_map.apply(it)).collect());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
