use serde::{Deserialize, Serialize};

use crate::store::Head;

/// What is stored under an idempotency key. Its physical TTL is the retention, never the lease,
/// so that a holder's death stays visible.
#[derive(Serialize, Deserialize)]
pub(super) struct ClaimHead {
    /// Random, chosen by the holder before the call: after a lost reply it recognises itself.
    pub(super) owner: [u8; 16],
    pub(super) fingerprint: [u8; 32],
    /// The first holder's owner; what is made under this key is named after it.
    pub(super) origin: [u8; 16],
    /// 1 for the first holder, +1 for each take-over.
    pub(super) attempt: u16,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Phase {
    /// The lease runs from the write of this record.
    Running { lease_ms: u64 },
    /// The answer is the record's value.
    Completed,
}

impl Head for ClaimHead {
    const LAYOUT: u16 = 0x0301;
}
