//! One pass between a store's users and its backend.
//!
//! In this order, for every call: what is late is not begun; what is over the limit of calls under
//! way is turned away; where the breaker of the key's server is open, the call fails at once; then
//! the attempt is made, within the time that is left; its outcome is told to the breaker; and it is
//! made again if that is safe, if there is time, and if the budget pays for it. A repeat begins at
//! the breaker. Where reads are [hedged](hedge), an attempt may put its question twice.

mod attempts;
mod budget;
mod config;
mod deadline;
mod endpoint;
mod hedge;
mod limit;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, timeout};

use crate::backend::{
    Backend, BackendInfo, Entry, Error, ErrorKind, Health, Key, Result, ScanPage, ScanRequest,
    Transacted, Write, Written,
};
use crate::breaker::Snapshot;
use crate::nanos::nanos;
use crate::observe::{Digest, Meters, Operation, Outcome};

use attempts::{Attempts, Kind, late};
pub(super) use config::GuardConfig;
use endpoint::Endpoint;

/// A trial that takes longer has failed: whoever asks for health does not wait.
const TRIAL_LONGEST: Duration = Duration::from_secs(1);
/// How many servers are told apart. More than that share breakers.
const ENDPOINTS: usize = 64;

/// A backend, and what is between it and those who use it.
#[derive(Debug)]
pub(super) struct Guard {
    backend: Arc<dyn Backend>,
    config: GuardConfig,
    endpoints: Box<[Endpoint]>,
    born: Instant,
    pub(super) meters: Meters,
}

impl Guard {
    pub(super) fn new(backend: Arc<dyn Backend>, config: GuardConfig) -> Result<Self> {
        let name = backend.info().name;
        let endpoint = |number| Endpoint::new(name, number, config.breaker());
        let endpoints = (0..ENDPOINTS).map(endpoint);
        let endpoints = endpoints.collect::<Result<_>>()?;
        Ok(Self { backend, config, endpoints, born: Instant::now(), meters: Meters::new(name) })
    }

    pub(super) fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    /// A call of a user: all its trips have one deadline.
    pub(super) fn one_call<F: Future>(&self, call: F) -> impl Future<Output = F::Output> {
        deadline::scope(self.config.deadline, call)
    }

    /// Waits for something of this process no longer than the call has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if it does not come in time.
    pub(super) async fn in_time<F: Future>(&self, wait: F) -> Result<F::Output> {
        let deadline = deadline::current(Instant::now(), self.config.deadline);
        let late = || late("others are still at it, and the time for this call is over");
        deadline::within(deadline, async { Ok(wait.await) }, late).await
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        if let Some(answer) = self.backend.get_ready(key) {
            self.endpoint(key).heard();
            return Ok(answer);
        }
        let call = Call::new(Operation::Get, key);
        self.pass(self.endpoint(key), call, || self.backend.get(key)).await
    }

