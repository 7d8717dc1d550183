//! Histories: what many tasks were told while faults happened, checked for linearizability.

mod cancellation;
mod check;
mod faults;
mod operation;
mod random;
mod recorded;
mod stamp;
mod worker;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use steadfast_backend::{Backend, Group, Key, Namespace, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use cancellation::{Cancellation, Drops};
pub use faults::{Faults, Losing};
pub use recorded::{Figures, Recorded, Violation};

use random::Random;
use worker::{GROUPS, Worked, Worker};

/// Few, so that tasks meet.
const KEYS: usize = 12;
/// How long a store may take to answer again after the last fault.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// Many tasks that write to few keys under conditions, read, and now and then drop a call, while
/// faults happen. [`Recorded::check`] then says whether all they were told makes sense.
///
/// ```
/// use std::sync::Arc;
/// use steadfast_backend::SystemClock;
/// use steadfast_conformance::{History, ModelBackend};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = Arc::new(ModelBackend::with_clock(SystemClock::start()));
/// let recorded = History::new(16, 100).run(backend, |mut faults| async move {
///     while faults.wait(5..50).await {
///         // Break something, by `faults.below(…)`; wait; heal it.
///     }
/// });
/// let figures = recorded.await?.check()?;
/// assert!(figures.applied > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct History {
    tasks: usize,
    writes: usize,
    seed: u64,
}

impl History {
    /// So many tasks, each of which goes on until so many of its writes were answered; with a
    /// random seed.
    pub fn new(tasks: usize, writes: usize) -> Self {
        Self { tasks, writes, seed: crate::context::random() }
    }

    /// The same with what the environment sets: `STEADFAST_HISTORY_WRITES` per task, and
    /// `STEADFAST_HISTORY_SEED`.
    #[must_use]
    pub fn from_env(mut self) -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        if let Some(writes) = number("STEADFAST_HISTORY_WRITES") {
            self.writes = usize::try_from(writes).unwrap_or(usize::MAX);
        }
        self.seed = number("STEADFAST_HISTORY_SEED").unwrap_or(self.seed);
        self
    }

    /// The same with this seed. It repeats what the tasks try, not how the calls overlap.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many writes all tasks together want answered.
    pub fn writes(&self) -> usize {
        self.tasks * self.writes
    }

    /// Runs it in a random namespace. `inject` makes faults until [`Faults::wait`] says that all
    /// writes are made; every key is read once after that.
    ///
    /// # Errors
    ///
    /// None that comes from the backend: those are part of the history.
    pub async fn run<F: Future<Output = ()>>(
        self,
        backend: Arc<dyn Backend>,
        inject: impl FnOnce(Faults) -> F,
    ) -> Result<Recorded> {
        println!("STEADFAST_HISTORY_SEED={}", self.seed);
        let (keys, started) = (keys()?, Instant::now());
        let (over, watching) = watch::channel(());
        let losses = Arc::new(Mutex::default());
        let faults = Faults::new(self.seed, watching, started, Arc::clone(&losses));
        let worker = |task: usize| {
            let random = Random::new(self.seed ^ Random::new(task as u64).next());
            Worker::new(Arc::clone(&backend), Arc::clone(&keys), task, started, random)
        };
        let mut workers = JoinSet::new();
        for task in 0..self.tasks {
            workers.spawn(worker(task).work(self.writes));
        }
        let work = async {
            let mut all = Vec::new();
            while let Some(worked) = workers.join_next().await {
                all.push(worked.unwrap_or_else(|error| Worked {
                    misdeed: Some(format!("a task died: {error}")),
                    ..Worked::default()
                }));
            }
            drop(over);
            all
        };
        let (mut all, ()) = tokio::join!(work, inject(faults));
        let took = started.elapsed();
        all.push(read_all(worker(self.tasks)).await);
        let losses = std::mem::take(&mut *losses.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.recorded(all, losses, took))
    }

    fn recorded(&self, all: Vec<Worked>, losses: Vec<operation::Span>, took: Duration) -> Recorded {
        let mut keys: Vec<_> = (0..KEYS).map(|_| Vec::new()).collect();
        let mut misdeeds = Vec::new();
        for worked in all {
            misdeeds.extend(worked.misdeed);
            for (key, operation) in worked.operations {
                keys[key].push(operation);
            }
        }
        for operations in &mut keys {
            operations.sort_by_key(|operation| operation.span.from);
        }
        Recorded { seed: self.seed, took, keys, losses, misdeeds }
    }
}

fn keys() -> Result<Arc<[Key]>> {
    let namespace = Namespace::new(&format!("history:{:016x}", crate::context::random()))?;
    let key = |number: usize| {
        let group = Group::new(&format!("group-{}", number % GROUPS))?;
        Key::new(&namespace, &group, &format!("key-{number}"))
    };
    (0..KEYS).map(key).collect()
}

/// Reads all keys, as soon as the store answers.
async fn read_all(mut reader: Worker) -> Worked {
    let since = Instant::now();
    while !reader.read_all().await {
        if since.elapsed() > RECOVERY_MAX {
            let misdeed = format!("no answer for {RECOVERY_MAX:?} after the last fault");
            return Worked { misdeed: Some(misdeed), ..reader.worked() };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader.worked()
}

fn nanos_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
