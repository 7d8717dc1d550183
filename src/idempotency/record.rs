use serde::{Deserialize, Serialize};

use crate::backend::{Bytes, Key};
use crate::fields::Fields;
use crate::store::Head;

use super::Fingerprint;

/// What is stored under an idempotency key. Its physical TTL is the retention, never the lease,
/// so that a holder's death stays visible.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ClaimHead {
    /// Random, chosen by the holder before the call: after a lost reply it recognises itself.
    pub(super) owner: [u8; 16],
    pub(super) fingerprint: [u8; 32],
    /// The first holder's owner; what is made under this key is named after it.
    pub(super) origin: [u8; 16],
    /// 1 for the first holder, +1 for each take-over.
    pub(super) attempt: u16,
    /// Whether a holder said that it begins what cannot be done twice.
    pub(super) effects_started: bool,
    /// How far a holder came, in its own words.
    pub(super) checkpoint: Option<Bytes>,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Phase {
    /// The lease runs from the write of this record.
    Running { lease_ms: u64 },
    /// The answer is the record's value.
    Completed,
    /// If it is answered, the record's value is what the client was told.
    Indeterminate { reason: Reason, answered: bool },
}

impl Head for ClaimHead {
    const LAYOUT: u16 = 0x0301;
}

/// Why nobody knows what an execution came to.
// Stored by position: add new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// As many holders as are allowed let their leases run out, one after the other.
    Attempts,
    /// The execution was cut off.
    Cancelled,
    /// It took longer than it may.
    Deadline,
    /// It failed, perhaps after its effects.
    Failed,
    /// It succeeded, but the answer was too large to be kept. It is never executed again.
    Oversize,
    /// It panicked.
    Panicked,
    /// Its process was shut down.
    Shutdown,
}

impl Reason {
    /// Whether an [`OnLapse`](super::OnLapse) that lets lapsed keys run again lets these, too.
    pub(super) fn is_like_a_lapse(self) -> bool {
        !matches!(self, Self::Attempts | Self::Oversize)
    }
}

/// What one caller asks for, and the parts of its record that a change of phase does not touch.
pub(super) struct Bid {
    pub(super) store_key: Key,
    pub(super) fingerprint: Fingerprint,
    pub(super) owner: [u8; 16],
    pub(super) origin: [u8; 16],
    pub(super) attempt: u16,
    pub(super) effects_started: bool,
    pub(super) checkpoint: Option<Bytes>,
}

impl Bid {
    /// For a key that nobody has used.
    pub(super) fn first(store_key: Key, fingerprint: Fingerprint, caller: [u8; 16]) -> Self {
        let (owner, origin, effects_started, checkpoint) = (caller, caller, false, None);
        Self { store_key, fingerprint, owner, origin, attempt: 1, effects_started, checkpoint }
    }

    /// For a key whose last holder left this record.
    pub(super) fn after(store_key: Key, head: ClaimHead, caller: [u8; 16]) -> Self {
        let ClaimHead { fingerprint, origin, effects_started, checkpoint, .. } = head;
        let (fingerprint, attempt) = (Fingerprint(fingerprint), head.attempt + 1);
        let owner = owner_of(caller, attempt);
        Self { store_key, fingerprint, owner, origin, attempt, effects_started, checkpoint }
    }

    pub(super) fn head(&self, phase: Phase) -> ClaimHead {
        ClaimHead {
            owner: self.owner,
            fingerprint: self.fingerprint.0,
            origin: self.origin,
            attempt: self.attempt,
            effects_started: self.effects_started,
            checkpoint: self.checkpoint.clone(),
            phase,
        }
    }
}

/// As whom a caller holds a key at this attempt: it must not be taken for a tenure of its own
/// before this one, and still knows the claim for its own if it never heard that it was made.
pub(super) fn owner_of(caller: [u8; 16], attempt: u16) -> [u8; 16] {
    if attempt == 1 {
        return caller;
    }
    let attempt = attempt.to_be_bytes();
    let digest = Fields::new("steadfast take-over").field(caller).field(attempt).finish();
    std::array::from_fn(|at| digest[at])
}
