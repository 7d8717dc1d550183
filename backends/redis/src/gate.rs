//! The door that `close` shuts.

use std::sync::atomic::{AtomicUsize, Ordering};

use steadfast_backend::ErrorKind;
use tokio::sync::Notify;

use crate::error::{Fault, Outcome};

/// Counts who is inside, and lets nobody in once it is shut.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Two for everybody inside; one more once it is shut.
    state: AtomicUsize,
    empty: Notify,
}

const SHUT: usize = 1;
const ONE_INSIDE: usize = 2;

impl Gate {
    pub(crate) fn enter(&self) -> Outcome<Inside<'_>> {
        let inside = Inside(self);
        if self.state.fetch_add(ONE_INSIDE, Ordering::SeqCst) & SHUT == SHUT {
            drop(inside);
            let detail = "the backend was closed";
            return Err(Fault::new(ErrorKind::Closed, detail).untouched());
        }
        Ok(inside)
    }

    /// Shuts it, and waits for those inside.
    pub(crate) async fn shut(&self) {
        self.state.fetch_or(SHUT, Ordering::SeqCst);
        loop {
            let empty = self.empty.notified();
            if self.state.load(Ordering::SeqCst) == SHUT {
                return;
            }
            empty.await;
        }
    }
}

/// Somebody inside.
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(ONE_INSIDE, Ordering::SeqCst) == ONE_INSIDE + SHUT {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_inside_is_waited_for_and_nobody_comes_in() {
        let gate = Gate::default();
        let inside = gate.enter().unwrap();
        let shutting = async {
            gate.shut().await;
            gate.shut().await;
        };
        let leaving = async {
            assert_eq!(gate.enter().err().unwrap().kind, ErrorKind::Closed);
            drop(inside);
        };
        tokio::join!(biased; shutting, leaving);
    }
}
