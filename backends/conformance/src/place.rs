use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use steadfast_backend::{Backend, Key, ManualClock};

/// Where one case opens its backend.
///
/// Opening twice at the same place means: the same data, by a later process.
#[derive(Clone, Debug)]
pub struct Place {
    /// The time the backend must live by, unless the suite runs
    /// [on real time](crate::Suite::on_real_time).
    pub clock: ManualClock,
    /// A directory for the backend's files: empty at first, removed after the case.
    pub dir: PathBuf,
}

/// A backend under test.
///
/// Every [`Backend`] turns into one, so that a harness just returns its backend:
///
/// ```
/// use std::sync::Arc;
/// use steadfast_backend::ManualClock;
/// use steadfast_conformance::{ModelBackend, Subject};
///
/// let plain = Subject::from(ModelBackend::with_clock(ManualClock::at_us(1)));
/// let shared = Subject::new(Arc::new(ModelBackend::with_clock(ManualClock::at_us(1))));
/// ```
pub struct Subject {
    pub(crate) backend: Arc<dyn Backend>,
}

impl Subject {
    /// A backend that is shared with the harness.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }
}

impl<B: Backend> From<B> for Subject {
    fn from(backend: B) -> Self {
        Self::new(Arc::new(backend))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// The records of a store as they are stored, past its backend; see
/// [`Suite::damaged_by`](crate::Suite::damaged_by).
///
/// What stands first must say how the rest is to be read: the suite flips bits there.
pub trait Stored: Send {
    /// The bytes under a key; `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// What keeps the harness from reading them.
    fn read(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>>;

    /// Puts other bytes there; how long they live stays.
    ///
    /// # Errors
    ///
    /// What keeps the harness from writing them.
    fn replace(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()>;

    /// Puts something there that is no bytes: another type of value. False where the store has no
    /// other.
    ///
    /// # Errors
    ///
    /// What keeps the harness from writing it.
    fn estrange(&mut self, key: &Key) -> io::Result<bool>;
}
