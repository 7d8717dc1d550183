use std::marker::PhantomData;
use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result, Ttl};
use crate::{State, Store};

use super::Idempotency;

/// What happens to a key whose holder let its lease run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLapse {
    /// Nobody executes again: the outcome is unknown and somebody has to look. The safe choice
    /// for effects that cannot be repeated.
    #[default]
    Refuse,
    /// The next caller executes again. For effects that are idempotent, for instance because
    /// their identity derives from [`Claim::effect_id`](super::Claim::effect_id).
    TakeOver,
}

/// Settings of [`Idempotency`]. The defaults: lease 60 seconds, retention 24 hours, a lapsed key
/// is refused.
#[derive(Debug)]
pub struct IdempotencyBuilder<A> {
    store: Store,
    lease: Duration,
    retention: Duration,
    on_lapse: OnLapse,
    answer: PhantomData<fn() -> A>,
}

impl<A: State> IdempotencyBuilder<A> {
    pub(super) fn new(store: Store) -> Self {
        let lease = Duration::from_secs(60);
        Self {
            store,
            lease,
            retention: lease * 60 * 24,
            on_lapse: OnLapse::default(),
            answer: PhantomData,
        }
    }

    /// How long a claim lasts without renewal.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a key is remembered after its last change. A retry that comes later runs again.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// What happens to a lapsed key.
    #[must_use]
    pub fn on_lapse(mut self, on_lapse: OnLapse) -> Self {
        self.on_lapse = on_lapse;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a lease or retention of zero or over ten years, or a lease that
    /// is not shorter than the retention.
    pub fn build(self) -> Result<Idempotency<A>> {
        let (lease, retention) = (Ttl::new(self.lease)?, Ttl::new(self.retention)?);
        if lease >= retention {
            let detail = "the lease must be shorter than the retention, or a dead holder's claim \
                          would vanish before it lapses";
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        Ok(Idempotency {
            store: self.store,
            lease,
            retention,
            on_lapse: self.on_lapse,
            answer: self.answer,
        })
    }
}
