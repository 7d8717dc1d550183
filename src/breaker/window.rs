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
    good: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
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

impl Window {
    pub(super) fn new(span_ns: u64) -> Self {
        let zero = || AtomicU64::new(0);
        let bucket = |_| Bucket { tag: zero(), good: zero(), failed: zero(), slow: zero() };
        let buckets = std::array::from_fn(bucket);
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
            // Not stores: they have their place among the additions of others. The good ones last:
            // who still finds old failures finds the good calls that were beside them.
            for counter in [&bucket.failed, &bucket.slow, &bucket.good] {
                counter.swap(0, Ordering::AcqRel);
            }
        }
        let counter = match count {
            Count::Good => &bucket.good,
            Count::Failed => &bucket.failed,
            Count::Slow => &bucket.slow,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }

    /// All that are not too old.
    pub(super) fn sum(&self, now_ns: u64) -> Counts {
        let last = self.tag(now_ns);
        let first = last.saturating_sub(BUCKETS as u64 - 1).max(1);
        let mut sum = Counts::default();
        for bucket in &self.buckets {
            if (first..=last).contains(&bucket.tag.load(Ordering::Acquire)) {
                // In the other order than they are emptied.
                let good = bucket.good.load(Ordering::Acquire);
                let slow = bucket.slow.load(Ordering::Acquire);
                let failed = bucket.failed.load(Ordering::Acquire);
                sum.calls += good + slow + failed;
                sum.slow += slow;
                sum.failed += failed;
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
