use serde::{Deserialize, Serialize};

use crate::backend::Result;
use crate::store::Head;

use super::Attributes;

/// What is stored under a session's key, before its state.
#[derive(Serialize, Deserialize)]
pub(super) enum SessionHead {
    Live(Live),
    /// The id was rotated away. Kept for a while, so that a late request is told apart from one
    /// whose session has ended.
    Moved(Option<Successor>),
}

impl Head for SessionHead {
    const LAYOUT: u16 = 0x0101;
}

/// A session, before its state. The absolute deadline stands in the envelope, the idle one is the
/// entry's TTL.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Live {
    pub(super) owner: Option<Owner>,
    pub(super) attributes: Attributes,
    /// When it got its id: µs on the store's clock; 0 for the write that carries it.
    pub(super) named_us: u64,
    pub(super) marks: Marks,
}

/// Whose session it is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) name: String,
    /// The principal's generation when the session was created.
    pub(super) generation: u64,
}

/// Where an old id leads for a short while.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Successor {
    /// The new secret, readable with the old one only.
    pub(super) padded_secret: [u8; 32],
    pub(super) grace_ms: u64,
}

impl Successor {
    /// Leads nowhere, and tells its record from any other one.
    pub(super) fn nobody() -> Result<Self> {
        Ok(Self { padded_secret: crate::random::bytes()?, grace_ms: 0 })
    }
}

/// The last writers of a record, so that one whose reply was lost finds out what became of its
/// write.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Marks([u64; 4]);

impl Marks {
    pub(super) fn with(self, mark: u64) -> Self {
        let [_oldest, second, third, newest] = self.0;
        Self([second, third, newest, mark])
    }

    pub(super) fn has(self, mark: u64) -> bool {
        self.0.contains(&mark)
    }

    /// Who wrote last; 0 if nobody has since the birth.
    pub(super) fn newest(self) -> u64 {
        self.0[3]
    }

    /// Whether too few writes came since `before` to have pushed out one in between.
    pub(super) fn is_close_to(self, before: Self) -> bool {
        self.has(before.newest())
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn a_missing_mark_tells_only_while_it_could_still_be_there() {
        let before = Marks::default().with(1).with(2).with(3).with(4);
        // Ours would have been the first of these.
        let after = |writes: u64| (0..writes).fold(before, |marks, write| marks.with(10 + write));
        for writes in 0..=3 {
            assert!(after(writes).is_close_to(before), "{writes} writes");
        }
        assert!(!after(4).is_close_to(before));
    }
}
