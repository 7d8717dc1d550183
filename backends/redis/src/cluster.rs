//! A Redis Cluster: which server keeps a slot, and how its moves are followed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redis::{Pipeline, Value};
use steadfast_backend::ErrorKind;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::{Address, AddressMap, RedisConfig};
use crate::dial::{self, Acquaintance};
use crate::error::{Fault, Then, nonsense, sound};
use crate::lane::Progress;
use crate::locate::Locate;
use crate::pace::REJECTED;
use crate::question::{Answer, Question};
use crate::race;
use crate::shard::Shard;
use crate::slots::{Range, ranges};
use crate::task::Task;

/// How often the map is read again without a reason.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often it is read at most, for whatever reason.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// The number of slots that no server keeps: their failures are no server's.
const NOBODY: usize = 0;
/// How long to wait for keys that are on their way to another server.
const MOVING_PAUSE: Duration = Duration::from_millis(20);
/// After so long without a question to a server off the map, its keys count as moved back.
const GIVEN_UP: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    shared: Arc<Shared>,
    reader: Task,
}

struct Shared {
    config: Arc<RedisConfig>,
    seeds: Vec<Address>,
    /// And how many there were before it.
    map: RwLock<(Arc<[Range]>, u64)>,
    proof: Mutex<Proof>,
    shards: Mutex<HashMap<Address, Arc<Shard>>>,
    /// Wakes the reader of the map.
    stale: Notify,
    /// Counts the maps.
    maps: watch::Sender<u64>,
    /// Why the last attempt to read one failed.
    trouble: watch::Sender<Option<Fault>>,
}

/// How long nothing can have been changed at a server that is not on the map.
#[derive(Default)]
struct Proof {
    /// When the map was last found to be so.
    confirmed: Option<std::time::Instant>,
    /// The map of which a server was asked that is not on it, one that only gets its first slot,
    /// and when that was last. Until there is another map, it may be changed by anybody.
    left: Option<(u64, Instant)>,
}

impl Cluster {
    /// Begins to connect.
    pub(crate) fn start(config: &Arc<RedisConfig>, seeds: &[Address]) -> Self {
        let shared = Arc::new(Shared::new(config, seeds));
        let reader = Task::spawn(keep_reading(Arc::clone(&shared)));
        Self { shared, reader }
    }

