//! Answers of the store, kept in this process for a short time.
//!
//! An answer is used only if nothing came in since the store was asked for it that may have changed
//! it: news from the store, where it tells what changes, a write of this process, or another answer
//! that somebody here was given, also by a read that goes past this cache. Where the store tells
//! nothing, the clock alone bounds an answer's age. See `fence` for how they are told apart.
//!
//! A write of this process that was made is an answer, too: it tells what the store has since.

mod config;
mod feed;
mod fence;
mod flight;
mod hot;
mod own;
mod renew;
mod sync;
#[cfg(test)]
#[cfg(feature = "memory")]
mod tests;
mod unit;

use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::backend::{Entry, Error, ErrorKind, Key, Result, Write};
use crate::breaker;
use crate::nanos::nanos;
use crate::observe::{Digest, NearRead};

use super::guard::Guard;
use super::{Demand, Freshness, StaleReason};

pub use config::NearConfig;
pub(super) use feed::Watched;
use fence::{Fence, Token};
use flight::Flights;
use hot::Hot;
use own::OwnWrite;
pub(super) use renew::Refresh;
use renew::{Echoes, REFRESHES_MAX};
use sync::{AtomicU64, Ordering};
use unit::Unit;

/// How long a server is waited for that did not answer somebody else.
const PATIENCE_MIN: Duration = Duration::from_millis(1);

/// How far the version of a write may be from its time, in microseconds.
const STEP_US: u64 = 1_000;

/// A near cache in front of a guarded backend.
pub(super) struct Near {
    config: NearConfig,
    guard: Arc<Guard>,
    fence: Arc<Fence>,
    units: Cache<Key, Arc<Unit>, RandomState>,
    hot: Hot<Unit>,
    hasher: RandomState,
    flights: Arc<Flights>,
    born: Instant,
    refreshes: mpsc::Sender<Refresh>,
    echoes: Arc<Echoes>,
    /// 1 once an entry was seen whose version is the time of its write on the store's clock. Only
    /// then is it known of a write of this process when it was made.
    versions_are_times: AtomicU64,
}

/// What was read, and how old it is.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    unit: Arc<Unit>,
    now: Instant,
    pub(crate) freshness: Freshness,
}

/// What a question came to.
enum Asked {
    Answer(Arc<Unit>),
    /// The answer is on its way; this is what there was before.
    Instead(Arc<Unit>),
}

impl Hit {
    /// The entry under one of the keys that were asked for.
    pub(crate) fn entry(&self, index: usize) -> Option<Entry> {
        self.unit.entry(index, self.now)
    }

    /// In the order of the keys.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Option<Entry>> {
        (0..self.unit.len()).map(|index| self.entry(index))
    }
}

