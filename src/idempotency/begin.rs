use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Condition, Entry, Error, ErrorKind, Key, Result, Ttl, Write, Written};
use crate::store::{self, Carried, Opened};
use crate::{State, Store};

use crate::observe::{ClaimMeters, Claimed};

use super::claim::Claim;
#[cfg(feature = "runtime")]
use super::drain::Background;
use super::record::{Bid, ClaimHead, Phase};
use super::{Fingerprint, IdempotencyBuilder, IdempotencyKey, OnLapse, Reason, Scope};

/// How many holders a key may have had before taking it over ends: work that kills its worker
/// each time must not run forever.
const ATTEMPTS_MAX: u16 = 5;

/// Each round loses to another caller of the same key, and each of those moves the key on.
const ROUNDS_MAX: usize = 256;

/// Claims of idempotency keys in a [`Store`], with answers of type `A`.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use steadfast::{Idempotency, Principal, State, Store};
/// # use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey, Scope};
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// struct Receipt {
///     id: String,
/// }
/// impl State for Receipt {
///     const SCHEMA: u16 = 1;
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// let payments: Idempotency<Receipt> = Idempotency::builder(&store).build()?;
/// let scope = Scope::of(&Principal::new("alice")?, "pay");
/// let (key, ten_euros) = (IdempotencyKey::new("k-1")?, Fingerprint::of(["10 EUR"]));
///
/// let Begin::Acquired(claim) = payments.begin(&scope, &key, &ten_euros).await? else {
///     panic!("nobody else is here");
/// };
/// let receipt = Receipt { id: claim.effect_id().to_owned() };
/// let done = claim.complete(&receipt).await?;
/// assert!(matches!(done, Completion::Completed));
///
/// assert!(matches!(payments.begin(&scope, &key, &ten_euros).await?, Begin::Replay(_)));
/// let a_hundred = Fingerprint::of(["100 EUR"]);
/// assert!(matches!(payments.begin(&scope, &key, &a_hundred).await?, Begin::Mismatch));
/// # Ok(())
/// # }
/// ```
pub struct Idempotency<A> {
    pub(super) store: Store,
    pub(super) lease: Ttl,
    pub(super) retention: Ttl,
    pub(super) on_lapse: OnLapse,
    pub(crate) meters: Arc<ClaimMeters>,
    #[cfg(feature = "runtime")]
    pub(super) background: Background,
    pub(super) answer: PhantomData<fn() -> A>,
}

/// What became of a claim. `Debug` does not show the answer.
#[must_use = "only `Acquired` may execute"]
pub enum Begin<A> {
    /// It is yours: execute, then complete. If a former holder left a
    /// [`checkpoint`](Claim::checkpoint), go on from there.
    Acquired(Claim<A>),
    /// It was done before; this is the answer.
    Replay(A),
    /// Somebody is at it, for at most this long unless they renew.
    InFlight {
        /// What is left of their lease, on the store's clock.
        lease_left: Duration,
        /// Which holder they are, from 1.
        attempt: u16,
    },
    /// The key was used for another request.
    Mismatch,
    /// A holder died, or took too long, and the policy forbids to run again: the outcome is
    /// unknown.
    Lapsed {
        /// How many holders there were.
        attempt: u16,
    },
    /// A holder said that the outcome is unknown, and the policy forbids to run again.
    Indeterminate {
        /// Why it is unknown.
        reason: Reason,
        /// What its caller was told, if that was kept.
        answer: Option<A>,
    },
}

impl<A> Begin<A> {
    fn told(&self) -> Claimed {
        match self {
            Self::Acquired(_) => Claimed::Acquired,
            Self::Replay(_) => Claimed::Replayed,
            Self::InFlight { .. } => Claimed::InFlight,
            Self::Mismatch => Claimed::Mismatch,
            Self::Lapsed { .. } => Claimed::Lapsed,
            Self::Indeterminate { .. } => Claimed::Indeterminate,
        }
    }
}

impl<A> fmt::Debug for Begin<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired(claim) => write!(f, "Acquired({claim:?})"),
            Self::Replay(_) => f.write_str("Replay"),
            Self::InFlight { lease_left, attempt } => {
                write!(f, "InFlight({lease_left:?} left, attempt {attempt})")
            }
            Self::Mismatch => f.write_str("Mismatch"),
            Self::Lapsed { attempt } => write!(f, "Lapsed(attempt {attempt})"),
            Self::Indeterminate { reason, .. } => write!(f, "Indeterminate({reason:?})"),
        }
    }
}

/// What the record of a key says to somebody who wants it.
enum Verdict<A> {
    /// It says that it is ours: an earlier reply was lost.
    Mine,
    Decided(Begin<A>),
    /// Its last holder is gone, and the next may run.
    TakeOver(ClaimHead),
    /// As above, and there were too many.
    GiveUp(ClaimHead),
}

impl<A: State> Idempotency<A> {
    /// Starts from a store.
    pub fn builder(store: &Store) -> IdempotencyBuilder<A> {
        IdempotencyBuilder::new(store.clone())
    }

    /// How long a claim lasts without renewal.
    pub fn lease(&self) -> Duration {
        self.lease.as_duration()
    }

    /// How long a key is remembered after its last change.
    pub fn retention(&self) -> Duration {
        self.retention.as_duration()
    }