    /// Until the map has been read once, or the last attempt failed.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        let mut maps = self.shared.maps.subscribe();
        let mut trouble = self.shared.trouble.subscribe();
        tokio::select! {
            biased;
            // The senders live as long as this does.
            _ = maps.wait_for(|maps| *maps > 0) => Ok(()),
            Ok(trouble) = trouble.wait_for(Option::is_some) => trouble.clone().map_or(Ok(()), Err),
        }
    }

    /// Changes with every new map.
    pub(crate) fn maps(&self) -> watch::Receiver<u64> {
        self.shared.maps.subscribe()
    }

    /// The primaries, in the order of their first slots, and a number that stands for the map.
    pub(crate) fn primaries(&self) -> (Vec<Arc<Shard>>, u64) {
        let (map, number) = self.shared.map();
        let mut addresses: Vec<&Address> = Vec::new();
        for Range { primary, .. } in map.iter() {
            if !addresses.contains(&primary) {
                addresses.push(primary);
            }
        }
        let shards = addresses.into_iter().map(|address| self.shared.shard_at(address)).collect();
        (shards, number)
    }

    /// Until when the primaries of this map are known to have been all; `None` once it is another.
    pub(crate) fn confirmed(&self, map: u64) -> Option<std::time::Instant> {
        let confirmed = self.shared.proof().confirmed;
        // What is confirmed belongs to this map if that is not replaced by now.
        confirmed.filter(|_| self.shared.map().1 == map)
    }

    /// Gives up all connections.
    pub(crate) fn close(&self) {
        self.reader.end();
        let shards = self.shared.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.values().for_each(|shard| shard.close());
    }

    /// The number of the shard that keeps this slot, or [`NOBODY`].
    pub(crate) fn endpoint(&self, slot: u16) -> usize {
        self.shared.shard_of(slot).map_or(NOBODY, |shard| shard.number)
    }

    /// Asks the server that keeps this slot, wherever it goes. Tells which one answered.
    pub(crate) async fn ask(
        &self,
        slot: u16,
        question: &Question,
        progress: &Progress,
    ) -> Result<(Answer, Arc<Shard>), Fault> {
        self.follow(self.shared.shard_of(slot)?, question, progress, false).await
    }

    /// The same of a replica, if there is one to ask.
    pub(crate) async fn read(
        &self,
        slot: u16,
        question: &Question,
        progress: &Progress,
    ) -> Result<(Answer, Arc<Shard>), Fault> {
        self.follow(self.shared.shard_of(slot)?, question, progress, true).await
    }

    async fn follow(
        &self,
        mut shard: Arc<Shard>,
        question: &Question,
        progress: &Progress,
        mut replicas: bool,
    ) -> Result<(Answer, Arc<Shard>), Fault> {
        let mut moved = false;
        loop {
            let answer = if replicas {
                shard.read(question, progress).await
            } else {
                shard.primary.ask(question, progress).await
            };
            let fault = match answer {
                Ok(answer) => return Ok((answer, shard)),
                Err(fault) => fault,
            };
            replicas = false;
            match &fault.then {
                Then::Moved(address) => {
                    self.shared.stale.notify_one();
                    // Servers that do not agree send us to and fro.
                    if std::mem::replace(&mut moved, true) {
                        pause(fault.clone(), progress).await?;
                    }
                    shard = self.shared.shard_named(address, &shard)?;
                    self.shared.note_asked(&shard);
                }
                Then::Ask(address) => {
                    let there = self.shared.shard_named(address, &shard)?;
                    self.shared.note_asked(&there);
                    match there.primary.ask(&question.asking(), progress).await {
                        // It moved on meanwhile: begin anew with the one that sent us here.
                        Err(fault) if fault.then.goes_on() => pause(fault, progress).await?,
                        answer => return Ok((answer?, there)),
                    }
                }
                Then::TryAgain => pause(fault, progress).await?,
                _ => {
                    if fault.kind == ErrorKind::Unavailable {
                        self.shared.stale.notify_one();
                    }
                    return Err(fault);
                }
            }
        }
    }
}

impl Shared {
    fn new(config: &Arc<RedisConfig>, seeds: &[Address]) -> Self {
        Self {
            config: Arc::clone(config),
            seeds: seeds.to_vec(),
            map: RwLock::new((Arc::new([]), 0)),
            proof: Mutex::default(),
            shards: Mutex::default(),
            stale: Notify::new(),
            maps: watch::Sender::new(0),
            trouble: watch::Sender::new(None),
        }
    }

    fn map(&self) -> (Arc<[Range]>, u64) {
        self.map.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn proof(&self) -> MutexGuard<'_, Proof> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the question is put.
    fn note_asked(&self, shard: &Arc<Shard>) {
        // First, so that no note of an earlier map takes the place of a later one's.
        let mut proof = self.proof();
        let (map, number) = self.map();
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |range: &Range| shards.get(&range.primary).is_some_and(|it| Arc::ptr_eq(it, shard));
        if !map.iter().any(is_it) {
            proof.left = Some((number, Instant::now()));
        }
    }

    fn shard_of(&self, slot: u16) -> Result<Arc<Shard>, Fault> {
        let (map, _number) = self.map();
        let at = map.partition_point(|range| range.last < slot);
        if let Some(range) = map.get(at).filter(|range| range.first <= slot) {
            return Ok(self.shard_at(&range.primary));
        }
        self.stale.notify_one();
        let detail = "no server of the Cluster serves the key's slot; see CLUSTER SLOTS";
        Err(Fault::new(ErrorKind::Unavailable, detail).untouched())
    }

    /// As a redirect names it. A server that does not know its host's name leaves it out: it is
    /// the same as that of the one that was asked.
    fn shard_named(&self, address: &str, asked: &Shard) -> Result<Arc<Shard>, Fault> {
        let address = match (Address::parse(address), asked.primary.address()) {
            (Some(Address::Tcp(host, port)), Some(Address::Tcp(asked, _)))
                if matches!(&host[..], "" | "?") =>
            {
                Address::tcp(asked, port)
            }
            (address, _) => address.ok_or_else(nonsense)?,
        };
        Ok(self.shard_at(&self.config.address_map.apply(address)))
    }

    fn shard_at(&self, address: &Address) -> Arc<Shard> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = shards.get(address) {
            return Arc::clone(shard);
        }
        let taken = std::iter::once(NOBODY).chain(shards.values().map(|shard| shard.number));
        let number = free_number(taken);
        let shard = Shard::start(&self.config, number, Locate::At(address.clone()));
        shards.insert(address.clone(), Arc::clone(&shard));
        shard
    }

