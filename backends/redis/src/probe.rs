//! What must be known of the servers before the first call.

use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{ErrorKind, Health};

use crate::config::{Acknowledged, RedisConfig};
use crate::dial;
use crate::endpoint::Endpoint;
use crate::error::{Fault, Outcome, Then, nonsense, sound};
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
        invalidations &= tells_of_changes(&shard.primary, config).await?;
        if matches!(config.durability, Acknowledged::OnDisk { .. }) {
            tells_of_disks(&shard.primary).await?;
        }
    }
    let health = Report::health(&reports, config.durability)?;
    Ok(Found { evicts: reports.iter().any(Report::evicts), invalidations, health })
}

/// Not every server that speaks the protocol does.
async fn tells_of_changes(primary: &Endpoint, config: &RedisConfig) -> Outcome<bool> {
    let address = primary.address().ok_or_else(|| {
        Fault::new(ErrorKind::Unavailable, "the connection was lost at once").untouched()
    })?;
    let mut connection = match dial::listening(config, &address, Arc::new(|_push| {})).await {
        Ok(connection) => connection,
        Err(fault) if fault.kind == ErrorKind::Unavailable => return Err(fault),
        // It does not speak RESP3.
        Err(_refused) => return Ok(false),
    };
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg(&["TRACKING", "ON", "BCAST", "PREFIX", "steadfast-probe:"]);
    let answer = connection.send_packed_command(&tracking).await.map_err(Fault::from);
    match answer.and_then(sound) {
        Ok(_on) => Ok(true),
        Err(fault) if fault.then == Then::Replace => Err(fault),
        Err(_refused) => Ok(false),
    }
}

/// Whether the server can say what is on disk: not all can, and not with every setting.
async fn tells_of_disks(primary: &Endpoint) -> Outcome<()> {
    let mut question = redis::pipe();
    question.cmd("WAITAOF").arg(1).arg(0).arg(1);
    let answer = primary.ask_all(&question).await?.into_iter().next().ok_or_else(nonsense)?;
    sound(answer).map(drop).map_err(|_refused| {
        let detail = "the server cannot wait for disks; that takes Redis 7.2, appendonly yes, and \
                      a user that may call WAITAOF";
        Fault::new(ErrorKind::Config, detail).untouched()
    })
}
