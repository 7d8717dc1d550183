use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Capabilities, Error, ErrorKind, Result};
use crate::observe::ClaimMeters;
use crate::span::setting;
use crate::{State, Store};

use super::Idempotency;
#[cfg(feature = "runtime")]
use super::drain::Background;

/// What happens to a key whose holder let its lease run out, or said that the outcome is unknown.
///
/// | what the execution does | policy |
/// | --- | --- |
/// | effects that cannot be repeated | `Refuse` |
/// | none, or effects that can be repeated | `TakeOver` |
/// | both, one after the other | `TakeOver`, with [`mark_effects`](super::Claim::mark_effects) between |
/// | steps, each with a [checkpoint](super::Claim::save_checkpoint) | `Recover` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLapse {
    /// Nobody executes again: the outcome is unknown and somebody has to look. The safe choice
    /// for effects that cannot be repeated.
    #[default]
    Refuse,
    /// The next caller executes again, unless the former one
    /// [marked its effects](super::Claim::mark_effects). For effects that are idempotent, for
    /// instance because their identity derives from
    /// [`Claim::effect_id`](super::Claim::effect_id), or that commit with the answer
    /// ([`complete_with`](super::Claim::complete_with)).
    TakeOver,
    /// The next caller executes again, whatever the former one marked, and goes on from its
    /// [checkpoint](super::Claim::checkpoint).
    Recover,
}

/// Of the store: in words, and as a test.
type Requirement = (&'static str, fn(&Capabilities) -> bool);

/// Settings of [`Idempotency`]. The defaults: lease 10 seconds, retention 24 hours, a lapsed key
/// is refused.
#[derive(Debug)]
pub struct IdempotencyBuilder<A> {
    store: Store,
    lease: Duration,
    retention: Duration,
    on_lapse: OnLapse,
    required: Vec<Requirement>,
    #[cfg(feature = "runtime")]
    wait: Duration,
    #[cfg(feature = "runtime")]
    deadline: Duration,
    answer: PhantomData<fn() -> A>,
}

impl<A: State> IdempotencyBuilder<A> {
    pub(super) fn new(store: Store) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            store,
            lease: Duration::from_secs(10),
            retention: minute * 60 * 24,
            on_lapse: OnLapse::default(),
            required: Vec::new(),
            #[cfg(feature = "runtime")]
            wait: Duration::ZERO,
            #[cfg(feature = "runtime")]
            deadline: minute * 10,
            answer: PhantomData,
        }
    }

    /// How long a claim lasts without renewal, 10 seconds unless set: a retry after the death of
    /// its holder is answered when the lease is over. `run` (feature `runtime`) renews it each
    /// third of that; whoever calls [`begin`](Idempotency::begin) has to
    /// [renew](super::Claim::renew) it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a key is remembered after its last change, if the
    /// [store](crate::idempotency) does not lose it before. A retry that comes later runs again.
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

    /// How long `run` (feature `runtime`) waits for an execution that is under way elsewhere, to
    /// give its answer instead of [`Ran::InFlight`](super::Ran::InFlight): up to 5 seconds; not
    /// at all unless set. While it waits it asks the store about ten times a second.
    #[cfg(feature = "runtime")]
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long an execution of `run` (feature `runtime`) may take, ten minutes unless set. Then
    /// it is cut off, and its outcome is unknown.
    #[cfg(feature = "runtime")]
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Demands something of the store, in words and as a test: a store that cannot keep what
    /// this use promises should stop the start, not the first request.
    ///
    /// ```
    /// # use steadfast::backend::Transactions;
    /// # use steadfast::{Idempotency, Store};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> steadfast::Result<()> {
    /// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    /// let payments = Idempotency::<()>::builder(&store)
    ///     .requires("transactions", |store| store.transactions >= Transactions::SameGroup)
    ///     .requires("a store that forgets nothing", |store| !store.evicts);
    /// assert!(payments.build().is_err()); // the memory backend drops what does not fit
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn requires(mut self, what: &'static str, test: fn(&Capabilities) -> bool) -> Self {
        self.required.push((what, test));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a lease, a retention or a deadline of zero or over ten years, a
    /// lease that is not shorter than the retention, or a wait over 5 seconds.
    /// [`ErrorKind::Unsupported`] for a store that is not what is [required](Self::requires).
    pub fn build(self) -> Result<Idempotency<A>> {
        let lease = setting("lease", self.lease)?;
        let retention = setting("retention", self.retention)?;
        if lease >= retention {
            let detail = format!(
                "lease is shorter than retention, and {:?} is not shorter than {:?}; a dead \
                 holder's claim would vanish before it lapses",
                self.lease, self.retention
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let store = self.store.info();
        if let Some((what, _)) = self.required.iter().find(|(_, test)| !test(&store.capabilities)) {
            let detail =
                format!("{} does not have what is required: {what}; choose another", store.name);
            return Err(Error::new(ErrorKind::Unsupported, detail));
        }
        let store_name = store.name;
        Ok(Idempotency {
            store: self.store,
            lease,
            retention,
            on_lapse: self.on_lapse,
            meters: Arc::new(ClaimMeters::new(store_name)),
            #[cfg(feature = "runtime")]
            background: Background::new(self.wait, self.deadline)?,
            answer: self.answer,
        })
    }
}
