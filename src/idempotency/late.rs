//! What the store did not take while it was out is written in the background once it is back. A
//! retry then need not wait for the end of a lease that nobody holds any more.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::State;
use crate::backend::{Condition, Error, ErrorKind, Key, Result, Retry, Write};

use super::record::Phase;
use super::run::detached;
use super::{Execution, Idempotency, Reason};

/// How many wait for the store at once. What is left out lapses with its lease.
pub(super) const LATE_MAX: usize = 1_024;
/// How long each of them does, at most.
const LATE_FOR: Duration = Duration::from_secs(3_600);
/// About how long between two questions whether the store is back.
const PAUSE: Duration = Duration::from_millis(500);

/// What is still to be written of a claim.
pub(super) enum Late<A> {
    /// It failed, and may have been made all the same: nobody holds it.
    Withdraw {
        key: Key,
        owner: [u8; 16],
    },
    Complete(Execution<A>, A),
    Release(Execution<A>),
    GiveUp(Execution<A>, Reason),
}

impl<A: State> Late<A> {
    /// After a call that failed with an error that passes.
    pub(super) fn write_once_back(self, idempotency: &Idempotency<A>, error: &Error) {
        if error.retry() == Retry::Never {
            return;
        }
        let Ok(place) = idempotency.background.late.clone().try_acquire_owned() else {
            warn!("too many claims wait for the store; one of them lapses with its lease");
            return;
        };
        let idempotency = idempotency.clone();
        drop(detached(async move {
            // Of what is forgotten by then, nothing may be left.
            let end = Instant::now() + LATE_FOR.min(idempotency.retention());
            loop {
                sleep(crate::random::about(PAUSE)).await;
                match self.write(&idempotency).await {
                    Err(error) if is_to_come(&error) && Instant::now() < end => {}
                    _over => break,
                }
            }
            drop(place);
        }));
    }

    async fn write(&self, idempotency: &Idempotency<A>) -> Result<()> {
        match self {
            Self::Withdraw { key, owner } => withdraw(idempotency, key, owner).await,
            Self::Complete(execution, answer) => {
                execution.held().await.claim.complete(answer).await.map(drop)
            }
            Self::Release(execution) => execution.held().await.claim.release().await.map(drop),
            Self::GiveUp(execution, reason) => {
                execution.held().await.claim.tombstone(*reason, None).await.map(drop)
            }
        }
    }
}

/// What was written and is not confirmed is there: whoever finds it asks for that again.
fn is_to_come(error: &Error) -> bool {
    error.retry() != Retry::Never && error.kind() != ErrorKind::Unconfirmed
}

async fn withdraw<A: State>(
    idempotency: &Idempotency<A>,
    key: &Key,
    owner: &[u8; 16],
) -> Result<()> {
    let Some(entry) = idempotency.store.entry(key).await? else { return Ok(()) };
    let head = idempotency.open(key, &entry)?.head;
    if head.owner == *owner && matches!(head.phase, Phase::Running { .. }) {
        let delete = Write::delete(key.clone()).only_if(Condition::VersionIs(entry.version));
        // If it is refused, the key is somebody else's by now.
        let _written = idempotency.store.write(&delete).await?;
    }
    Ok(())
}
