use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use steadfast_backend::{Cursor, Error, ErrorKind, Key, Result, ScanPage, ScanRequest};

/// The most keys that one page looks at, because it holds the lock of the writers meanwhile.
const PAGE_LEN_MAX: usize = 1024;

/// The keys in order, for scans, and in order of their deadlines, for sweeps.
///
/// It may briefly name a key that the cache has just dropped, but it misses none.
#[derive(Default)]
pub(crate) struct Index {
    deadlines_us: BTreeMap<ByText, Option<u64>>,
    expiring: BTreeSet<(u64, Key)>,
}

impl Index {
    pub(crate) fn set(&mut self, key: &Key, deadline_us: Option<u64>) {
        self.remove(key);
        self.deadlines_us.insert(ByText(key.clone()), deadline_us);
        if let Some(deadline_us) = deadline_us {
            self.expiring.insert((deadline_us, key.clone()));
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(Some(deadline_us)) = self.deadlines_us.remove(key.as_str()) {
            self.expiring.remove(&(deadline_us, key.clone()));
        }
    }

    /// Takes out the key that died first, if one is dead by now.
    pub(crate) fn pop_expired(&mut self, now_us: u64) -> Option<Key> {
        self.expiring.first().filter(|(deadline_us, _)| *deadline_us <= now_us)?;
        let (_, key) = self.expiring.pop_first()?;
        self.deadlines_us.remove(key.as_str());
        Some(key)
    }

    pub(crate) fn page(
        &self,
        request: &ScanRequest,
        is_live: impl Fn(&Key, Option<u64>) -> bool,
    ) -> Result<ScanPage> {
        let start = Start::of(request)?;
        let mut below = self
            .deadlines_us
            .range::<str, _>((start.bound(), Bound::Unbounded))
            .map(|(key, deadline_us)| (&key.0, *deadline_us))
            .take_while(|(key, _)| request.namespace.contains(key));
        let limit = request.limit.get().min(PAGE_LEN_MAX);
        let mut passed = 0;
        let mut keys = Vec::new();
        let mut last = None;
        // Counts the dead too, so that no page holds the lock for long.
        for (key, deadline_us) in below.by_ref().take(limit) {
            passed += 1;
            last = Some(key);
            if is_live(key, deadline_us) {
                keys.push(key.clone());
            }
        }
        let ended = passed < limit || below.next().is_none();
        let next = last.filter(|_| !ended).map(|key| Cursor(key.as_str().to_owned().into()));
        Ok(ScanPage { keys, next })
    }

    #[cfg(test)]
    pub(crate) fn lens(&self) -> (usize, usize) {
        (self.deadlines_us.len(), self.expiring.len())
    }
}

/// Where a page starts: at the namespace, or after the key that the cursor names.
enum Start {
    After(Key),
    Namespace(String),
}

impl Start {
    fn of(request: &ScanRequest) -> Result<Self> {
        let Some(Cursor(bytes)) = &request.after else {
            return Ok(Self::Namespace(format!("{}:", request.namespace.as_str())));
        };
        let key = std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok());
        let key = key.filter(|key| request.namespace.contains(key));
        key.map(Self::After).ok_or_else(|| {
            let detail = "this cursor is not of this scan; start again without one";
            Error::new(ErrorKind::Invalid, detail)
        })
    }

    fn bound(&self) -> Bound<&str> {
        match self {
            Self::After(key) => Bound::Excluded(key.as_str()),
            Self::Namespace(prefix) => Bound::Included(prefix),
        }
    }
}

/// A key that can be looked up, and ranged over, by its text.
#[derive(PartialEq, Eq)]
struct ByText(Key);

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl Ord for ByText {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for ByText {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