    /// Reads the map from who answers first, of those that are known and then of the seeds;
    /// from one that is cut off from the others only if there is no other.
    async fn read_map(&self) -> Result<(), Fault> {
        let known: Vec<Arc<Shard>> = {
            let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            shards.values().filter(|shard| shard.primary.is_up()).map(Arc::clone).collect()
        };
        let known: Vec<_> = known.iter().map(|shard| self.told_by(shard)).collect();
        let known = race::first(known, Told::is_ok).await;
        let told = match known {
            Ok(told) if told.is_ok => told,
            known => {
                let seeds: Vec<_> = self.seeds.iter().map(|it| self.told_by_seed(it)).collect();
                match race::first(seeds, Told::is_ok).await {
                    Ok(told) if told.is_ok => told,
                    told => known.or(told)?,
                }
            }
        };
        self.learn(told)
    }

    async fn told_by(&self, shard: &Shard) -> Result<Told, Fault> {
        let (since, question) = (std::time::Instant::now(), question());
        let asked = shard.primary.ask_all(&question);
        let answers = answered_within(self.config.connect_timeout, asked).await?;
        Told::read(answers, since, shard.primary.address().as_ref(), &self.config.address_map)
    }

    /// A seed may be a replica, or know itself by another name.
    async fn told_by_seed(&self, seed: &Address) -> Result<Told, Fault> {
        let (since, question) = (std::time::Instant::now(), question());
        let (_map, number) = self.map();
        let known = Acquaintance::known(number > 0);
        let dialled = dial::bare(&self.config, seed, &self.config.login, known);
        let mut connection = dialled.await?;
        let asked =
            async { Ok(connection.send_packed_commands(&question, 0, question.len()).await?) };
        let told = answered_within(self.config.connect_timeout, asked)
            .await
            .and_then(|answers| Told::read(answers, since, Some(seed), &self.config.address_map));
        told.map_err(|fault| fault.at(seed))
    }

    fn learn(&self, Told { map, since, .. }: Told) -> Result<(), Fault> {
        if map.is_empty() {
            let detail = "the Cluster serves no slots yet; see CLUSTER INFO";
            return Err(Fault::new(ErrorKind::Unavailable, detail).untouched());
        }
        let (known, number) = self.map();
        let mut is_known = known == map;
        // A new map is confirmed by the next reading: those who ask now have the old one.
        if is_known || known.is_empty() {
            let mut proof = self.proof();
            match proof.left {
                // A move that was called off leaves the map as it was. It counts as a new one all
                // the same, so that whatever was read off the map is read again.
                Some((left, asked)) if left == number => is_known &= asked.elapsed() < GIVEN_UP,
                _ => proof.confirmed = Some(since),
            }
        }
        if is_known {
            return Ok(());
        }
        // Before the numbers of those that are gone are free: their failures are not its own.
        for range in map.iter() {
            let _connecting = self.shard_at(&range.primary);
        }
        {
            let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            shards.retain(|address, _| map.iter().any(|range| range.primary == *address));
        }
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = (map, number + 1);
        self.maps.send_replace(number + 1);
        Ok(())
    }
}

/// The smallest number that none of these has: who counts the failures of a server by its number
/// must not count another's with them. Small, because that is done in a table.
fn free_number(taken: impl Iterator<Item = usize>) -> usize {
    let mut taken: Vec<usize> = taken.collect();
    taken.sort_unstable();
    // Each is there once, so the first that is not at its own place leaves that place free.
    taken.iter().zip(0..).find(|(number, place)| *number != place).map_or(taken.len(), |(_, at)| at)
}

