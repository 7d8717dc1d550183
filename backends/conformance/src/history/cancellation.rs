//! Calls dropped at random points, at high concurrency: every later answer belongs to its question.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, Condition, Entry, Error, Group, Key, Namespace, Result, ScanRequest, Transacted,
    Transactions, Write, Written,
};
use tokio::task::JoinSet;

use super::operation::{Seen, Value};
use super::random::Random;
use super::{Violation, stamp};
use crate::dropping::poll_then_drop;

/// Keys that all tasks share.
const SHARED: usize = 48;
/// A call that takes longer hangs.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Many tasks that drop about half of their calls at random points, after some polls, after some
/// microseconds, or with their whole task. The answers to the others must belong to their keys:
/// values name their key, and a key that only one task writes to, and whose calls it never drops,
/// is exactly what that task made of it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use steadfast_backend::SystemClock;
/// use steadfast_conformance::{Cancellation, ModelBackend};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = Arc::new(ModelBackend::with_clock(SystemClock::start()));
/// let drops = Cancellation::new(64, Duration::from_millis(100)).run(backend).await?;
/// assert!(drops.dropped > 0 && drops.answered > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Cancellation {
    tasks: usize,
    time: Duration,
    seed: u64,
}

/// How many calls a [`Cancellation`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Calls that were dropped before their end.
    pub dropped: usize,
    /// Calls that were to be dropped and ended before that.
    pub ended: usize,
    /// Calls whose answers were checked.
    pub answered: usize,
}

impl Cancellation {
    /// So many tasks for so long, with a random seed.
    pub fn new(tasks: usize, time: Duration) -> Self {
        Self { tasks, time, seed: crate::context::random() }
    }

    /// The same with what the environment sets: `STEADFAST_CANCELLATION_SECONDS` and
    /// `STEADFAST_CANCELLATION_SEED`.
    #[must_use]
    pub fn from_env(mut self) -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        if let Some(seconds) = number("STEADFAST_CANCELLATION_SECONDS") {
            self.time = Duration::from_secs(seconds);
        }
        self.seed = number("STEADFAST_CANCELLATION_SEED").unwrap_or(self.seed);
        self
    }

    /// Runs it in a random namespace.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]: an answer that belongs to another question, or a call that was not
    /// dropped and failed or hung.
    pub async fn run(self, backend: Arc<dyn Backend>) -> std::result::Result<Drops, Violation> {
        println!("STEADFAST_CANCELLATION_SEED={}", self.seed);
        let until = Instant::now() + self.time;
        let namespace = format!("cancellation:{:016x}", crate::context::random());
        let mut tasks = JoinSet::new();
        for number in 0..self.tasks {
            let random = Random::new(self.seed ^ Random::new(number as u64).next());
            let task = Task::new(Arc::clone(&backend), &namespace, number, random);
            tasks.spawn(task.map_err(|error| failed(&error))?.work(until));
        }
        let mut all = Drops::default();
        while let Some(drops) = tasks.join_next().await {
            let drops = drops.map_err(|error| Violation::new(format!("a task died: {error}")));
            let seeded = |found: Violation| Violation::new(format!("{found} (seed {})", self.seed));
            let drops = drops?.map_err(seeded)?;
            all.dropped += drops.dropped;
            all.ended += drops.ended;
            all.answered += drops.answered;
        }
        Ok(all)
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dropped, ended, answered } = self;
        write!(f, "{dropped} calls dropped, {ended} ended before that, {answered} checked")
    }
}

type Dropped = Pin<Box<dyn Future<Output = ()> + Send>>;
type Outcome<T = ()> = std::result::Result<T, Violation>;

struct Task {
    backend: Arc<dyn Backend>,
    namespace: Namespace,
    /// Written to by everyone, also in calls that are dropped.
    shared: Vec<Key>,
    /// Written to by this task, in calls that are never dropped; and what they hold.
    steady: Vec<(Key, Option<Seen>)>,
    /// What each shared key showed last.
    last: HashMap<Key, Seen>,
    number: Value,
    random: Random,
    drops: Drops,
}

impl Task {
    fn new(
        backend: Arc<dyn Backend>,
        namespace: &str,
        task: usize,
        random: Random,
    ) -> Result<Self> {
        let namespace = Namespace::new(namespace)?;
        let key = |group: usize, name: String| {
            Key::new(&namespace, &Group::new(&format!("group-{group}"))?, &name)
        };
        let shared = (0..SHARED).map(|at| key(at % 4, format!("shared-{at}")));
        let shared = shared.collect::<Result<_>>()?;
        let steady = (0..3).map(|at| Ok((key(task % 4, format!("steady-{task}-{at}"))?, None)));
        let steady = steady.collect::<Result<_>>()?;
        let number = (task as u64) << 32;
        let (last, drops) = (HashMap::new(), Drops::default());
        Ok(Self { backend, namespace, shared, steady, last, number, random, drops })
    }

