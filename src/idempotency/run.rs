//! Work that is begun, kept alive and settled in the background: the one engine below
//! [`Idempotency::run`] and the HTTP middlewares.

use std::fmt;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, error, warn};

use crate::State;
use crate::backend::{Error, ErrorKind, Result, Retry};

use super::drain::Entered;
use super::late::Late;
use super::{
    Begin, Claim, Completion, Execution, Fingerprint, Idempotency, IdempotencyKey, Reason, Release,
    Scope, Tombstone,
};

/// What became of work in [`Idempotency::run`]. `Debug` does not show the answer.
#[must_use = "only `Executed` and `Replayed` have an answer that counts"]
pub enum Ran<A, E> {
    /// It was executed now; the answer is kept. One that is too large is not: a retry gets
    /// [`Indeterminate`](Self::Indeterminate) with [`Reason::Oversize`].
    Executed(A),
    /// It was done before, or by somebody who took over; this is the answer.
    Replayed(A),
    /// It was executed now and failed.
    Failed(E),
    /// Somebody is at it; see [`Begin::InFlight`].
    InFlight {
        /// What is left of their lease, at most.
        lease_left: Duration,
    },
    /// The key was used for other work.
    Mismatch,
    /// See [`Begin::Lapsed`].
    Lapsed {
        /// How many holders there were.
        attempt: u16,
    },
    /// See [`Begin::Indeterminate`]; also for work that panicked or was cut off now.
    Indeterminate {
        /// Why it is unknown.
        reason: Reason,
        /// What an earlier caller was told, if that was kept.
        answer: Option<A>,
    },
}

impl<A, E: fmt::Debug> fmt::Debug for Ran<A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executed(_) => f.write_str("Executed"),
            Self::Replayed(_) => f.write_str("Replayed"),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
            Self::InFlight { lease_left } => write!(f, "InFlight({lease_left:?} left)"),
            Self::Mismatch => f.write_str("Mismatch"),
            Self::Lapsed { attempt } => write!(f, "Lapsed(attempt {attempt})"),
            Self::Indeterminate { reason, .. } => write!(f, "Indeterminate({reason:?})"),
        }
    }
}

/// How work fails. `?` makes it `Unknown`.
#[derive(Debug)]
pub enum Failure<E> {
    /// Nothing was executed: the key is free again.
    NotExecuted(E),
    /// It may have had effects: what the next caller gets follows [`OnLapse`](super::OnLapse).
    Unknown(E),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Unknown(error)
    }
}

/// How work ended by itself: what to keep of it, and what is for its caller.
pub(crate) enum Ending<A, R, E> {
    Answer(A, R),
    /// If the key cannot be given back, the answer is what its caller was told.
    NotExecuted(Option<A>, E),
    Unknown(Reason, Option<A>, E),
}

/// How an execution ended whose claim is settled.
pub(crate) enum Settled<A, R, E> {
    /// By itself, and it counts.
    Own(Ending<A, R, E>),
    /// By itself, with an answer that the store did not keep. The claim is still there.
    Unkept(Error, R, Execution<A>),
    /// What it did does not count; the winner's answer, if it is there.
    Fenced(Option<A>),
    /// It panicked or was cut off.
    Broken(Reason),
}

/// Keeping an answer is tried again for so long.
const INSIST: Duration = Duration::from_secs(2);

impl<A: State> Idempotency<A> {
    /// Claims a key, does the work if it is new, and keeps the answer; needs a tokio runtime. For
    /// consumers of messages that come more than once, commands to devices, and jobs.
    ///
    /// The work runs on a task of its own: it goes on if this future is dropped, and its lease is
    /// renewed until it ends. If it panics, takes longer than its
    /// [`deadline`](super::IdempotencyBuilder::deadline), or the process is [shut
    /// down](Self::shutdown), its outcome is unknown. It is cut off at its next await then; if the
    /// lease is lost it is only [told](Execution::lease_lost).
    ///
    /// ```
    /// # use steadfast::idempotency::*;
    /// # use steadfast::{Error, Idempotency, Result};
    /// # async fn charge(card: &str, downstream_key: &str) -> Result<()> { Ok(()) }
    /// async fn pay(payments: &Idempotency<()>, scope: &Scope, id: &str) -> Result<bool> {
    ///     let (key, asked) = (IdempotencyKey::new(id)?, Fingerprint::of(["10 EUR"]));
    ///     let ran = payments.run(scope, &key, &asked, |execution| async move {
    ///         charge("10 EUR", execution.downstream_key()).await?;
    ///         Ok::<_, Failure<Error>>(())
    ///     });
    ///     Ok(matches!(ran.await?, Ran::Executed(()) | Ran::Replayed(())))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What the store says. [`ErrorKind::Closed`] after [`shutdown`](Self::shutdown). After an
    /// error the work may have been executed; a repeat finds out, under the same key.
    ///
    /// What an outage left undone is written in the background within a second or so of its end,
    /// while this process lives: a claim that nobody holds is given back, an answer is kept.
    pub async fn run<E, F>(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
        work: impl FnOnce(Execution<A>) -> F + Send + 'static,
    ) -> Result<Ran<A, E>>
    where
        E: Send + 'static,
        F: Future<Output = std::result::Result<A, Failure<E>>> + Send + 'static,
    {
        let (this, scope, key) = (self.clone(), scope.clone(), key.clone());
        let fingerprint = *fingerprint;
        let ran = detached(async move { this.run_here(&scope, &key, &fingerprint, work).await });
        ran.await.unwrap_or_else(|_cut_off| {
            let detail = "the runtime ended before the work did; the key lapses";
            Err(Error::new(ErrorKind::Closed, detail))
        })
    }

