use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::backend::{Condition, Entry, Error, ErrorKind, Key, Result, Ttl, Written};
use crate::store::{self, Carried};
use crate::{State, Store};

use super::claim::Claim;
use super::record::{ClaimHead, Phase};
use super::{Fingerprint, IdempotencyBuilder, IdempotencyKey, OnLapse, Scope};

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
    pub(super) answer: PhantomData<fn() -> A>,
}

/// What became of a claim.
#[derive(Debug)]
#[must_use = "only `Acquired` may execute"]
pub enum Begin<A> {
    /// It is yours: execute, then complete.
    Acquired(Claim<A>),
    /// It was done before; this is the answer.
    Replay(A),
    /// Somebody is at it, for at most this long unless they renew.
    InFlight {
        /// What is left of their lease, on the store's clock.
        lease_left: Duration,
    },
    /// The key was used for another request.
    Mismatch,
    /// A holder died, or took too long, and the policy forbids to run again: the outcome is
    /// unknown.
    Lapsed {
        /// How many holders there were.
        attempt: u16,
    },
}

/// What the record of a key says to somebody who wants it.
enum Verdict<A> {
    /// It says that it is ours: an earlier reply was lost.
    Mine,
    Decided(Begin<A>),
    TakeOver {
        origin: [u8; 16],
        attempt: u16,
    },
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

    /// Claims a key, or says why not. One trip; two for a take-over.
    ///
    /// # Errors
    ///
    /// What the store says. Nothing was executed. After an error that is ambiguous, or if this
    /// future is dropped, the key may be claimed by nobody; it then lapses.
    /// [`ErrorKind::Corrupt`] for a record that this build cannot read: it is left as it is.
    pub async fn begin(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Begin<A>> {
        let owner = crate::random::bytes()?;
        let (store_key, fingerprint) = (scope.store_key(&self.store, key)?, *fingerprint);
        let mut bid = Bid { store_key, fingerprint, owner, origin: owner, attempt: 1 };
        let mut only_if = Condition::Absent;
        for _round in 0..ROUNDS_MAX {
            let head = bid.head(self.running());
            let current = match self.put(&bid.store_key, &head, None, only_if).await? {
                Written::Applied { version: Some(version) } => {
                    return Ok(Begin::Acquired(Claim::new(self.clone(), bid, version)));
                }
                Written::Applied { version: None } => return Err(lost()),
                Written::Refused { current } => current,
            };
            let Some(entry) = current else {
                (bid.origin, bid.attempt, only_if) = (bid.owner, 1, Condition::Absent);
                continue;
            };
            match self.judge(&bid, &entry)? {
                Verdict::Decided(begin) => return Ok(begin),
                Verdict::Mine => {
                    return Ok(Begin::Acquired(Claim::new(self.clone(), bid, entry.version)));
                }
                Verdict::TakeOver { origin, attempt } => {
                    // Another tenure: it must not be taken for one that it follows.
                    bid.owner = crate::random::bytes()?;
                    (bid.origin, bid.attempt) = (origin, attempt);
                    only_if = Condition::VersionIs(entry.version);
                }
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    fn judge(&self, bid: &Bid, entry: &Entry) -> Result<Verdict<A>> {
        let opened = self.store.open::<ClaimHead>(&bid.store_key, entry)?.ok_or_else(lost)?;
        let ClaimHead { owner, fingerprint, origin, attempt, phase } = opened.head;
        // Before anything else: whatever state the key is in, it is not this request's.
        if fingerprint != bid.fingerprint.0 {
            return Ok(Verdict::Decided(Begin::Mismatch));
        }
        let lease = match phase {
            Phase::Completed => return Ok(Verdict::Decided(Begin::Replay(opened.value()?))),
            Phase::Running { .. } if owner == bid.owner => return Ok(Verdict::Mine),
            Phase::Running { lease_ms } => Duration::from_millis(lease_ms),
        };
        let lease_left = lease.saturating_sub(entry.age);
        if !lease_left.is_zero() {
            return Ok(Verdict::Decided(Begin::InFlight { lease_left }));
        }
        if self.on_lapse == OnLapse::TakeOver && attempt < ATTEMPTS_MAX {
            return Ok(Verdict::TakeOver { origin, attempt: attempt + 1 });
        }
        Ok(Verdict::Decided(Begin::Lapsed { attempt }))
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
        let write = self.store.compose(key, head, answer, Carried::default())?;
        let write = write.expiring(self.retention).only_if(only_if);
        match self.store.write(write.clone()).await {
            Err(error) if error.is_ambiguous() => self.store.write(write).await,
            answer => answer,
        }
    }
}

impl<A> Clone for Idempotency<A> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ..*self }
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

/// What one caller asks for, and the parts of its record that do not change.
pub(super) struct Bid {
    pub(super) store_key: Key,
    pub(super) fingerprint: Fingerprint,
    pub(super) owner: [u8; 16],
    pub(super) origin: [u8; 16],
    pub(super) attempt: u16,
}

impl Bid {
    pub(super) fn head(&self, phase: Phase) -> ClaimHead {
        ClaimHead {
            owner: self.owner,
            fingerprint: self.fingerprint.0,
            origin: self.origin,
            attempt: self.attempt,
            phase,
        }
    }
}

pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Other, "the backend broke its contract; nothing was claimed; report it")
}
