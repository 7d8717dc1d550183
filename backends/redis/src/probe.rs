//! What must be known of the servers before the first call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use steadfast_backend::{ErrorKind, Health, Start};
use tokio::time::{Instant, timeout_at};

use crate::config::{Acknowledged, RedisConfig, Servers};
use crate::dial;
use crate::endpoint::Endpoint;
use crate::error::{Fault, Outcome, Then, nonsense, sound};
use crate::health::Report;
use crate::router::Router;
use crate::shard::Shard;

/// How often a server that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) evicts: bool,
    pub(crate) invalidations: bool,
    pub(crate) warnings: Vec<String>,
}

/// Waits until the servers answer: one that is just starting is given the time to.
pub(crate) async fn servers(router: &Router, config: &Arc<RedisConfig>) -> Outcome<Found> {
    let time = match config.start {
        Start::Within(time) => time,
        _ => one_look(config),
    };
    let deadline = Instant::now() + time;
    let mut last: Option<Fault> = None;
    loop {
        match look(router, config, deadline).await {
            Err(fault) if fault.is_outage() => {
                // Whoever was cut short by the deadline knows less than those before.
                if last.is_none() || fault.kind != ErrorKind::Timeout {
                    last = Some(fault);
                }
            }
            found => return found,
        }
        if let Some(fault) = last.take_if(|_fault| Instant::now() + LOOK_AGAIN >= deadline) {
            return Err(fault);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// About how long it takes to connect and to ask.
fn one_look(config: &RedisConfig) -> Duration {
    config.connect_timeout + config.timeout
}

/// Asks all primaries once. Of several, those that are there are enough.
pub(crate) async fn look(
    router: &Router,
    config: &Arc<RedisConfig>,
    deadline: Instant,
) -> Outcome<Found> {
    let deadline = deadline.min(Instant::now() + one_look(config));
    let ready = timeout_at(deadline, router.ready()).await;
    ready.unwrap_or_else(|_elapsed| Err(no_answer(&config.servers)))?;
    let (shards, _map) = router.primaries();
    let (there, away) = each(&shards, deadline, |primary| ask(primary, config)).await?;
    if there.is_empty() {
        return Err(nobody(away, config));
    }
    let mut found = summed(there, config)?;
    found.warnings.extend(away.iter().map(unreached));
    Ok(found)
}

/// A primary that does not answer, and why.
pub(crate) type Away<'a> = (&'a Arc<Shard>, Fault);

/// Asks each of these primaries, until a time. What one says that is wrong is wrong with all.
pub(crate) async fn each<'a, T, Asked>(
    primaries: &'a [Arc<Shard>],
    deadline: Instant,
    ask: impl Fn(&'a Endpoint) -> Asked,
) -> Outcome<(Vec<T>, Vec<Away<'a>>)>
where
    Asked: Future<Output = Outcome<T>>,
{
    let asked = primaries.iter().map(|shard| async {
        let answer = timeout_at(deadline, ask(&shard.primary)).await;
        answer.unwrap_or_else(|_elapsed| Err(no_answer(shard.primary.place())))
    });
    let (mut there, mut away) = (Vec::new(), Vec::new());
    for (answer, shard) in join_all(asked).await.into_iter().zip(primaries) {
        match answer {
            Ok(answer) => there.push(answer),
            Err(fault) if fault.is_outage() => away.push((shard, fault)),
            Err(fault) => return Err(fault),
        }
    }
    Ok((there, away))
}

/// What an operator is warned of while others answer.
pub(crate) fn unreached((shard, _fault): &Away) -> String {
    format!("no answer from {}: its keys cannot be reached", shard.primary.place())
}

fn no_answer(servers: impl std::fmt::Display) -> Fault {
    let detail = format!("{servers}: no answer in time; check the address, and that it is up");
    Fault::new(ErrorKind::Timeout, detail).untouched()
}

/// None of the primaries answers.
fn nobody(away: Vec<(&Arc<Shard>, Fault)>, config: &RedisConfig) -> Fault {
    let told: Vec<_> = away.iter().map(|(shard, _)| shard.primary.place().to_string()).collect();
    let Some((_shard, first)) = away.into_iter().next() else { return nonsense() };
    if !matches!(config.servers, Servers::Cluster(_)) {
        return first;
    }
    let detail = format!(
        "the Cluster says that its primaries are at {}, and none answers ({}); if these are no \
         addresses to connect to from here, say where they are by address_map=TOLD=REAL,…",
        told.join(", "),
        first.detail
    );
    Fault { detail, ..first }
}

/// What one primary told.
struct Told {
    report: Report,
    invalidations: bool,
}

async fn ask(primary: &Endpoint, config: &RedisConfig) -> Outcome<Told> {
    let report = Report::of(primary).await?;
    if config.read_from_replicas && !report.is_told {
        let detail = "read=replicas takes a user that may call INFO; allow it (ACL SETUSER NAME \
                      +info)";
        return Err(Fault::new(ErrorKind::Rejected, detail).untouched());
    }
    let invalidations = tells_of_changes(primary, config).await?;
    if matches!(config.durability, Acknowledged::OnDisk { .. }) {
        tells_of_disks(primary).await?;
    }
    Ok(Told { report, invalidations })
}

fn summed(told: Vec<Told>, config: &RedisConfig) -> Outcome<Found> {
    let invalidations = told.iter().all(|told| told.invalidations);
    let reports: Vec<_> = told.into_iter().map(|told| told.report).collect();
    if config.evicts == Some(false)
        && let Some(report) = reports.iter().find(|report| report.evicts())
    {
        let detail = format!(
            "the settings say evicts=no, but maxmemory-policy is {}; set noeviction, or leave \
             evicts out",
            report.policy
        );
        return Err(Fault::new(ErrorKind::Config, detail).untouched());
    }
    let Health { warnings, .. } = Report::health(&reports, config.durability)?;
    let may_evict = || reports.iter().any(|report| report.evicts() || !report.is_told);
    Ok(Found { evicts: config.evicts.unwrap_or_else(may_evict), invalidations, warnings })
}

/// Not every server that speaks the protocol does.
async fn tells_of_changes(primary: &Endpoint, config: &RedisConfig) -> Outcome<bool> {
    let address = primary.address().ok_or_else(|| {
        Fault::new(ErrorKind::Unavailable, "the connection was lost at once").untouched()
    })?;
    let mut connection = match dial::listening(config, &address, Arc::new(|_push| {})).await {
        Ok(connection) => connection,
        Err(fault) if fault.is_outage() => return Err(fault),
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
