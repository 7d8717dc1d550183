use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use crate::State;
use crate::backend::{Bytes, Result, Version, Write};

use super::{Claim, CompletedWith, Renewal};

/// What work in [`Idempotency::run`](super::Idempotency::run) knows of its run, and what it can
/// say meanwhile. Clones are the same execution.
pub struct Execution<A>(Arc<Inner<A>>);

struct Inner<A> {
    effect_id: String,
    downstream_key: String,
    attempt: u16,
    fence: Version,
    checkpoint: Option<Bytes>,
    held: Mutex<Held<A>>,
    lost: watch::Sender<bool>,
}

/// The claim, which the work and its heartbeat share.
pub(super) struct Held<A> {
    pub(super) claim: Claim<A>,
    /// The work has completed it.
    pub(super) completed: bool,
}

impl<A: State> Execution<A> {
    pub(super) fn new(claim: Claim<A>) -> Self {
        Self(Arc::new(Inner {
            effect_id: claim.effect_id().to_owned(),
            downstream_key: claim.downstream_key(),
            attempt: claim.attempt(),
            fence: claim.fence(),
            checkpoint: claim.checkpoint().cloned(),
            held: Mutex::new(Held { claim, completed: false }),
            lost: watch::Sender::new(false),
        }))
    }

    /// See [`Claim::effect_id`].
    pub fn effect_id(&self) -> &str {
        &self.0.effect_id
    }

    /// See [`Claim::downstream_key`].
    pub fn downstream_key(&self) -> &str {
        &self.0.downstream_key
    }

    /// 1 for the first run, more if earlier ones died.
    pub fn attempt(&self) -> u16 {
        self.0.attempt
    }

    /// See [`Claim::fence`].
    pub fn fence(&self) -> Version {
        self.0.fence
    }

    /// How far earlier runs came.
    pub fn checkpoint(&self) -> Option<&Bytes> {
        self.0.checkpoint.as_ref()
    }

    /// Says that what cannot be done twice begins now; see [`Claim::mark_effects`].
    ///
    /// # Errors
    ///
    /// What the store says; do not begin then.
    pub async fn mark_effects(&self) -> Result<Renewal> {
        let renewal = self.held().await.claim.mark_effects().await?;
        Ok(self.note(renewal))
    }

    /// Keeps how far the work came; see [`Claim::save_checkpoint`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn save_checkpoint(&self, checkpoint: impl Into<Bytes>) -> Result<Renewal> {
        let renewal = self.held().await.claim.save_checkpoint(checkpoint).await?;
        Ok(self.note(renewal))
    }

    /// Keeps the answer and makes changes, all or nothing; see [`Claim::complete_with`]. Then
    /// return the same answer.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn complete_with(&self, answer: &A, changes: Vec<Write>) -> Result<CompletedWith<A>> {
        let mut held = self.held().await;
        let ended = held.claim.complete_with(answer, changes).await?;
        held.completed = matches!(ended, CompletedWith::Completed);
        Ok(ended)
    }

    /// Waits until the lease is lost: somebody took over, or it could not be renewed in time and
    /// somebody may. What is done from then on may be done twice, so stop. It is also lost when
    /// the execution is cut off. If it never is, this never ends.
    pub async fn lease_lost(&self) {
        // The sender is ours, so it cannot be gone.
        drop(self.0.lost.subscribe().wait_for(|lost| *lost).await);
    }

    /// Whether the lease is lost by now.
    pub fn is_lease_lost(&self) -> bool {
        *self.0.lost.borrow()
    }

    pub(super) fn lose(&self) {
        self.0.lost.send_replace(true);
    }

    pub(super) async fn held(&self) -> tokio::sync::MutexGuard<'_, Held<A>> {
        self.0.held.lock().await
    }

    fn note(&self, renewal: Renewal) -> Renewal {
        if renewal == Renewal::Lost {
            self.lose();
        }
        renewal
    }

    /// Renews the lease each third of it, as long as it is ours. Never ends.
    ///
    /// The lease counts from before its renewal was sent. An error is not a loss: the next beat
    /// tries again. When the lease must be over nobody knows whose the key is, so the work is told
    /// to stop, and a renewal is still tried: perhaps nobody took over.
    pub(super) async fn keep_alive(&self, begun: Instant, lease: std::time::Duration) {
        let beat = lease / 3;
        let (mut lease_end, mut next) = (begun + lease, begun + beat);
        loop {
            let told = self.is_lease_lost();
            sleep_until(if told { next } else { next.min(lease_end) }).await;
            let sent = Instant::now();
            if !told && sent >= lease_end {
                warn!(fence = self.fence().get(), "an idempotency lease could not be renewed");
                self.lose();
            }
            next = sent + beat;
            let bound = if sent < lease_end { next.min(lease_end) } else { next };
            match timeout_at(bound, self.renew()).await {
                Ok(Ok(Renewal::Renewed)) => lease_end = sent + lease,
                Ok(Ok(Renewal::Lost)) => {
                    warn!(fence = self.fence().get(), "an idempotency lease was lost");
                    self.lose();
                    return std::future::pending().await;
                }
                Ok(Err(error)) => warn!(%error, "an idempotency lease was not renewed"),
                Err(_elapsed) => warn!("the renewal of an idempotency lease took too long"),
            }
        }
    }

    async fn renew(&self) -> Result<Renewal> {
        let mut held = self.held().await;
        if held.completed { Ok(Renewal::Renewed) } else { held.claim.renew().await }
    }
}

impl<A> Clone for Execution<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A> fmt::Debug for Execution<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("attempt", &self.0.attempt)
            .field("fence", &self.0.fence)
            .finish_non_exhaustive()
    }
}
