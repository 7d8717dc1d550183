//! What the store did not take while it was out is written in the background once it is back. A
//! retry then need not wait for the end of a lease that nobody holds any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::State;
use crate::backend::{Condition, Error, Key, Result, Retry, Write};

use super::record::{Phase, owner_of};
use super::run::detached;
use super::{Execution, Idempotency, Reason};

/// How many wait for the store at once. What is left out lapses with its lease.
const LATE_MAX: usize = 1_024;
/// How many of them ask it at once: requests come first.
const AT_ONCE_MAX: usize = 32;
/// How long each of them does, at most.
const LATE_FOR: Duration = Duration::from_secs(3_600);
/// About how long between two questions whether the store is back.
const PAUSE: Duration = Duration::from_millis(500);

/// Bounds what waits for the store, and what asks it at once.
#[derive(Debug)]
pub(super) struct Places {
    places: Arc<Semaphore>,
    turns: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(LATE_MAX));
        Self { places, turns: Semaphore::new(AT_ONCE_MAX) }
    }
}

/// What is still to be written of a claim.
pub(super) enum Late<A> {
    /// It failed, and may have been made all the same: nobody holds it.
    Withdraw {
        key: Key,
        caller: [u8; 16],
    },
    Complete(Execution<A>, A),
    Release(Execution<A>),
    #[cfg(feature = "poem")]
    Forget(Execution<A>),
    GiveUp(Execution<A>, Reason),
}

impl<A: State> Late<A> {
    /// After a call that failed with an error that passes.
    pub(super) fn write_once_back(self, idempotency: &Idempotency<A>, error: &Error) {
        if error.retry() == Retry::Never {
            return;
        }
        let late = &idempotency.background.late;
        let Ok(place) = late.places.clone().try_acquire_owned() else {
            warn!("too many claims wait for the store; one of them lapses with its lease");
            return;
        };
        let idempotency = idempotency.clone();
        drop(detached(async move {
            // Of what is forgotten by then, nothing may be left.
            let end = Instant::now() + LATE_FOR.min(idempotency.retention());
            loop {
                sleep(crate::random::about(PAUSE)).await;
                let turn = idempotency.background.late.turns.acquire().await;
                match self.write(&idempotency).await {
                    Err(error) if error.retry() != Retry::Never && Instant::now() < end => {}
                    _over => break,
                }
                drop(turn);
            }
            drop(place);
        }));
    }

    async fn write(&self, idempotency: &Idempotency<A>) -> Result<()> {
        match self {
            Self::Withdraw { key, caller } => withdraw(idempotency, key, *caller).await,
            Self::Complete(execution, answer) => {
                execution.held().await.claim.complete(answer).await.map(drop)
            }
            Self::Release(execution) => execution.held().await.claim.release().await.map(drop),
            #[cfg(feature = "poem")]
            Self::Forget(execution) => execution.held().await.claim.forget().await.map(drop),
            Self::GiveUp(execution, reason) => {
                execution.held().await.claim.tombstone(*reason, None).await.map(drop)
            }
        }
    }
}

/// Ends a claim that was made for a caller who does not know it.
async fn withdraw<A: State>(
    idempotency: &Idempotency<A>,
    key: &Key,
    caller: [u8; 16],
) -> Result<()> {
    let Some(entry) = idempotency.store.entry(key).await? else { return Ok(()) };
    let mut head = idempotency.open(key, &entry)?.head;
    let is_its = head.owner == owner_of(caller, head.attempt);
    if !is_its || !matches!(head.phase, Phase::Running { .. }) {
        return Ok(());
    }
    let only_if = Condition::VersionIs(entry.version);
    let write = if head.attempt == 1 {
        Write::delete(key.clone()).only_if(only_if)
    } else {
        // What the holders before it may have done stays unknown.
        head.phase = Phase::Indeterminate { reason: Reason::Cancelled, answered: false };
        idempotency.compose(key, &head, None, only_if)?
    };
    // If it is refused, the key is somebody else's by now.
    idempotency.store.write(&write).await.map(drop)
}