    async fn run_here<E, F>(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
        work: impl FnOnce(Execution<A>) -> F,
    ) -> Result<Ran<A, E>>
    where
        E: Send + 'static,
        F: Future<Output = std::result::Result<A, Failure<E>>> + Send + 'static,
    {
        let _entered = self.enter()?;
        let (begin, sent) = self.begin_waiting(scope, key, fingerprint).await?;
        let claim = match begin {
            Begin::Acquired(claim) => claim,
            Begin::Replay(answer) => return Ok(Ran::Replayed(answer)),
            Begin::InFlight { lease_left, .. } => return Ok(Ran::InFlight { lease_left }),
            Begin::Mismatch => return Ok(Ran::Mismatch),
            Begin::Lapsed { attempt } => return Ok(Ran::Lapsed { attempt }),
            Begin::Indeterminate { reason, answer } => {
                return Ok(Ran::Indeterminate { reason, answer });
            }
        };
        let work = |execution| {
            let work = work(execution);
            async move {
                match work.await {
                    Ok(answer) => Ending::Answer(answer, ()),
                    Err(Failure::NotExecuted(error)) => Ending::NotExecuted(None, error),
                    Err(Failure::Unknown(error)) => Ending::Unknown(Reason::Failed, None, error),
                }
            }
        };
        Ok(match self.execute(claim, sent, work).await? {
            Settled::Own(Ending::Answer(answer, ())) => Ran::Executed(answer),
            Settled::Own(Ending::NotExecuted(_, error) | Ending::Unknown(_, _, error)) => {
                Ran::Failed(error)
            }
            Settled::Unkept(error, (), _claimed) => return Err(error),
            Settled::Fenced(Some(answer)) => Ran::Replayed(answer),
            Settled::Fenced(None) => Ran::InFlight { lease_left: self.lease() },
            Settled::Broken(reason) => Ran::Indeterminate { reason, answer: None },
        })
    }

    /// Claims a key; while somebody else runs, asks again for as long as the settings say. Also
    /// gives the time before the claim was sent, which its lease counts from here.
    pub(crate) async fn begin_waiting(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<(Begin<A>, Instant)> {
        let wait_end = Instant::now() + self.background.wait;
        let store_key = scope.store_key(&self.store, key)?;
        loop {
            let (sent, caller) = (Instant::now(), crate::random::bytes()?);
            let begin = self.begin_as(caller, &store_key, fingerprint).await;
            let begin = begin.inspect_err(|error| {
                if error.is_ambiguous() {
                    let key = store_key.clone();
                    Late::Withdraw { key, caller }.write_once_back(self, error);
                }
            })?;
            // Those who wait for one key should not ask all at once.
            let pause = crate::random::about(Duration::from_millis(100));
            if !matches!(begin, Begin::InFlight { .. }) || sent + pause > wait_end {
                return Ok((begin, sent));
            }
            sleep(pause).await;
        }
    }

    /// Does the work on a task of its own, keeps its lease meanwhile, then settles the claim.
    pub(crate) async fn execute<R, E, F>(
        &self,
        claim: Claim<A>,
        sent: Instant,
        work: impl FnOnce(Execution<A>) -> F,
    ) -> Result<Settled<A, R, E>>
    where
        R: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Ending<A, R, E>> + Send + 'static,
    {
        let execution = Execution::new(claim);
        let mut work = detached(work(execution.clone()));
        let cut_off = tokio::select! {
            biased;
            ended = &mut work => return Ok(settle(&execution, ended).await),
            () = self.background.over() => Reason::Shutdown,
            () = sleep(self.background.deadline) => Reason::Deadline,
            // Never ends.
            () = execution.keep_alive(sent, self.lease()) => Reason::Cancelled,
        };
        warn!(reason = ?cut_off, "an idempotent execution is cut off");
        execution.lose();
        work.abort();
        Ok(match give_up(&execution, cut_off, None).await {
            Completion::Completed => Settled::Broken(cut_off),
            Completion::Fenced { winner } => Settled::Fenced(winner),
        })
    }

    pub(crate) fn enter(&self) -> Result<Entered> {
        self.background.enter()
    }
}

/// Runs on a task of its own. If the wait for it is cut off, the task goes on.
pub(crate) fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(work.in_current_span())
}

