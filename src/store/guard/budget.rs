use std::sync::atomic::{AtomicU32, Ordering};

/// What may be spent on repeats while nothing succeeds, and what is had at the start.
const TOKENS_MAX: u32 = 500;

/// Pays for repeats, so that a store in trouble is not asked several times as much as one that is
/// well. The figures are those of the AWS SDKs' standard retry mode.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    /// For an attempt that got no answer.
    pub(super) const OUTAGE: u32 = 14;
    /// For one that was turned away because the store has too much to do.
    pub(super) const BUSY: u32 = 5;

    pub(super) fn new() -> Self {
        Self(AtomicU32::new(TOKENS_MAX))
    }

    /// Takes the price of a repeat, or nothing at all.
    pub(super) fn spend(&self, price: u32) -> bool {
        self.change(|tokens| tokens.checked_sub(price))
    }

    /// A call succeeded. Where nothing was spent, nothing is written.
    #[inline]
    pub(super) fn earn(&self) {
        if self.0.load(Ordering::Relaxed) < TOKENS_MAX {
            self.change(|tokens| (tokens < TOKENS_MAX).then(|| tokens + 1));
        }
    }

    fn change(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_end_where_nothing_succeeds() {
        let budget = Budget::new();
        let repeats = (0..1_000).filter(|_| budget.spend(Budget::OUTAGE)).count();
        assert_eq!(repeats, 35);
    }

    #[test]
    fn each_success_pays_for_a_part_of_a_repeat_and_there_is_a_most() {
        let budget = Budget::new();
        while budget.spend(Budget::OUTAGE) {}
        (0..4).for_each(|_| budget.earn());
        assert!(budget.spend(Budget::OUTAGE), "10 were left, and 4 were earned");
        (0..10_000).for_each(|_| budget.earn());
        let repeats = (0..1_000).filter(|_| budget.spend(Budget::BUSY)).count();
        assert_eq!(repeats, 100);
    }
}
