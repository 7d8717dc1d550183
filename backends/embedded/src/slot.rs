use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use steadfast_backend::ErrorKind;

use crate::Fault;

type Open<H> = Box<dyn Fn(Option<ErrorKind>) -> Result<H, Fault> + Send + Sync>;

/// Holds an engine's handle: contains its panics, drops it after a fault that leaves it useless,
/// and opens it again at the next call, so that a service recovers without a restart.
///
/// ```
/// use steadfast_backend::ErrorKind;
/// use steadfast_embedded::{Fault, Slot};
///
/// let slot = Slot::open(|_| Ok(7))?;
/// let broken = slot.with(|_| Err::<(), _>(Fault::new(ErrorKind::Full, "no space").lost()));
/// assert!(broken.is_err());
/// assert_eq!(slot.with(|handle| Ok(*handle))?, 7); // opened again
/// # Ok::<(), Fault>(())
/// ```
pub struct Slot<H> {
    open: Open<H>,
    state: RwLock<State<H>>,
}

enum State<H> {
    /// The number tells one opening from the next.
    Open(H, u64),
    /// What it was lost to.
    Lost(u64, ErrorKind),
    Closed,
}

impl<H> Slot<H> {
    /// Opens the handle, now and whenever it was lost; `open` is told to what, `None` at first.
    ///
    /// # Errors
    ///
    /// Those of `open`.
    pub fn open(
        open: impl Fn(Option<ErrorKind>) -> Result<H, Fault> + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let handle = contain(|| open(None))?;
        Ok(Self { open: Box::new(open), state: RwLock::new(State::Open(handle, 0)) })
    }

    /// Works with the handle; many may do so at the same time.
    ///
    /// # Errors
    ///
    /// Those of `work`; those of opening, if the handle was lost and is still not to be had;
    /// [`ErrorKind::Corrupt`] if the engine panicked; [`ErrorKind::Closed`] after
    /// [`close`](Slot::close).
    pub fn with<T>(&self, work: impl FnOnce(&H) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.read();
        if let State::Lost(..) = *state {
            drop(state);
            self.reopen()?;
            state = self.read();
        }
        let (done, opening) = match &*state {
            State::Open(handle, opening) => (contain(|| work(handle)), *opening),
            State::Lost(..) => {
                let detail = "the file was lost again while it was opened; try once more";
                (Err(Fault::new(ErrorKind::Unavailable, detail)), 0)
            }
            State::Closed => (Err(Fault::closed()), 0),
        };
        drop(state);
        if let Err(fault) = &done
            && fault.is_lost()
        {
            self.lose(opening, fault.kind());
        }
        done
    }

    /// Waits for the calls under way, then closes the handle for good. `last` is its last use;
    /// it is not called if the handle is lost or closed already.
    ///
    /// # Errors
    ///
    /// Those of `last`.
    pub fn close(&self, last: impl FnOnce(&H) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *state, State::Closed);
        contain(|| match &was {
            State::Open(handle, _) => last(handle),
            _ => Ok(()),
        })
        .and(contain(|| {
            drop(was);
            Ok(())
        }))
    }

    fn read(&self) -> RwLockReadGuard<'_, State<H>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self) -> Result<(), Fault> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Lost(opening, to) = *state {
            *state = State::Open(contain(|| (self.open)(Some(to)))?, opening + 1);
        }
        Ok(())
    }

    fn lose(&self, opening: u64, to: ErrorKind) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open(_, now) if now == opening) {
            let lost = std::mem::replace(&mut *state, State::Lost(opening, to));
            // A handle in this state may panic while it is dropped; nothing is left to report.
            let _ = contain(|| {
                drop(lost);
                Ok(())
            });
        }
    }
}

/// Engines assert what a damaged file does not keep. Such a panic must reach the caller as an
/// error, and the handle that panicked must not be used again.
fn contain<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let detail = "the engine stopped with a panic, most likely over a damaged file; keep the \
                      file, check it, and restore a backup if it stays so";
        Err(Fault::new(ErrorKind::Corrupt, detail).lost())
    })
}

impl<H> fmt::Debug for Slot<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match *self.read() {
            State::Open(..) => "open",
            State::Lost(..) => "lost",
            State::Closed => "closed",
        };
        write!(f, "Slot({state})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_handle_is_opened_again() {
        let slot = Slot::open(|_| Ok(())).unwrap();
        let fault = slot.with(|()| -> Result<(), Fault> { panic!("secret") }).unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Corrupt);
        assert!(!format!("{fault:?}").contains("secret"));
        assert_eq!(format!("{slot:?}"), "Slot(lost)");
        slot.with(|()| Ok(())).unwrap();
    }

    #[test]
    fn closed_is_closed() {
        let slot = Slot::open(|_| Ok(())).unwrap();
        slot.close(|()| Ok(())).unwrap();
        slot.close(|()| Ok(())).unwrap();
        assert_eq!(slot.with(|()| Ok(())).unwrap_err().kind(), ErrorKind::Closed);
    }
}