/// Ends the claim as the work ended. If somebody else's answer counts, this one's does not.
async fn settle<A: State, R, E>(
    execution: &Execution<A>,
    ended: std::result::Result<Ending<A, R, E>, JoinError>,
) -> Settled<A, R, E> {
    let (settled, counts) = match ended {
        Ok(Ending::Answer(answer, told)) => match complete(execution, &answer).await {
            Ok(counts) => (Settled::Own(Ending::Answer(answer, told)), counts),
            Err(error) => {
                late(execution, &error, Late::Complete(execution.clone(), answer)).await;
                return Settled::Unkept(error, told, execution.clone());
            }
        },
        Ok(Ending::NotExecuted(answer, told)) => {
            let counts = release(execution, answer.as_ref()).await;
            (Settled::Own(Ending::NotExecuted(answer, told)), counts)
        }
        Ok(Ending::Unknown(reason, answer, told)) => {
            let counts = give_up(execution, reason, answer.as_ref()).await;
            (Settled::Own(Ending::Unknown(reason, answer, told)), counts)
        }
        Err(broken) => {
            let reason = if broken.is_panic() { Reason::Panicked } else { Reason::Cancelled };
            error!(?reason, "an idempotent execution broke off");
            (Settled::Broken(reason), give_up(execution, reason, None).await)
        }
    };
    match counts {
        Completion::Completed => settled,
        Completion::Fenced { winner } => Settled::Fenced(winner),
    }
}

async fn complete<A: State>(execution: &Execution<A>, answer: &A) -> Result<Completion<A>> {
    let held = execution.held().await;
    if held.completed {
        return Ok(Completion::Completed);
    }
    let failed = match insist(|| held.claim.complete(answer)).await {
        Err(error) if [ErrorKind::TooLarge, ErrorKind::Invalid].contains(&error.kind()) => error,
        completion => return completion,
    };
    drop(held);
    error!(error = %failed, "an answer cannot be kept");
    let oversize = failed.kind() == ErrorKind::TooLarge;
    let reason = if oversize { Reason::Oversize } else { Reason::Failed };
    match give_up(execution, reason, None).await {
        Completion::Completed if !oversize => Err(failed),
        counts => Ok(counts),
    }
}

/// Gives the key back, as nothing was executed.
async fn release<A: State>(execution: &Execution<A>, told: Option<&A>) -> Completion<A> {
    let held = execution.held().await;
    let released = insist(|| held.claim.release()).await;
    drop(held);
    match released {
        Ok(Release::Released) => Completion::Completed,
        // If it is not ours any more, or was committed before, another answer counts.
        Ok(Release::Lost | Release::Refused) => give_up(execution, Reason::Failed, told).await,
        Err(error) => {
            warn!(%error, "an idempotency key was not given back");
            late(execution, &error, Late::Release(execution.clone())).await;
            Completion::Completed
        }
    }
}

/// Gives back a key whose request is refused.
#[cfg(feature = "poem")]
pub(crate) async fn refuse<A: State>(claim: Claim<A>) {
    let _completion = release(&Execution::new(claim), None).await;
}

/// Gives the key back though the work was done, where a retry may do it again. That needs no room.
#[cfg(feature = "poem")]
pub(crate) async fn forget<A: State>(execution: &Execution<A>) {
    let held = execution.held().await;
    let forgotten = insist(|| held.claim.forget()).await;
    drop(held);
    if let Err(error) = forgotten {
        warn!(%error, "an idempotency key was not given back");
        late(execution, &error, Late::Forget(execution.clone())).await;
    }
}

/// Until the store takes it, the key lapses with its lease, which says the same.
pub(crate) async fn give_up<A: State>(
    execution: &Execution<A>,
    reason: Reason,
    told: Option<&A>,
) -> Completion<A> {
    let held = execution.held().await;
    let kept = insist(|| held.claim.tombstone(reason, told)).await;
    drop(held);
    match kept {
        Ok(Tombstone::Kept) => Completion::Completed,
        Ok(Tombstone::Fenced { winner }) => Completion::Fenced { winner },
        Err(error) => {
            warn!(%error, ?reason, "an unknown outcome was not kept");
            late(execution, &error, Late::GiveUp(execution.clone(), reason)).await;
            Completion::Completed
        }
    }
}

async fn late<A: State>(execution: &Execution<A>, error: &Error, late: Late<A>) {
    let idempotency = execution.held().await.claim.idempotency.clone();
    late.write_once_back(&idempotency, error);
}

/// Calls until it is done, or fails for good, or too much time has passed.
async fn insist<T, F: Future<Output = Result<T>>>(mut call: impl FnMut() -> F) -> Result<T> {
    let end = Instant::now() + INSIST;
    loop {
        let error = match call().await {
            Err(error) => error,
            done => return done,
        };
        match error.retry() {
            Retry::After(pause) if Instant::now() + pause < end => sleep(pause).await,
            _ => return Err(error),
        }
    }
}
