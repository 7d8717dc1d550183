use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Entry, Key};

use super::fence::Token;

/// What the store answered to one question: the entries under keys that were asked for together,
/// and are judged together.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) keys: Box<[Key]>,
    pub(super) entries: Box<[Option<Entry>]>,
    pub(super) token: Token,
    /// When the store was asked.
    asked: Instant,
    /// When it had answered.
    answered: Instant,
    /// When the first of them expires.
    ends: Option<Instant>,
}

impl Unit {
    pub(super) fn new(
        keys: Box<[Key]>,
        entries: Vec<Option<Entry>>,
        token: Token,
        asked: Instant,
    ) -> Self {
        let left = entries.iter().flatten().filter_map(|entry| entry.left).min();
        let ends = left.and_then(|left| asked.checked_add(left));
        let answered = Instant::now();
        Self { keys, entries: entries.into(), token, asked, answered, ends }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    pub(super) fn has_entries(&self) -> bool {
        self.entries.iter().any(Option::is_some)
    }

    /// An entry as it is now: older, and with less time to live, by the time it lay here.
    pub(super) fn entry(&self, index: usize, now: Instant) -> Option<Entry> {
        let entry = self.entries.get(index)?.as_ref()?;
        // Neither is overstated: the store told them some time between the two moments.
        let (most, least) = (self.age(now), now.saturating_duration_since(self.answered));
        Some(Entry {
            value: entry.value.clone(),
            version: entry.version,
            written_us: entry.written_us,
            age: entry.age + least,
            left: entry.left.map(|left| left.saturating_sub(most)),
        })
    }

    /// Whether it has the same versions as these entries, of the keys that are in both.
    pub(super) fn agrees_with(&self, keys: &[Key], entries: &[Option<Entry>]) -> bool {
        let version = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.version);
        keys.iter().zip(entries).all(|(key, entry)| {
            let at = self.keys.iter().position(|own| own == key);
            at.is_none_or(|at| version(&self.entries[at]) == version(entry))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> u32 {
        const OVERHEAD: usize = 256;
        let values: usize = self.entries.iter().flatten().map(|entry| entry.value.len()).sum();
        let keys: usize = self.keys.iter().map(|key| key.as_str().len()).sum();
        u32::try_from(values + keys + OVERHEAD * self.keys.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.asked)
    }
}