    /// In one trip to each server that has some of the keys.
    pub(super) async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let number = self.backend.endpoint(first);
        if keys.iter().all(|key| self.backend.endpoint(key) == number) {
            return self.get_together(number, keys).await;
        }
        let mut apart: Vec<(usize, Vec<Key>, Vec<usize>)> = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            let number = self.backend.endpoint(key);
            let at = apart.iter().position(|(other, ..)| *other == number).unwrap_or_else(|| {
                apart.push((number, Vec::new(), Vec::new()));
                apart.len() - 1
            });
            apart[at].1.push(key.clone());
            apart[at].2.push(position);
        }
        let asked = apart.iter().map(|(number, keys, _)| self.get_together(*number, keys));
        let answers = try_join_all(asked).await?;
        let mut entries = vec![None; keys.len()];
        for ((_, _, positions), answer) in apart.iter().zip(answers) {
            for (position, entry) in positions.iter().zip(answer) {
                entries[*position] = entry;
            }
        }
        Ok(entries)
    }

    async fn get_together(&self, number: usize, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let call = Call::new(Operation::GetMany, &keys[0]);
        let endpoint = self.numbered(number);
        let entries = self.pass(endpoint, call, || self.backend.get_many(keys)).await?;
        if entries.len() == keys.len() {
            return Ok(entries);
        }
        let detail = "the backend broke its contract: it gave another number of answers than it \
                      was asked for; report it";
        Err(Error::new(ErrorKind::Other, detail))
    }

    pub(super) async fn write(&self, write: &Write) -> Result<Written> {
        let call = Call::new(Operation::Write, write.key());
        self.pass(self.endpoint(call.key), call, || self.backend.write(write)).await
    }

    pub(super) async fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        // A group has one.
        let Some(first) = writes.first() else { return self.backend.transact(writes).await };
        let call = Call::new(Operation::Transact, first.key());
        self.pass(self.endpoint(call.key), call, || self.backend.transact(writes)).await
    }

    /// Past the breakers: this is what tells whether the store is there.
    pub(super) async fn check(&self) -> Result<Health> {
        self.backend.check().await
    }

    /// As [`check`](Self::check): by one of these writes to each server, whether it takes any.
    pub(super) async fn try_writes(&self, trials: Vec<Write>, mut health: Health) -> Health {
        let mut met = BTreeSet::new();
        let one_each = trials.iter().filter(|trial| met.insert(self.backend.endpoint(trial.key())));
        let failed = join_all(one_each.map(|trial| self.try_out(trial))).await;
        for warning in failed.into_iter().flatten() {
            if !health.warnings.contains(&warning) {
                health.warnings.push(warning);
            }
        }
        self.meters.health(&health);
        health
    }

    /// What keeps a write from being made and confirmed, if anything does.
    async fn try_out(&self, trial: &Write) -> Option<String> {
        match timeout(TRIAL_LONGEST, self.backend.write(trial)).await {
            Ok(Ok(_written)) => None,
            Ok(Err(error)) => Some(format!("a write was tried and failed: {error}")),
            Err(_elapsed) => {
                Some(format!("a write was tried and got no answer in {TRIAL_LONGEST:?}"))
            }
        }
    }

    /// In the background, so past the breakers and without a deadline.
    pub(super) async fn sweep(&self) -> Result<usize> {
        self.backend.sweep().await
    }

    /// As [`sweep`](Self::sweep).
    pub(super) async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.backend.scan(request).await
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.backend.close().await
    }

    /// The breakers of all servers that were used so far, by the number of the server.
    pub(super) fn breakers(&self) -> impl Iterator<Item = (usize, Snapshot)> {
        let used = self.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.was_used());
        used.map(|(number, endpoint)| (number, endpoint.breaker.snapshot()))
    }

    /// Takes the price of a repeat that the caller makes itself, because it can tell what became
    /// of a write of its own.
    pub(super) fn may_settle(&self, key: &Key, error: &Error) -> bool {
        error.is_ambiguous() && self.endpoint(key).pays_for(error)
    }

    /// Somebody waits for the key's server: for how long nobody has had an answer from it.
    pub(super) fn silent_for(&self, key: &Key) -> Duration {
        let now_ns = nanos(self.born.elapsed()).max(1);
        let since_ns = self.endpoint(key).silent_since_ns(now_ns);
        Duration::from_nanos(now_ns.saturating_sub(since_ns))
    }

    fn endpoint(&self, key: &Key) -> &Endpoint {
        self.numbered(self.backend.endpoint(key))
    }

    fn numbered(&self, number: usize) -> &Endpoint {
        &self.endpoints[number % ENDPOINTS]
    }

    /// One call, and what is told of it.
    async fn pass<T, F>(
        &self,
        endpoint: &Endpoint,
        call: Call<'_>,
        make: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = Attempts::new(&self.config, endpoint, call.kind());
        let answer = loop {
            let permit = match attempts.begin() {
                Ok(permit) => permit,
                Err(error) => break Err(error),
            };
            let (limit, unanswered) = (attempts.limit(), || call.kind().unanswered());
            let answer = if attempts.hedges() {
                deadline::within(limit, endpoint.hedge.ask(&make), unanswered).await
            } else {
                deadline::within(limit, make(), unanswered).await
            };
            match attempts.end(permit, &answer) {
                None => break answer,
                Some(pause) => {
                    drop(answer);
                    self.meters.repeat();
                    attempts.pause(pause).await;
                }
            }
        };
        let (outcome, took) = (Outcome::of(&answer), || attempts.took());
        self.meters.call(call.operation, outcome, took);
        tracing::debug!(
            operation = call.operation.name(),
            namespace = call.key.namespace(),
            key = %Digest(call.key),
            outcome = outcome.name(),
            took_us = u64::try_from(took().as_micros()).unwrap_or(u64::MAX),
            "call"
        );
        answer
    }
}

/// A call, as it is told of.
#[derive(Clone, Copy)]
struct Call<'a> {
    operation: Operation,
    key: &'a Key,
}

impl<'a> Call<'a> {
    fn new(operation: Operation, key: &'a Key) -> Self {
        Self { operation, key }
    }

    fn kind(self) -> Kind {
        match self.operation {
            Operation::Get | Operation::GetMany => Kind::Read,
            Operation::Write | Operation::Transact => Kind::Write,
        }
    }
}
