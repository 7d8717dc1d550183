//! What must be known of the servers before the first call.

use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{ErrorKind, Health};

use crate::config::RedisConfig;
use crate::dial;
use crate::endpoint::Endpoint;
use crate::error::{Fault, Outcome, sound};
use crate::health::Report;
use crate::router::Router;

/// How often a server that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct Found {
    pub(crate) evicts: bool,
    pub(crate) invalidations: bool,
    pub(crate) health: Health,
}

/// Waits until every primary answers: a server that is just starting is given the time to.
pub(crate) async fn servers(router: &Router, config: &Arc<RedisConfig>) -> Outcome<Found> {
    let time = config.connect_timeout + config.timeout;
    match tokio::time::timeout(time, look(router, config)).await {
        Ok(found) => found,
        Err(_elapsed) => Err(router.trouble().unwrap_or_else(|| {
            let detail = format!("no answer within {time:?}; check the address, and TLS or not");
            Fault::new(ErrorKind::Timeout, detail).untouched()
        })),
    }
}

async fn look(router: &Router, config: &Arc<RedisConfig>) -> Outcome<Found> {
    router.ready().await;
    loop {
        match look_once(router, config).await {
            Err(fault) if matches!(fault.kind, ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            found => return found,
        }
    }
}

async fn look_once(router: &Router, config: &Arc<RedisConfig>) -> Outcome<Found> {
    let (shards, _map) = router.primaries();
    let mut reports = Vec::with_capacity(shards.len());
    let mut invalidations = true;
    for shard in &shards {
        reports.push(Report::of(&shard.primary).await?);
        invalidations &= tells_of_changes(&shard.primary, config).await;
    }
    let health = Report::health(&reports, config.durability)?;
    Ok(Found { evicts: reports.iter().any(Report::evicts), invalidations, health })
}

/// Not every server that speaks the protocol does.
async fn tells_of_changes(primary: &Endpoint, config: &RedisConfig) -> bool {
    let Some(address) = primary.address() else { return false };
    let Ok(mut connection) = dial::listening(config, &address, Arc::new(|_push| {})).await else {
        return false;
    };
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg(&["TRACKING", "ON", "BCAST", "PREFIX", "steadfast-probe:"]);
    let answer = connection.send_packed_command(&tracking).await;
    answer.map_err(Fault::from).and_then(sound).is_ok()
}