    async fn work(mut self, until: Instant) -> Outcome<Drops> {
        while Instant::now() < until {
            if self.random.below(2) == 0 {
                self.drop_a_call().await;
            } else {
                self.check_a_call().await?;
                self.drops.answered += 1;
            }
        }
        Ok(self.drops)
    }

    async fn drop_a_call(&mut self) {
        let call = self.random_call();
        let ended = match self.random.below(3) {
            0 => poll_then_drop(call, 1 + self.random.index(3)).await.is_some(),
            1 => {
                let limit = Duration::from_micros(self.random.below(3_000));
                tokio::time::timeout(limit, call).await.is_ok()
            }
            _ => {
                let task = tokio::spawn(call);
                for _ in 0..self.random.below(6) {
                    tokio::task::yield_now().await;
                }
                task.abort();
                task.await.is_ok()
            }
        };
        if ended { self.drops.ended += 1 } else { self.drops.dropped += 1 }
    }

    /// Some call on shared keys, whose answer nobody looks at.
    fn random_call(&mut self) -> Dropped {
        let backend = Arc::clone(&self.backend);
        let keys = self.shared_of_one_group(4);
        let key = keys[0].clone();
        let puts: Vec<Write> = keys.iter().map(|key| self.put(key).1).collect();
        match self.random.below(9) {
            0 => Box::pin(async move { drop(backend.get(&key).await) }),
            1 => Box::pin(async move { drop(backend.get_many(&keys).await) }),
            2 => Box::pin(async move { drop(backend.write_many(&puts).await) }),
            3 => Box::pin(async move { drop(backend.transact(&puts).await) }),
            4 => Box::pin(async move { drop(backend.write(&Write::delete(key)).await) }),
            5 => Box::pin(async move { drop(backend.write(&Write::touch(key, None)).await) }),
            6 => Box::pin(async move { drop(backend.check().await) }),
            7 => {
                let limit = NonZeroUsize::MIN.saturating_add(9);
                let request = ScanRequest { namespace: self.namespace.clone(), after: None, limit };
                Box::pin(async move { drop(backend.scan(request).await) })
            }
            _ => Box::pin(async move { drop(backend.write_many(&puts[..1]).await) }),
        }
    }

    async fn check_a_call(&mut self) -> Outcome {
        let at = self.random.index(self.steady.len());
        match self.random.below(8) {
            0..2 => self.get_shared().await,
            2 => self.get_many().await,
            3 => self.put_steady(at).await,
            4 => self.claim_steady(at).await,
            5 => self.delete_steady(at).await,
            6 => self.write_many().await,
            _ => self.transact().await,
        }
    }

    async fn get_shared(&mut self) -> Outcome {
        let key = self.shared[self.random.index(SHARED)].clone();
        let backend = Arc::clone(&self.backend);
        let entry = answer("get", backend.get(&key)).await?;
        self.look(&key, entry.as_ref())
    }

    async fn get_many(&mut self) -> Outcome {
        let mut keys = self.shared_of_one_group(4);
        let at = self.random.index(self.steady.len());
        keys.push(self.steady[at].0.clone());
        let backend = Arc::clone(&self.backend);
        let entries = answer("get_many", backend.get_many(&keys)).await?;
        if entries.len() != keys.len() {
            return Err(Violation::new(format!("get_many: {} entries for 5 keys", entries.len())));
        }
        for (key, entry) in keys.iter().zip(&entries).take(4) {
            self.look(key, entry.as_ref())?;
        }
        self.is_steady("get_many", at, entries[4].as_ref())
    }

    async fn put_steady(&mut self, at: usize) -> Outcome {
        let (value, put) = self.put(&self.steady[at].0.clone());
        let backend = Arc::clone(&self.backend);
        let written = answer("put", backend.write(&put)).await?;
        self.made("put", at, value, &written)?;
        self.get_steady(at).await
    }

    async fn get_steady(&self, at: usize) -> Outcome {
        let entry = answer("get", self.backend.get(&self.steady[at].0)).await?;
        self.is_steady("get", at, entry.as_ref())
    }

    async fn claim_steady(&mut self, at: usize) -> Outcome {
        let (key, held) = self.steady[at].clone();
        let (value, put) = self.put(&key);
        let put = put.only_if(Condition::Absent);
        match (answer("put if absent", self.backend.write(&put)).await?, held) {
            (Written::Refused { current }, Some(_)) => {
                self.is_steady("put if absent", at, current.as_ref())
            }
            (written, _) => self.made("put if absent", at, value, &written),
        }
    }

