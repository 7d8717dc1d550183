//! How the calls of the last seconds went.

use super::sync::{AtomicU64, Ordering};

/// Buckets of a window.
const BUCKETS: usize = 10;

/// Counts in a ring of buckets, each of which has the tick that it counts for. Nothing is done
/// when time passes: a bucket is emptied by the first call that needs it for another tick. A count
/// that comes in just then may be lost.
#[derive(Debug)]
pub(super) struct Window {
    tick_ns: u64,
    /// The tag of the last call: mostly that of the next, which then needs no division.
    last_tag: AtomicU64,
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug)]
struct Bucket {
    /// One more than the tick, so that 0 is none.
    tag: AtomicU64,
    /// Calls, and how many of them failed, and how many were slow: see [`FAILED`].
    counts: AtomicU64,
}

/// How many calls there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

/// What one call adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Good,
    Failed,
    Slow,
}

/// Where the fields of a bucket's counts begin. They are wide enough for a bucket to end before
/// one runs over: with a million failures, the breaker has opened long ago.
const FAILED: u32 = 24;
const SLOW: u32 = 44;

impl Window {
    pub(super) fn new(span_ns: u64) -> Self {
        let bucket = || Bucket { tag: AtomicU64::new(0), counts: AtomicU64::new(0) };
        let buckets = std::array::from_fn(|_| bucket());
        let tick_ns = (span_ns / BUCKETS as u64).max(1);
        Self { tick_ns, last_tag: AtomicU64::new(1), buckets }
    }

    #[inline]
    pub(super) fn add(&self, count: Count, now_ns: u64) {
        let tag = self.tag(now_ns);
        let bucket = &self.buckets[usize::try_from(tag % BUCKETS as u64).unwrap_or(0)];
        let found = bucket.tag.load(Ordering::Acquire);
        let swap =
            || bucket.tag.compare_exchange(found, tag, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if found < tag && swap() {
            // Not a store: this has its place among the additions of others.
            bucket.counts.swap(0, Ordering::AcqRel);
        }
        let one = match count {
            Count::Good => 1,
            Count::Failed => 1 | 1 << FAILED,
            Count::Slow => 1 | 1 << SLOW,
        };
        bucket.counts.fetch_add(one, Ordering::AcqRel);
    }

    /// All that are not too old.
    pub(super) fn sum(&self, now_ns: u64) -> Counts {
        let last = self.tag(now_ns);
        let first = last.saturating_sub(BUCKETS as u64 - 1).max(1);
        let mut sum = Counts::default();
        for bucket in &self.buckets {
            if (first..=last).contains(&bucket.tag.load(Ordering::Acquire)) {
                let counts = bucket.counts.load(Ordering::Acquire);
                sum.calls += counts & ((1 << FAILED) - 1);
                sum.failed += counts >> FAILED & ((1 << (SLOW - FAILED)) - 1);
                sum.slow += counts >> SLOW;
            }
        }
        sum
    }

    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.tag.store(0, Ordering::Release);
        }
    }

    #[inline]
    fn tag(&self, now_ns: u64) -> u64 {
        let last = self.last_tag.load(Ordering::Relaxed);
        if now_ns.wrapping_sub((last - 1) * self.tick_ns) < self.tick_ns {
            return last;
        }
        let tag = now_ns / self.tick_ns + 1;
        self.last_tag.store(tag, Ordering::Relaxed);
        tag
    }
}
