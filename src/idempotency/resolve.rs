//! For whoever looks into keys whose outcome is unknown.

use std::fmt;
use std::time::Duration;

use crate::State;
use crate::backend::{Bytes, Condition, Entry, Key, Result, Version, Write, Written};
use crate::text;

use super::begin::lease_left;
use super::record::Phase;
use super::{Idempotency, IdempotencyKey, Reason, Scope};

/// What is kept of a key. `Debug` shows neither answer nor checkpoint.
#[non_exhaustive]
pub struct Status<A> {
    /// Where it stands.
    pub state: KeyState<A>,
    /// The version of the record: what [`Idempotency::resolve`] wants to know.
    pub version: Version,
    /// How many holders there were.
    pub attempt: u16,
    /// Whether a holder said that its effects have begun.
    pub effects_started: bool,
    /// What the effects are named after; see [`Claim::effect_id`](super::Claim::effect_id).
    pub effect_id: String,
    /// How far a holder came.
    pub checkpoint: Option<Bytes>,
    /// Time since the record was last written, on the store's clock.
    pub age: Duration,
}

/// Where a key stands.
pub enum KeyState<A> {
    /// Somebody is at it.
    Running {
        /// For at most this long, unless they renew.
        lease_left: Duration,
    },
    /// Its holder let the lease run out.
    Lapsed,
    /// It was done; this is the answer.
    Completed(A),
    /// Its holder did not know what it came to.
    Indeterminate {
        /// Why not.
        reason: Reason,
        /// What its caller was told, if that was kept.
        answer: Option<A>,
    },
}

/// What somebody found out about a key whose outcome was unknown. `Debug` does not show the
/// answer.
pub enum Resolution<A> {
    /// It was done; every retry gets this answer.
    Completed(A),
    /// Nothing was done; the next caller executes as if the key were new. Be sure that the holder
    /// is gone: see [`resolve`](Idempotency::resolve).
    Absent,
}

/// How [`Idempotency::resolve`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a stale resolution changed nothing"]
pub enum Resolved {
    /// It is settled.
    Resolved,
    /// The record is not the one that was looked at, or its outcome is not unknown. Nothing
    /// changed.
    Stale,
}

impl<A: State> Idempotency<A> {
    /// What is kept of a key; `None` for one that is not known. One trip.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn status(&self, scope: &Scope, key: &IdempotencyKey) -> Result<Option<Status<A>>> {
        self.store
            .one_call(async {
                let store_key = scope.store_key(&self.store, key)?;
                let Some(entry) = self.store.entry(&store_key).await? else { return Ok(None) };
                let opened = self.open(&store_key, &entry)?;
                let state = match opened.head.phase {
                    Phase::Completed => KeyState::Completed(opened.value()?),
                    Phase::Indeterminate { reason, answered } => {
                        let answer = answered.then(|| opened.value()).transpose()?;
                        KeyState::Indeterminate { reason, answer }
                    }
                    Phase::Running { lease_ms } => match lease_left(lease_ms, &entry) {
                        Duration::ZERO => KeyState::Lapsed,
                        lease_left => KeyState::Running { lease_left },
                    },
                };
                Ok(Some(Status {
                    state,
                    version: entry.version,
                    attempt: opened.head.attempt,
                    effects_started: opened.head.effects_started,
                    effect_id: text::encode(&opened.head.origin),
                    checkpoint: opened.head.checkpoint,
                    age: entry.age,
                }))
            })
            .await
    }

    /// Settles a lapsed or indeterminate key with what was found out, if its record is still the
    /// one of this [version](Status::version). Two trips.
    ///
    /// After [`Resolution::Completed`], a holder that comes back late is fenced. After
    /// [`Resolution::Absent`] there is no record that could fence it: its renewals are told
    /// [`Lost`](super::Renewal::Lost), but its completion counts, unless somebody has begun anew.
    ///
    /// # Errors
    ///
    /// What the store says; look again.
    pub async fn resolve(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        version: Version,
        resolution: Resolution<A>,
    ) -> Result<Resolved> {
        self.store
            .one_call(async {
                let store_key = scope.store_key(&self.store, key)?;
                let entry = self.store.entry(&store_key).await?;
                let seen = entry.as_ref().map(|entry| entry.version);
                let Some(entry) = entry.filter(|entry| entry.version == version) else {
                    return self.stale(&store_key, seen).await;
                };
                let mut head = self.open(&store_key, &entry)?.head;
                if !is_unknown(head.phase, &entry) {
                    return self.stale(&store_key, seen).await;
                }
                (head.owner, head.phase) = (crate::random::bytes()?, Phase::Completed);
                let only_if = Condition::VersionIs(version);
                let written = match resolution {
                    Resolution::Absent => {
                        self.store.write(&Write::delete(store_key.clone()).only_if(only_if)).await?
                    }
                    Resolution::Completed(answer) => {
                        self.put(&store_key, &head, Some(&answer), only_if).await?
                    }
                };
                let settled = match written {
                    Written::Applied { .. } => true,
                    // Ours, if the first reply was lost.
                    Written::Refused { current: Some(entry) } => {
                        self.open(&store_key, &entry)?.head.owner == head.owner
                    }
                    Written::Refused { current: None } => false,
                };
                Ok(if settled { Resolved::Resolved } else { Resolved::Stale })
            })
            .await
    }

    /// Perhaps it is an earlier attempt at the same that was not confirmed.
    async fn stale(&self, key: &Key, seen: Option<Version>) -> Result<Resolved> {
        // Whatever is there by now is not what was looked at.
        self.store.confirm(key, seen).await.map(|_as_seen| Resolved::Stale)
    }
}

fn is_unknown(phase: Phase, entry: &Entry) -> bool {
    match phase {
        Phase::Completed => false,
        Phase::Indeterminate { .. } => true,
        Phase::Running { lease_ms } => lease_left(lease_ms, entry).is_zero(),
    }
}

impl<A> fmt::Debug for Status<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status")
            .field("state", &self.state)
            .field("version", &self.version)
            .field("attempt", &self.attempt)
            .field("effects_started", &self.effects_started)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Resolution<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed(_) => "Completed",
            Self::Absent => "Absent",
        })
    }
}

impl<A> fmt::Debug for KeyState<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { lease_left } => write!(f, "Running({lease_left:?} left)"),
            Self::Lapsed => f.write_str("Lapsed"),
            Self::Completed(_) => f.write_str("Completed"),
            Self::Indeterminate { reason, .. } => write!(f, "Indeterminate({reason:?})"),
        }
    }
}
