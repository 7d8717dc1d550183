//! Which executions run in this process, and their orderly end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::State;
use crate::backend::{Error, ErrorKind, Result};
use crate::span::setting;

use super::{Idempotency, late};

/// What executions in the background share; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// How long to wait for the answer of another one.
    pub(super) wait: Duration,
    /// How long one may take.
    pub(super) deadline: Duration,
    pub(super) late: Arc<late::Places>,
    stage: Arc<watch::Sender<Stage>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    running: usize,
    /// No new ones.
    stopping: bool,
    /// Those that still run are cut off.
    over: bool,
}

const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long executions that were cut off have to say so to the store.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Background {
    pub(super) fn new(wait: Duration, deadline: Duration) -> Result<Self> {
        if wait > WAIT_MAX {
            let detail = format!(
                "wait is up to {WAIT_MAX:?}, not {wait:?}; answer earlier, and let them retry"
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let deadline = setting("deadline", deadline)?.as_duration();
        Ok(Self { wait, deadline, late: Arc::default(), stage: Arc::default() })
    }

    /// Registers an execution until the value is dropped.
    pub(super) fn enter(&self) -> Result<Entered> {
        let mut refused = false;
        self.stage.send_modify(|stage| {
            refused = stage.stopping;
            stage.running += usize::from(!refused);
        });
        if refused {
            let detail = "this process shuts down and begins nothing new; ask another one";
            return Err(Error::new(ErrorKind::Closed, detail));
        }
        Ok(Entered(self.stage.clone()))
    }

    /// Ends when executions are to be cut off.
    pub(super) async fn over(&self) {
        // The sender is ours, so it cannot be gone.
        drop(self.stage.subscribe().wait_for(|stage| stage.over).await);
    }

    async fn until_idle(&self, patience: Duration) -> bool {
        let mut stage = self.stage.subscribe();
        timeout(patience, stage.wait_for(|stage| stage.running == 0)).await.is_ok()
    }
}

/// One execution of those that run.
pub(crate) struct Entered(Arc<watch::Sender<Stage>>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.send_modify(|stage| stage.running -= 1);
    }
}

impl<A: State> Idempotency<A> {
    /// Ends the executions of this value and its clones in order: new ones are refused with
    /// [`ErrorKind::Closed`] from now on, those that run have `patience` to end, and the outcome
    /// of those that do not is kept as unknown ([`Reason::Shutdown`](super::Reason::Shutdown)).
    /// True if all ended by themselves. Call it after the server has stopped accepting, and
    /// before the store is closed.
    ///
    /// It concerns [`run`](Self::run) and what is built on it; whoever calls
    /// [`begin`](Self::begin) itself ends what it began.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        let background = &self.background;
        background.stage.send_modify(|stage| stage.stopping = true);
        let idle = background.until_idle(patience).await;
        if !idle {
            background.stage.send_modify(|stage| stage.over = true);
            background.until_idle(LAST_WORDS).await;
        }
        idle
    }
}
