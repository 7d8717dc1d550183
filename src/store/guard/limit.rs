use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{Error, ErrorKind, Result};

/// Counts the calls under way. Where there are as many as there may be, one more is turned away
/// at once: waiting for a store that cannot keep up only makes all of them late.
#[derive(Debug, Default)]
pub(super) struct Limit(AtomicUsize);

/// A call under way.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a AtomicUsize);

impl Limit {
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if `max` are under way.
    #[inline]
    pub(super) fn enter(&self, max: usize) -> Result<Slot<'_>> {
        let slot = Slot(&self.0);
        if self.0.fetch_add(1, Ordering::Relaxed) < max {
            return Ok(slot);
        }
        Err(busy(max))
    }
}

#[cold]
fn busy(max: usize) -> Error {
    let detail = format!(
        "{max} calls to the store are under way, and this process makes no more at once; try \
         again soon"
    );
    Error::new(ErrorKind::Busy, detail)
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_is_turned_away_and_takes_no_place() {
        let limit = Limit::default();
        let (first, _second) = (limit.enter(2).unwrap(), limit.enter(2).unwrap());
        for _ in 0..3 {
            assert_eq!(limit.enter(2).unwrap_err().kind(), ErrorKind::Busy);
        }
        drop(first);
        assert!(limit.enter(2).is_ok());
    }
}
