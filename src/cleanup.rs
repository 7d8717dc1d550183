//! A task that removes what nobody will come back for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::backend::{Error, ErrorKind, Result};
use crate::observe::CleanupMeters;
use crate::supervise::Supervised;
use crate::{Sessions, State, Store, random};

/// Removes, from time to time, entries whose time is over from stores that do not do it alone, and
/// sessions that are over from the lists of principals who do not come back. Dropping it ends it.
///
/// ```
/// # use std::time::Duration;
/// # use steadfast::{Cleanup, Sessions, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// let sessions: Sessions<()> = Sessions::builder(&store).build()?;
/// let cleanup = Cleanup::builder(&store)
///     .sessions(&sessions)
///     .every(Duration::from_secs(600))
///     .start()?;
/// let removed = cleanup.run().await?; // now, besides
/// assert_eq!(removed.expired, 0);
/// assert!(cleanup.last_run().is_some_and(|run| run.outcome.is_ok()));
/// # Ok(())
/// # }
/// ```
pub struct Cleanup {
    work: Arc<Work>,
    _task: Supervised,
}

/// Settings of a [`Cleanup`]. It runs every ten minutes unless they say otherwise.
pub struct CleanupBuilder {
    store: Store,
    sessions: Vec<SweepSessions>,
    every: Duration,
}

/// What one run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Entries whose time was over.
    pub expired: usize,
    /// Sessions that were over and still listed, and lists of nobody.
    pub listed: usize,
}

/// How a run went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastRun {
    /// How long ago it ended.
    pub age: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it removed, or why it did not get to its end.
    pub outcome: std::result::Result<Removed, String>,
}

type SweepSessions = Box<dyn Fn() -> BoxFuture<'static, Result<usize>> + Send + Sync>;

struct Work {
    store: Store,
    sessions: Vec<SweepSessions>,
    meters: CleanupMeters,
    last: Mutex<Option<Ended>>,
}

#[derive(Clone)]
struct Ended {
    at: Instant,
    took: Duration,
    outcome: std::result::Result<Removed, String>,
}

impl Cleanup {
    /// For the entries of this store.
    pub fn builder(store: &Store) -> CleanupBuilder {
        let every = Duration::from_secs(600);
        CleanupBuilder { store: store.clone(), sessions: Vec::new(), every }
    }

    /// One run now, besides those that come from time to time.
    ///
    /// # Errors
    ///
    /// What the store says; what was removed until then stays removed.
    pub async fn run(&self) -> Result<Removed> {
        self.work.run().await
    }

    /// The last run that ended, whoever began it. A panic is an outcome, too.
    pub fn last_run(&self) -> Option<LastRun> {
        let last = self.work.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.map(|Ended { at, took, outcome }| LastRun { age: at.elapsed(), took, outcome })
    }
}

impl CleanupBuilder {
    /// Also for the lists of these sessions.
    #[must_use]
    pub fn sessions<T: State>(mut self, sessions: &Sessions<T>) -> Self {
        let sessions = sessions.clone();
        self.sessions.push(Box::new(move || {
            let sessions = sessions.clone();
            Box::pin(async move { sessions.sweep().await })
        }));
        self
    }

    /// About how long after one run the next begins: half of that more or less.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Begins, with the first pause.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a pause of zero, [`ErrorKind::Config`] outside of a Tokio
    /// runtime.
    pub fn start(self) -> Result<Cleanup> {
        let Self { store, sessions, every } = self;
        if every.is_zero() {
            let detail = "every is more than zero: a cleanup that runs without a pause does \
                          nothing else";
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let meters = CleanupMeters::new(store.info().name);
        let work = Arc::new(Work { store, sessions, meters, last: Mutex::default() });
        let always = {
            let work = Arc::clone(&work);
            move || {
                let work = Arc::clone(&work);
                async move { work.run_always(every).await }
            }
        };
        let task = Supervised::start("cleanup", always)?;
        Ok(Cleanup { work, _task: task })
    }
}

impl Work {
    async fn run_always(&self, every: Duration) {
        loop {
            sleep(random::about(every)).await;
            if let Err(error) = self.run().await {
                tracing::warn!(%error, "a cleanup did not get to its end; it is tried again");
            }
        }
    }

    async fn run(&self) -> Result<Removed> {
        let mut run = Run { work: self, begun: Instant::now(), outcome: None };
        let outcome = self.remove().await;
        run.outcome = Some(outcome.as_ref().map_err(ToString::to_string).copied());
        outcome
    }

    async fn remove(&self) -> Result<Removed> {
        let mut removed = Removed { expired: self.store.sweep().await?, listed: 0 };
        for sweep in &self.sessions {
            removed.listed += sweep().await?;
        }
        Ok(removed)
    }
}

/// A run under way: however it ends, that is noted.
struct Run<'a> {
    work: &'a Work,
    begun: Instant,
    outcome: Option<std::result::Result<Removed, String>>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let cut_off = || Err("it panicked, or was cut off".to_owned());
        let outcome = self.outcome.take().unwrap_or_else(cut_off);
        let (at, took) = (Instant::now(), self.begun.elapsed());
        self.work.meters.run(outcome.as_ref().ok(), took);
        let mut last = self.work.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Ended { at, took, outcome });
    }
}

impl fmt::Debug for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanup").field("last_run", &self.last_run()).finish_non_exhaustive()
    }
}

impl fmt::Debug for CleanupBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanupBuilder").field("every", &self.every).finish_non_exhaustive()
    }
}
