//! The door that `close` shuts.

use std::sync::Mutex;
use std::sync::PoisonError;

use steadfast_backend::ErrorKind;
use tokio::sync::watch;

use crate::error::Fault;

/// Counts who is inside, and lets nobody in once it is shut.
#[derive(Debug)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    inside: watch::Sender<usize>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { shut: Mutex::new(false), inside: watch::Sender::new(0) }
    }

    pub(crate) fn enter(&self) -> Result<Inside<'_>, Fault> {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if *shut {
            let detail = "the backend was closed";
            return Err(Fault::new(ErrorKind::Closed, detail).untouched());
        }
        self.inside.send_modify(|inside| *inside += 1);
        Ok(Inside(self))
    }

    /// Shuts it, and waits for those inside.
    pub(crate) async fn shut(&self) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        // The sender lives as long as this does.
        let _ = self.inside.subscribe().wait_for(|inside| *inside == 0).await;
    }
}

/// Somebody inside.
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}