impl Near {
    /// Begins to listen for changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] outside of a Tokio runtime.
    pub(super) fn start(
        config: NearConfig,
        guard: Arc<Guard>,
        watched: Watched,
    ) -> Result<Arc<Self>> {
        config.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            let detail = "a near cache needs a Tokio runtime; build the store within one";
            return Err(Error::new(ErrorKind::Config, detail));
        }
        let (refreshes, asked) = mpsc::channel(REFRESHES_MAX);
        let (hasher, born) = (RandomState::default(), Instant::now());
        let units = Cache::builder()
            .max_capacity(config.capacity)
            .weigher(|_key, unit: &Arc<Unit>| unit.weight())
            .time_to_live(config.keep)
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(hasher.clone());
        let near = Arc::new(Self {
            config,
            guard,
            fence: Arc::new(Fence::new()),
            units,
            hot: Hot::new(),
            hasher,
            flights: Arc::default(),
            born,
            refreshes,
            echoes: Arc::new(Echoes::new(born)),
            versions_are_times: AtomicU64::new(0),
        });
        feed::listen(&near, watched);
        tokio::spawn(renew::refresh_all(Arc::downgrade(&near), asked));
        Ok(near)
    }

    /// What is kept under these keys, if it does. Asks nobody.
    pub(super) fn peek(&self, keys: &[Key], demand: Demand) -> Option<Hit> {
        let Demand::Within(within) = demand else { return None };
        let now = Instant::now();
        let unit = self.kept(keys, now)?;
        let known_ns = self.fence.known_ns(&unit.token)?;
        let age = Duration::from_nanos(self.ns(now).saturating_sub(known_ns));
        if age <= within {
            if self.config.refresh_ahead && age >= within / 1_000 * due_permille(&unit.token) {
                self.refresh_later(Refresh::Younger(keys[0].clone()));
            }
            return Some(Hit { unit, now, freshness: Freshness::Cached { age } });
        }
        if age > within + self.config.revalidate {
            return None;
        }
        self.refresh_later(Refresh::Younger(keys[0].clone()));
        let reason = StaleReason::Refreshing;
        Some(Hit { unit, now, freshness: Freshness::Stale { age, reason } })
    }

    /// The entries under keys of one group. While the store is out, one that is kept and no older
    /// than `stale` does.
    pub(super) async fn read(
        self: &Arc<Self>,
        keys: &[Key],
        demand: Demand,
        stale: Option<Duration>,
    ) -> Result<Hit> {
        if let Some(hit) = self.peek(keys, demand) {
            self.tell(keys, demand, hit.freshness);
            return Ok(hit);
        }
        let begun = Instant::now();
        let read = self.ask(keys, demand, stale).await;
        let now = Instant::now();
        match read {
            Ok(Asked::Answer(unit)) => {
                self.tell(keys, demand, Freshness::Fresh);
                let freshness = match unit.age(begun) {
                    Duration::ZERO => Freshness::Fresh,
                    // Somebody else had asked for it before.
                    age => Freshness::Cached { age },
                };
                Ok(Hit { unit, now, freshness })
            }
            Ok(Asked::Instead(unit)) => {
                let (age, reason) = (unit.age(now), StaleReason::Refreshing);
                let freshness = Freshness::Stale { age, reason };
                self.tell(keys, demand, freshness);
                Ok(Hit { unit, now, freshness })
            }
            Err(error) => {
                let hit = self.stale(keys, stale, now, &error).ok_or(error)?;
                self.tell(keys, demand, hit.freshness);
                Ok(hit)
            }
        }
    }

    /// Asks the store. Where what is kept would do, that is waited for with
    /// [`patience`](NearConfig::patience), and the question goes on without those who asked it.
    /// All who wait for one server share their patience: it begins with the first of them, and
    /// anew when the server answers something.
    async fn ask(
        self: &Arc<Self>,
        keys: &[Key],
        demand: Demand,
        stale: Option<Duration>,
    ) -> Result<Asked> {
        let other = || self.usable(keys, stale?, Instant::now());
        let has_other = other().is_some();
        let within = match demand {
            Demand::Latest if !has_other => {
                return self.load(keys.into()).await.map(Asked::Answer);
            }
            Demand::Latest => Duration::ZERO,
            Demand::Within(within) => within,
        };
        // Before the question is put: its answer ends the silence.
        let silent = has_other.then(|| self.guard.silent_for(&keys[0]));
        let mut flight = pin!(self.join(keys, within));
        if let Some(silent) = silent {
            let left = self.config.patience.saturating_sub(silent);
            let answer = timeout(left.max(PATIENCE_MIN), &mut flight).await;
            // It may have been overtaken meanwhile.
            match (answer, other()) {
                (Ok(answer), _) => return answer.map(Asked::Answer),
                (Err(_elapsed), Some(unit)) => return Ok(Asked::Instead(unit)),
                (Err(_elapsed), None) => {}
            }
        }
        // Others may have begun it, or what this is a part of.
        self.guard.in_time(flight).await?.map(Asked::Answer)
    }

    /// To be held while writes are made.
    pub(super) fn writing(&self, writes: &[Write]) -> OwnWrite<'_> {
        for write in writes {
            self.echoes.expect(write.key());
        }
        let stripes = writes.iter().map(|write| stripe(&self.fence, write.key())).collect();
        OwnWrite::begin(&self.fence, stripes, writes, self.ns(Instant::now()))
    }

    /// Somebody wants this gone, and what is of its kind and group with it: what is kept is not
    /// given any more, whether or not that comes about.
    pub(super) fn forget(&self, key: &Key) {
        self.fence.hard(stripe(&self.fence, key));
    }

    /// What is kept under a key that is read alone, whether or not it may be given. Asks nobody.
    pub(super) fn last(&self, key: &Key) -> Option<Entry> {
        let now = Instant::now();
        self.kept(std::slice::from_ref(key), now)?.entry(0, now)
    }

    /// For how long answers are kept.
    pub(super) fn keeps(&self) -> Duration {
        self.config.keep
    }

    fn tell(&self, keys: &[Key], demand: Demand, freshness: Freshness) {
        let how = match freshness {
            Freshness::Fresh if demand == Demand::Latest => NearRead::Asked,
            Freshness::Fresh => NearRead::Miss,
            Freshness::Cached { .. } => NearRead::Hit,
            Freshness::Stale { reason: StaleReason::Refreshing, .. } => NearRead::Refreshing,
            Freshness::Stale { .. } => NearRead::Stale,
        };
        self.guard.meters.near_read(how);
        let Some(key) = keys.first() else { return };
        tracing::debug!(
            namespace = key.namespace(),
            key = %Digest(key),
            result = how.name(),
            age_ms = u64::try_from(freshness.age().as_millis()).unwrap_or(u64::MAX),
            "read through the near cache"
        );
    }

    fn kept(&self, keys: &[Key], now: Instant) -> Option<Arc<Unit>> {
        let key = keys.first()?;
        let fits = |unit: &Arc<Unit>| *unit.keys == *keys;
        let (hash, now_ns) = (self.hasher.hash_one(key), self.ns(now));
        let (hot, seen) = self.hot.get(hash, now_ns);
        let unit = if let Some(unit) = hot.filter(fits) {
            unit
        } else {
            let unit = self.units.get(key).filter(fits)?;
            self.hot.put(hash, seen, &unit, now_ns);
            unit
        };
        (!unit.is_over(now) && unit.age(now) <= self.config.keep).then_some(unit)
    }

    fn stale(
        &self,
        keys: &[Key],
        stale: Option<Duration>,
        now: Instant,
        error: &Error,
    ) -> Option<Hit> {
        let reason = reason(error)?;
        let unit = self.usable(keys, stale?, now)?;
        let age = unit.age(now);
        Some(Hit { unit, now, freshness: Freshness::Stale { age, reason } })
    }

    /// What is kept and was not overtaken, if it is no older than this.
    fn usable(&self, keys: &[Key], max_age: Duration, now: Instant) -> Option<Arc<Unit>> {
        let unit = self.kept(keys, now)?;
        (unit.age(now) <= max_age && self.fence.is_usable(&unit.token)).then_some(unit)
    }

    /// Waits for the answer that somebody else asks for, if it will be young enough.
    fn join(
        self: &Arc<Self>,
        keys: &[Key],
        within: Duration,
    ) -> impl Future<Output = Result<Arc<Unit>>> {
        let token = self.capture(&keys[0]);
        let oldest_ns = token.at_ns.saturating_sub(nanos(within));
        let fits = |flight: &flight::Flight| {
            self.fence.is_current(&flight.token) && flight.token.at_ns >= oldest_ns
        };
        let load = || Arc::clone(self).load_owned(keys.into());
        let flight = self.flights.join(keys, self.config.flights_max, token, fits, load);
        async move { flight?.end().await }
    }

    async fn load_owned(self: Arc<Self>, keys: Box<[Key]>) -> Result<Arc<Unit>> {
        self.load(keys).await
    }

    /// Asks the store, and keeps the answer unless it was overtaken.
    async fn load(&self, keys: Box<[Key]>) -> Result<Arc<Unit>> {
        let unit = self.question(keys).await?;
        self.keep(&unit);
        Ok(unit)
    }

    async fn question(&self, keys: Box<[Key]>) -> Result<Arc<Unit>> {
        let (token, asked) = (self.capture(&keys[0]), Instant::now());
        let entries = match &*keys {
            [key] => vec![self.guard.get(key).await?],
            keys => self.guard.get_many(keys).await?,
        };
        self.learn(&entries);
        Ok(Arc::new(Unit::new(keys, entries, token, asked)))
    }

    /// Takes in an answer that somebody is given.
    fn keep(&self, unit: &Arc<Unit>) {
        let alone = self.fence.arrive(&unit.token);
        self.take_in(unit, alone);
    }

    /// Keeps an answer that arrived, `alone` or not. True if it did; if not, what is kept must not
    /// contradict it any more.
    fn take_in(&self, unit: &Arc<Unit>, alone: bool) -> bool {
        let wanted = self.config.negative || unit.has_entries();
        let key = &unit.keys[0];
        let _changing = self.hot.changing(self.hasher.hash_one(key));
        let mut is_kept = false;
        // One at a time for each key.
        self.units.entry_by_ref(key).and_compute_with(|kept| {
            if alone && wanted && self.fence.is_last(&unit.token) {
                is_kept = true;
                return Op::Put(Arc::clone(unit));
            }
            self.contradict(kept, &unit.keys, &unit.entries);
            Op::Nop
        });
        is_kept
    }

    /// Whether the versions of this store are the times of its writes.
    fn learn(&self, entries: &[Option<Entry>]) {
        if self.versions_are_times.load(Ordering::Relaxed) == 0 {
            let is_time = |entry: &Entry| {
                let after_us = entry.version.get().checked_sub(entry.written_us);
                after_us.is_some_and(|after_us| after_us <= STEP_US)
            };
            let known = u64::from(entries.iter().flatten().any(is_time));
            self.versions_are_times.store(known, Ordering::Relaxed);
        }
    }

    /// Takes in what the store told somebody past this cache: nothing older may be given after it.
    pub(super) fn saw(&self, keys: &[Key], entries: &[Option<Entry>]) {
        self.learn(entries);
        for key in keys {
            self.flights.forget(key);
            self.fence.pass(stripe(&self.fence, key));
            let _changing = self.hot.changing(self.hasher.hash_one(key));
            // One at a time for each key.
            self.units.entry_by_ref(key).and_compute_with(|kept| {
                self.contradict(kept, keys, entries);
                Op::Nop
            });
        }
    }

    /// What is kept is not given any more if somebody was given something else.
    fn contradict(
        &self,
        kept: Option<moka::Entry<Key, Arc<Unit>>>,
        keys: &[Key],
        entries: &[Option<Entry>],
    ) {
        let Some(kept) = kept.map(moka::Entry::into_value) else { return };
        if self.fence.is_usable(&kept.token) && !kept.agrees_with(keys, entries) {
            self.fence.hard(kept.token.stripe);
            self.refresh_later(Refresh::Overtaken(kept.keys[0].clone()));
        }
    }

    fn capture(&self, key: &Key) -> Token {
        self.fence.capture(stripe(&self.fence, key), self.ns(Instant::now()))
    }

    fn ns(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.born))
    }
}

/// Of the class of records that have their fate in common: those of one kind and group.
fn stripe(fence: &Fence, key: &Key) -> usize {
    let class_len = key.namespace().len() + ":{".len() + key.group().len();
    fence.stripe(hash(&key.as_str()[..class_len]))
}

fn hash(text: &str) -> usize {
    crc32fast::hash(text.as_bytes()) as usize
}

/// From which part of its time on an answer is refreshed ahead, in thousandths: a bit more or less,
/// so that what came together is not asked for together again.
fn due_permille(token: &Token) -> u32 {
    const SPREAD: u64 = 200;
    let part = (token.at_ns ^ token.stripe as u64) % SPREAD;
    700 + u32::try_from(part).unwrap_or_default()
}

/// Why there may be an old answer in the place of this error, if there may.
fn reason(error: &Error) -> Option<StaleReason> {
    if !error.is_outage() && error.kind() != ErrorKind::Busy {
        return None;
    }
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    let open = causes.any(<dyn std::error::Error>::is::<breaker::Open>);
    Some(if open { StaleReason::BreakerOpen } else { StaleReason::Outage })
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").field("config", &self.config).finish_non_exhaustive()
    }
}