/// Waits before another attempt, unless there is too little time for one: nothing was done, and
/// that should stay certain.
async fn pause(fault: Fault, progress: &Progress) -> Result<(), Fault> {
    if Instant::now() + MOVING_PAUSE * 5 > progress.deadline {
        return Err(fault);
    }
    tokio::time::sleep(MOVING_PAUSE).await;
    Ok(())
}

/// What a server says of the Cluster.
struct Told {
    map: Arc<[Range]>,
    /// It was so at some time after this.
    since: std::time::Instant,
    /// The server is not cut off from the others.
    is_ok: bool,
}

impl Told {
    fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// From the answers to [`question`].
    fn read(
        answers: Vec<Value>,
        since: std::time::Instant,
        asked: Option<&Address>,
        address_map: &AddressMap,
    ) -> Result<Self, Fault> {
        let mut answers = answers.into_iter();
        let mut next = || sound(answers.next().ok_or_else(nonsense)?);
        let asked = match asked {
            Some(Address::Tcp(host, _)) => host.as_str(),
            _ => "127.0.0.1",
        };
        let map = ranges(next()?, asked)?
            .into_iter()
            .map(|range| Range { primary: address_map.apply(range.primary), ..range });
        let map = map.collect();
        let info: String = redis::from_redis_value(next()?).map_err(|_not_text| nonsense())?;
        let is_ok = info.lines().any(|line| line.trim() == "cluster_state:ok");
        Ok(Self { map, since, is_ok })
    }
}

fn question() -> Pipeline {
    let mut question = redis::pipe();
    question.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
    question
}

async fn answered_within<T>(
    time: Duration,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::time::timeout(time, asked).await.unwrap_or_else(|_elapsed| {
        let detail = "a server of the Cluster does not answer";
        Err(Fault::new(ErrorKind::Unavailable, detail).untouched())
    })
}

async fn keep_reading(shared: Arc<Shared>) {
    loop {
        let trouble = shared.read_map().await.err();
        if let Some(fault) = &trouble {
            tracing::debug!(cause = fault.detail, "cannot read the map of the Cluster");
        }
        // Once there was a map, a server that says something wrong is a part of an outage.
        let is_new = shared.map().1 == 0;
        let is_wrong = is_new && trouble.as_ref().is_some_and(|fault| !fault.is_outage());
        shared.trouble.send_replace(trouble);
        if is_wrong {
            tokio::time::sleep(REJECTED).await;
        }
        tokio::time::sleep(READ_PAUSE).await;
        let _ = tokio::time::timeout(READ_EVERY, shared.stale.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Servers;

    #[tokio::test(start_paused = true)]
    async fn a_move_that_is_called_off_holds_up_the_proof_for_a_while_only() {
        let (on, off) = (Address::tcp("127.0.0.1", 1), Address::tcp("127.0.0.1", 2));
        let config = Arc::new(RedisConfig::new(Servers::Cluster(vec![on.clone()])));
        let (shared, start) = (Shared::new(&config, &[]), std::time::Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let learn = |second| {
            let map = [Range { first: 0, last: 16_383, primary: on.clone() }];
            shared.learn(Told { map: map.into(), since: at(second), is_ok: true }).unwrap();
            (shared.map().1, shared.proof().confirmed)
        };
        assert_eq!([1, 2].map(learn), [(1, Some(at(1))), (1, Some(at(2)))]);
        for _question in 0..3 {
            shared.note_asked(&shared.shard_at(&off));
            tokio::time::advance(GIVEN_UP / 2).await;
            assert_eq!(learn(3), (1, Some(at(2))), "proved without the server off the map");
        }
        tokio::time::advance(GIVEN_UP / 2).await;
        assert_eq!(learn(4), (2, Some(at(2))), "what was read off the map is not read again");
        assert_eq!(learn(5), (2, Some(at(5))), "still not proved");
        // It was not called off.
        shared.note_asked(&shared.shard_at(&off));
        assert_eq!(learn(6), (2, Some(at(5))), "proved without the server off the map");
    }

    #[test]
    fn a_number_is_given_again_only_when_nobody_has_it() {
        for (taken, free) in
            [(&[][..], 0), (&[0, 1, 2], 3), (&[2, 1], 0), (&[3, 0, 2], 1), (&[0, 1, 3], 2)]
        {
            assert_eq!(free_number(taken.iter().copied()), free, "{taken:?}");
        }
    }
}
