use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use steadfast_backend::{Backend, ManualClock};

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
