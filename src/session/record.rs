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
    /// One with a lifetime of its own. Apart from the others, which stay as they were.
    Chosen(Live, Own),
}

impl SessionHead {
    pub(super) fn of(live: Live) -> Self {
        if live.own == Own::default() {
            Self::Live(live)
        } else {
            let own = live.own;
            Self::Chosen(live, own)
        }
    }

    /// A session, or where it leads.
    pub(super) fn live(self) -> std::result::Result<Live, Option<Successor>> {
        match self {
            Self::Live(live) => Ok(live),
            Self::Chosen(live, own) => Ok(Live { own, ..live }),
            Self::Moved(successor) => Err(successor),
        }
    }
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
    #[serde(skip)]
    pub(super) own: Own,
}

/// What a session has instead of the settings.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own {
    /// The idle timeout; 0 for that of the settings.
    pub(super) idle_ms: u64,
    /// The browser is to forget it when it closes.
    pub(super) until_closed: bool,
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
    use super::*;

    /// As records were before a session could have a lifetime of its own.
    #[derive(Serialize, Deserialize)]
    enum Before {
        Live(LiveBefore),
        Moved(Option<Successor>),
    }

    #[derive(Serialize, Deserialize)]
    struct LiveBefore {
        owner: Option<Owner>,
        attributes: Attributes,
        named_us: u64,
        marks: Marks,
    }

    #[test]
    fn records_from_before_lifetimes_are_read_and_written_as_they_were() {
        let owner = || Some(Owner { name: "alice".to_owned(), generation: 7 });
        let marks = Marks::default().with(3);
        let attributes = Attributes::default();
        let before = LiveBefore { owner: owner(), attributes, named_us: 5, marks };
        let before = postcard::to_allocvec(&Before::Live(before)).unwrap();
        let read: SessionHead = postcard::from_bytes(&before).unwrap();
        let Ok(live) = read.live() else { panic!("it is live") };
        assert!(live.own == Own::default() && live.named_us == 5 && live.marks.has(3));
        let now = postcard::to_allocvec(&SessionHead::of(live.clone())).unwrap();
        assert_eq!(now, before);

        let successor = || Some(Successor { padded_secret: [9; 32], grace_ms: 4 });
        let before = postcard::to_allocvec(&Before::Moved(successor())).unwrap();
        assert_eq!(postcard::to_allocvec(&SessionHead::Moved(successor())).unwrap(), before);

        let own = Own { idle_ms: 8, until_closed: true };
        let chosen = postcard::to_allocvec(&SessionHead::of(Live { own, ..live })).unwrap();
        let read: SessionHead = postcard::from_bytes(&chosen).unwrap();
        assert!(read.live().is_ok_and(|live| live.own == own && live.named_us == 5));
        assert!(postcard::from_bytes::<Before>(&chosen).is_err(), "not misread either");
    }

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
