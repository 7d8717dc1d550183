//! Removal of expired entries, in pieces small enough that no caller waits long.

use crate::frame::{is_live, parse_index_key};
use crate::group::Group;
use crate::{Engine, Fault, Span, Table};

/// The most index entries that one piece looks at.
pub(crate) const PIECE_LEN: usize = 256;

/// What one piece of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// How many expired entries it removed.
    pub(crate) removed: usize,
    /// True if there may be more.
    pub(crate) more: bool,
}

impl Group {
    /// Removes the first entries that are due.
    pub(crate) fn sweep<E: Engine>(&mut self, engine: &E, now_us: u64) -> Result<Swept, Fault> {
        let end = now_us.saturating_add(1).to_be_bytes();
        let span = Span { after: &[], end: &end, limit: PIECE_LEN, head_len: 0 };
        let due = engine.span(Table::Expiry, span)?;
        let parsed = || due.iter().map(|(bytes, _)| (bytes, parse_index_key(bytes)));
        self.load(engine, parsed().filter_map(|(_, parsed)| parsed.map(|(_, key)| key)))?;
        let mut removed = 0;
        for (bytes, parsed) in parsed() {
            let Some((deadline_us, key)) = parsed else {
                self.unindex_unreadable(bytes);
                continue;
            };
            self.unindex_stray(deadline_us, &key, bytes);
            // An unreadable record stays where it is; only its index entry goes.
            if let Ok(Some(record)) = self.stored(&key)
                && !is_live(record.deadline_us, now_us)
            {
                self.set(key, None);
                removed += 1;
            }
        }
        Ok(Swept { removed, more: due.len() == PIECE_LEN })
    }
}