    async fn delete_steady(&mut self, at: usize) -> Outcome {
        let (key, held) = self.steady[at].clone();
        let only_if = held.map_or(Condition::Absent, |seen| Condition::VersionIs(seen.version));
        let delete = Write::delete(key).only_if(only_if);
        let written = answer("delete", self.backend.write(&delete)).await?;
        if written != (Written::Applied { version: None }) {
            return Err(Violation::new(format!(
                "delete: {written:?} of a key that nobody else changes"
            )));
        }
        self.steady[at].1 = None;
        self.get_steady(at).await
    }

    async fn write_many(&mut self) -> Outcome {
        let (first, second) = (self.put_of(0), self.put_of(1));
        let held = self.steady[2].1.map(|seen| seen.version);
        let check = Write::check(
            self.steady[2].0.clone(),
            held.map_or(Condition::Absent, Condition::VersionIs),
        );
        let writes = vec![first.1, check, second.1];
        let answers = answer("write_many", self.backend.write_many(&writes)).await?;
        let answers: Vec<Written> =
            answers.into_iter().collect::<Result<_>>().map_err(|error| failed(&error))?;
        let [one, checked, two] = &answers[..] else {
            return Err(Violation::new(format!(
                "write_many: {} answers for 3 writes",
                answers.len()
            )));
        };
        self.made("write_many", 0, first.0, one)?;
        self.made("write_many", 1, second.0, two)?;
        if *checked != (Written::Applied { version: held }) {
            return Err(Violation::new(format!("write_many: {checked:?} of a check of {held:?}")));
        }
        self.get_steady(1).await
    }

    async fn transact(&mut self) -> Outcome {
        if self.backend.info().capabilities.transactions == Transactions::None {
            return self.get_steady(0).await;
        }
        let (first, second) = (self.put_of(0), self.put_of(1));
        let writes = vec![first.1, second.1];
        let versions = match answer("transact", self.backend.transact(&writes)).await? {
            Transacted::Applied { versions } if versions.len() == 2 => versions,
            other => return Err(Violation::new(format!("transact: {other:?} of two puts"))),
        };
        for (at, value) in [first.0, second.0].into_iter().enumerate() {
            self.made("transact", at, value, &Written::Applied { version: versions[at] })?;
            self.get_steady(at).await?;
        }
        Ok(())
    }

    fn put_of(&mut self, at: usize) -> (Value, Write) {
        self.put(&self.steady[at].0.clone())
    }

    fn put(&mut self, key: &Key) -> (Value, Write) {
        self.number += 1;
        (self.number, Write::put(key.clone(), stamp::value(key, self.number)))
    }

    fn shared_of_one_group(&mut self, count: usize) -> Vec<Key> {
        let group = self.random.index(4);
        let places: Vec<usize> = (group..SHARED).step_by(4).collect();
        let places = self.random.pick(&places, count);
        places.into_iter().map(|at| self.shared[at].clone()).collect()
    }

    /// Notes what a put of a steady key made of it.
    fn made(&mut self, call: &str, at: usize, value: Value, written: &Written) -> Outcome {
        let last = self.steady[at].1.map(|seen| seen.version);
        match written {
            Written::Applied { version: Some(version) } if Some(*version) > last => {
                self.steady[at].1 = Some(Seen { value, version: *version });
                Ok(())
            }
            other => {
                let text = format!("{call}: {other:?} of a key that nobody else changes");
                Err(Violation::new(format!("{text}, after version {last:?}")))
            }
        }
    }

    /// Checks that a steady key shows what this task made of it.
    fn is_steady(&self, call: &str, at: usize, entry: Option<&Entry>) -> Outcome {
        let (key, held) = &self.steady[at];
        let seen = entry.map(|entry| stamp::seen(key, entry));
        if seen == *held {
            return Ok(());
        }
        Err(Violation::new(format!("{call}: it shows {seen:x?} and this task made it {held:x?}")))
    }

    /// Checks that an answer is of this shared key, and not older than what was seen of it.
    fn look(&mut self, key: &Key, entry: Option<&Entry>) -> Outcome {
        let Some(entry) = entry else { return Ok(()) };
        let seen = stamp::seen(key, entry);
        if seen.value == 0 {
            return Err(Violation::new("a value of another key, or not a whole one".to_owned()));
        }
        let Some(last) = self.last.insert(key.clone(), seen) else { return Ok(()) };
        let belongs = match seen.version.cmp(&last.version) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => seen.value == last.value,
            std::cmp::Ordering::Greater => seen.value != last.value,
        };
        if belongs {
            return Ok(());
        }
        Err(Violation::new(format!("it shows {seen:x?}, and showed {last:x?} before")))
    }
}

/// The answer to a call that is not dropped, and so must neither fail nor hang.
async fn answer<T>(name: &str, call: impl Future<Output = Result<T>>) -> Outcome<T> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(_) => Err(Violation::new(format!("{name}: no answer after {CALL_MAX:?}"))),
    }
}

fn failed(error: &Error) -> Violation {
    Violation::new(format!("a call failed that was not dropped: {error:?}"))
}