    /// Claims a key, or says why not. One trip; two for a take-over.
    ///
    /// Whatever state the key is in, another fingerprint is a [`Mismatch`](Begin::Mismatch).
    ///
    /// # Errors
    ///
    /// What the store says. Nothing was executed. After an error that is ambiguous, or if this
    /// future is dropped, the key may be claimed by nobody; it then lapses. `run`, of the feature
    /// `runtime`, takes it back.
    /// [`ErrorKind::Corrupt`] for a record that this build cannot read: it is left as it is.
    pub async fn begin(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Begin<A>> {
        self.begin_as(crate::random::bytes()?, &scope.store_key(&self.store, key)?, fingerprint)
            .await
    }

    pub(super) async fn begin_as(
        &self,
        caller: [u8; 16],
        store_key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Begin<A>> {
        let begin = self.store.one_call(self.claim(caller, store_key, fingerprint)).await?;
        self.meters.claim(begin.told());
        Ok(begin)
    }

    async fn claim(
        &self,
        caller: [u8; 16],
        store_key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Begin<A>> {
        let first = || Bid::first(store_key.clone(), *fingerprint, caller);
        let mut bid = first();
        let mut only_if = Condition::Absent;
        for _round in 0..ROUNDS_MAX {
            let head = bid.head(self.running());
            let current = match self.put(store_key, &head, None, only_if).await? {
                Written::Applied { version: Some(version) } => {
                    return Ok(Begin::Acquired(Claim::new(self.clone(), bid, version)));
                }
                Written::Applied { version: None } => return Err(lost()),
                Written::Refused { current } => current,
            };
            let Some(entry) = current else {
                (bid, only_if) = (first(), Condition::Absent);
                continue;
            };
            only_if = Condition::VersionIs(entry.version);
            match self.judge(&bid, &entry)? {
                Verdict::Decided(begin) => return Ok(begin),
                Verdict::Mine => {
                    return Ok(Begin::Acquired(Claim::new(self.clone(), bid, entry.version)));
                }
                Verdict::TakeOver(head) => {
                    bid = Bid::after(store_key.clone(), head, caller);
                }
                Verdict::GiveUp(mut head) => {
                    let (reason, answered) = (Reason::Attempts, false);
                    head.phase = Phase::Indeterminate { reason, answered };
                    if self.put(store_key, &head, None, only_if).await?.is_applied() {
                        return Ok(Begin::Indeterminate { reason, answer: None });
                    }
                }
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    /// The rows of the table, in their order: a request that is not the key's comes before all
    /// else, and what is known comes before what is not.
    fn judge(&self, bid: &Bid, entry: &Entry) -> Result<Verdict<A>> {
        let opened = self.open(&bid.store_key, entry)?;
        let head = &opened.head;
        if head.fingerprint != bid.fingerprint.0 {
            return Ok(Verdict::Decided(Begin::Mismatch));
        }
        let attempt = head.attempt;
        let refused = match head.phase {
            Phase::Running { .. } if head.owner == bid.owner => return Ok(Verdict::Mine),
            Phase::Completed => return Ok(Verdict::Decided(Begin::Replay(opened.value()?))),
            Phase::Indeterminate { reason, answered } => {
                // Another holder would not leave more than the last one did.
                let over = !reason.is_like_a_lapse() || attempt >= ATTEMPTS_MAX;
                if over || !self.may_run_again(head) {
                    let answer = answered.then(|| opened.value()).transpose()?;
                    return Ok(Verdict::Decided(Begin::Indeterminate { reason, answer }));
                }
                false
            }
            Phase::Running { lease_ms } => {
                let lease_left = lease_left(lease_ms, entry);
                if !lease_left.is_zero() {
                    return Ok(Verdict::Decided(Begin::InFlight { lease_left, attempt }));
                }
                !self.may_run_again(head)
            }
        };
        Ok(if refused {
            Verdict::Decided(Begin::Lapsed { attempt })
        } else if attempt >= ATTEMPTS_MAX {
            Verdict::GiveUp(opened.head)
        } else {
            Verdict::TakeOver(opened.head)
        })
    }

    fn may_run_again(&self, head: &ClaimHead) -> bool {
        match self.on_lapse {
            OnLapse::Refuse => false,
            OnLapse::TakeOver => !head.effects_started,
            OnLapse::Recover => true,
        }
    }

    pub(super) fn open(&self, key: &Key, entry: &Entry) -> Result<Opened<ClaimHead>> {
        self.store.open(key, entry)?.ok_or_else(lost)
    }

    pub(super) fn running(&self) -> Phase {
        Phase::Running { lease_ms: self.lease.as_millis() }
    }

    /// Writes a record; the retention starts anew with it. The write is made twice if the first
    /// reply was lost: the record carries its owner, who recognises it.
    pub(super) async fn put(
        &self,
        key: &Key,
        head: &ClaimHead,
        answer: Option<&A>,
        only_if: Condition,
    ) -> Result<Written> {
        let write = self.compose(key, head, answer, only_if)?;
        self.store.twice(key, || self.store.write(&write)).await
    }

    pub(super) fn compose(
        &self,
        key: &Key,
        head: &ClaimHead,
        answer: Option<&A>,
        only_if: Condition,
    ) -> Result<Write> {
        let write = self.store.compose(key, head, answer, Carried::default())?;
        Ok(write.expiring(self.retention).only_if(only_if))
    }
}

impl<A> Clone for Idempotency<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            meters: Arc::clone(&self.meters),
            #[cfg(feature = "runtime")]
            background: self.background.clone(),
            ..*self
        }
    }
}

impl<A> fmt::Debug for Idempotency<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("store", &self.store)
            .field("lease", &self.lease)
            .field("retention", &self.retention)
            .field("on_lapse", &self.on_lapse)
            .finish_non_exhaustive()
    }
}

/// What is left of a lease that runs from the write of its record.
pub(super) fn lease_left(lease_ms: u64, entry: &Entry) -> Duration {
    Duration::from_millis(lease_ms).saturating_sub(entry.age)
}

pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Other, "the backend broke its contract; nothing was claimed; report it")
}
