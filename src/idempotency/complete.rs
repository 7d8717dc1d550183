//! How a claim ends.

use std::fmt;

use crate::State;
use crate::backend::{Condition, Entry, Result, Transacted, Write};
use crate::store;

use super::claim::{Met, ROUNDS_MAX, Rewritten};
use super::record::Phase;
use super::{Claim, Reason};

/// How [`Claim::complete`] ended. `Debug` does not show the answer.
#[must_use = "a fenced holder must serve the winner's answer, not its own"]
pub enum Completion<A> {
    /// The answer is kept; every retry gets it.
    Completed,
    /// The lease was lost and somebody else took over: what this holder did does not count.
    Fenced {
        /// The answer of the one who took over, if it is there already.
        winner: Option<A>,
    },
}

/// How [`Claim::complete_with`] ended. `Debug` does not show the answer.
#[must_use = "only `Completed` has made the changes"]
pub enum CompletedWith<A> {
    /// The answer is kept and the changes are made.
    Completed,
    /// Somebody else took over. No change was made.
    Fenced {
        /// The answer of the one who took over, if it is there already.
        winner: Option<A>,
    },
    /// The condition of a change did not hold. Nothing changed, and the claim stands: look at
    /// what is there and try again.
    Refused {
        /// The first such change, by its position.
        index: usize,
        /// What is there in its place.
        current: Option<Entry>,
    },
}

/// How [`Claim::tombstone`] ended. `Debug` does not show the answer.
#[must_use = "a fenced holder must serve the winner's answer, not its own"]
pub enum Tombstone<A> {
    /// It is kept that the outcome is unknown.
    Kept,
    /// The lease was lost and somebody else took over, or this holder has completed before.
    Fenced {
        /// The answer, if one is there.
        winner: Option<A>,
    },
}

impl<A> fmt::Debug for Completion<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("Completed"),
            Self::Fenced { winner } => show_fenced(winner.as_ref(), f),
        }
    }
}

impl<A> fmt::Debug for CompletedWith<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("Completed"),
            Self::Fenced { winner } => show_fenced(winner.as_ref(), f),
            Self::Refused { index, current } => write!(f, "Refused(change {index}: {current:?})"),
        }
    }
}

impl<A> fmt::Debug for Tombstone<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("Kept"),
            Self::Fenced { winner } => show_fenced(winner.as_ref(), f),
        }
    }
}

fn show_fenced<A>(winner: Option<&A>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let answer = if winner.is_some() { "an answer" } else { "no answer" };
    write!(f, "Fenced({answer})")
}

impl<A: State> Claim<A> {
    /// Keeps the answer for all retries. One trip. It may be repeated, for instance after an
    /// error: an answer that is already kept is not kept twice. A claim whose record the store
    /// has lost is completed all the same, unless somebody else has begun anew.
    ///
    /// # Errors
    ///
    /// What the store says; the answer may be kept or not.
    pub async fn complete(&self, answer: &A) -> Result<Completion<A>> {
        match self.rewrite(Phase::Completed, Some(answer)).await? {
            Rewritten::Done(_) | Rewritten::Completed => Ok(Completion::Completed),
            Rewritten::Lost(winner) => Ok(Completion::Fenced { winner }),
        }
    }

    /// Keeps the answer and makes changes of yours, all or nothing, in one transaction and one
    /// trip: the effect happens exactly once, and exactly if the answer is kept. Without it an
    /// effect can happen and its answer be lost.
    ///
    /// All keys must be in the group of the [scope](super::Scope::group), unless the backend has
    /// transactions over any keys. Make each change conditional on the version that it was
    /// computed from. After an error, repeat it with the same answer and changes: a completion of
    /// this claim's is recognised, and nothing is changed twice.
    /// A claim is completed once: of a second answer, changes and all, nothing is made, and it is
    /// told what the first was, completed.
    ///
    /// ```
    /// # use steadfast::backend::{Condition, Group, Write};
    /// # use steadfast::idempotency::*;
    /// # use steadfast::{Idempotency, Principal, State, Store};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Balance(u64);
    /// # impl State for Balance { const SCHEMA: u16 = 1; }
    /// # async fn pay_in(
    /// #     store: &Store,
    /// #     claim: &Claim<Balance>,
    /// #     alice: &Principal,
    /// # ) -> steadfast::Result<()> {
    /// let key = store.key("balance", &alice.group(), "euros")?;
    /// loop {
    ///     let found = store.get::<Balance>(&key).await?;
    ///     let (euros, only_if) = match found {
    ///         Some(found) => (found.value.0, Condition::VersionIs(found.version)),
    ///         None => (0, Condition::Absent),
    ///     };
    ///     let balance = Balance(euros + 10);
    ///     let write = store.put_write(&key, &balance)?.only_if(only_if);
    ///     match claim.complete_with(&balance, vec![write]).await? {
    ///         CompletedWith::Completed | CompletedWith::Fenced { .. } => return Ok(()),
    ///         CompletedWith::Refused { .. } => {} // somebody paid in meanwhile: once more
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What the store says, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) among it for
    /// a backend without transactions: demand one with
    /// [`requires`](super::IdempotencyBuilder::requires).
    pub async fn complete_with(&self, answer: &A, changes: Vec<Write>) -> Result<CompletedWith<A>> {
        self.idempotency.store.one_call(self.commit(answer, changes)).await
    }

    async fn commit(&self, answer: &A, changes: Vec<Write>) -> Result<CompletedWith<A>> {
        let (idempotency, key) = (&self.idempotency, &self.bid.store_key);
        let head = self.bid.head(Phase::Completed);
        let mut only_if = Condition::VersionIs(self.version);
        for _round in 0..ROUNDS_MAX {
            let mut writes = vec![idempotency.compose(key, &head, Some(answer), only_if)?];
            writes.extend_from_slice(&changes);
            let current = match self.transact(writes).await? {
                Transacted::Applied { .. } => return Ok(CompletedWith::Completed),
                Transacted::Refused { index: 0, current } => current,
                Transacted::Refused { index, current } => {
                    return Ok(CompletedWith::Refused { index: index - 1, current });
                }
            };
            match self.meet(Phase::Completed, current)? {
                Met::Ours(condition) => only_if = condition,
                Met::End(Rewritten::Lost(winner)) => {
                    return Ok(CompletedWith::Fenced { winner });
                }
                Met::End(_) => return Ok(CompletedWith::Completed),
            }
        }
        Err(store::contended(ROUNDS_MAX))
    }

    /// Made twice if the first reply was lost; if it was applied then, the claim's own record
    /// refuses the second and is recognised.
    async fn transact(&self, writes: Vec<Write>) -> Result<Transacted> {
        let store = &self.idempotency.store;
        store.twice(&self.bid.store_key, || store.transact(&writes)).await
    }

    /// Keeps that the outcome is unknown: the execution failed and may have had effects. What the
    /// caller was told can be kept with it. One trip.
    ///
    /// Whether the next caller executes follows [`OnLapse`](super::OnLapse), as after a lapse;
    /// after [`Reason::Oversize`] none does. This holder may still [`complete`](Claim::complete).
    ///
    /// # Errors
    ///
    /// What the store says; the claim then lapses when its lease is over.
    pub async fn tombstone(&self, reason: Reason, answer: Option<&A>) -> Result<Tombstone<A>> {
        let phase = Phase::Indeterminate { reason, answered: answer.is_some() };
        match self.rewrite(phase, answer).await? {
            Rewritten::Done(_) | Rewritten::Completed => Ok(Tombstone::Kept),
            Rewritten::Lost(winner) => Ok(Tombstone::Fenced { winner }),
        }
    }
}
