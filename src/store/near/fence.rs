//! What tells a cached answer from one that has been overtaken.

use super::sync::{AtomicU64, Ordering};

/// A power of two.
const STRIPES: usize = 1 << 16;

/// Two counters for each class of records: the hard one moves when what is cached must not be used
/// any more, the soft one when it may be old. An answer keeps the counters of the moment before the
/// store was asked. They are compared when it is used, so it does not matter in which order answers
/// and news come in, nor what was evicted: whatever was overtaken by news does not match.
///
/// The records of one kind and group are in one class, because they may be read together and end
/// together. Classes that share a place share their fate, which costs a question to the store now
/// and then.
#[derive(Debug)]
pub(super) struct Fence {
    /// The hard counter in the upper half, the soft one in the lower.
    stripes: Box<[AtomicU64]>,
    /// How many answers arrived.
    arrivals: Box<[AtomicU64]>,
    /// Moves when anything may have changed.
    epoch: AtomicU64,
    /// All that changed before this moment has been told; 0 if that is not known.
    proved_ns: AtomicU64,
}

/// The state of the fence before the store was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) stripe: usize,
    counters: u64,
    arrivals: u64,
    epoch: u64,
    /// When that was, on the cache's clock.
    pub(super) at_ns: u64,
}

const HARD: u64 = 1 << 32;

impl Fence {
    pub(super) fn new() -> Self {
        Self::with_stripes(STRIPES)
    }

    pub(super) fn with_stripes(count: usize) -> Self {
        let zeros = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            stripes: zeros(),
            arrivals: zeros(),
            epoch: AtomicU64::new(0),
            proved_ns: AtomicU64::new(0),
        }
    }

    /// The place of a class, by a hash of it.
    pub(super) fn stripe(&self, hash: usize) -> usize {
        hash & (self.stripes.len() - 1)
    }

    /// To be taken before the store is asked.
    pub(super) fn capture(&self, stripe: usize, at_ns: u64) -> Token {
        Token {
            stripe,
            arrivals: self.arrivals[stripe].load(Ordering::SeqCst),
            counters: self.stripes[stripe].load(Ordering::SeqCst),
            epoch: self.epoch.load(Ordering::SeqCst),
            at_ns,
        }
    }

    /// What is cached may be old.
    pub(super) fn soft(&self, stripe: usize) {
        self.stripes[stripe].fetch_add(1, Ordering::SeqCst);
    }

    /// What is cached was overtaken.
    pub(super) fn hard(&self, stripe: usize) {
        self.stripes[stripe].fetch_add(HARD, Ordering::SeqCst);
    }

    /// As [`hard`](Self::hard), by a write that began after the token was taken. Gives the token of
    /// what the write left: it is current if nothing else came in since the write began.
    pub(super) fn hard_by(&self, token: &Token) -> Token {
        self.hard(token.stripe);
        Token { counters: token.counters.wrapping_add(HARD), ..*token }
    }

    /// Everything that is cached may be old.
    pub(super) fn everything(&self) {
        self.proved_ns.store(0, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn prove(&self, until_ns: u64) {
        self.proved_ns.fetch_max(until_ns, Ordering::SeqCst);
    }

    /// No news came since.
    pub(super) fn is_current(&self, token: &Token) -> bool {
        self.stripes[token.stripe].load(Ordering::SeqCst) == token.counters
            && self.epoch.load(Ordering::SeqCst) == token.epoch
    }

    /// It may be old, but it was not overtaken by anything that this process knows of.
    pub(super) fn is_usable(&self, token: &Token) -> bool {
        self.stripes[token.stripe].load(Ordering::SeqCst) / HARD == token.counters / HARD
    }

    /// When, at the earliest, an answer was last known to be so; `None` if news came since.
    pub(super) fn known_ns(&self, token: &Token) -> Option<u64> {
        // First: what is proved after news came proves nothing of what they overtook.
        let proved_ns = self.proved_ns.load(Ordering::SeqCst);
        self.is_current(token).then(|| token.at_ns.max(proved_ns))
    }

    /// An answer arrives. True if no other did since its question was put: of two questions that
    /// were under way at the same time, nobody knows which one the store answered first.
    pub(super) fn arrive(&self, token: &Token) -> bool {
        let alone = self.arrive_alone(token);
        if !alone {
            self.pass(token.stripe);
        }
        alone
    }

    /// As [`arrive`](Self::arrive), of an answer that is given to nobody unless it is kept: if it
    /// is not alone, nothing arrives.
    pub(super) fn arrive_alone(&self, token: &Token) -> bool {
        let (arrivals, order) = (&self.arrivals[token.stripe], Ordering::SeqCst);
        arrivals.compare_exchange(token.arrivals, token.arrivals + 1, order, order).is_ok()
    }

    /// An answer arrives that is not kept, whatever else does.
    pub(super) fn pass(&self, stripe: usize) {
        self.arrivals[stripe].fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the answer that arrived alone is still the last one that did.
    pub(super) fn is_last(&self, token: &Token) -> bool {
        self.arrivals[token.stripe].load(Ordering::SeqCst) == token.arrivals + 1
    }
}
