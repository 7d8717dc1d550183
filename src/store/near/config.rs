use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result};

/// Settings of a store's [near cache](crate::store::StoreBuilder::near). The defaults: 64 MiB; an
/// answer is kept for 15 seconds; half a second of patience; nothing is known of what is absent;
/// nothing is refreshed ahead.
///
/// What this process reads through the cache is kept, and so is what it writes: a value that it put
/// is served while the store is out, as one that it read. A write whose result is not known leaves
/// nothing. A write makes old what is kept of its kind and group, and nothing else.
///
/// After some writes the store is asked once more, in the background: where it tells this process
/// of all changes, since the news of its own write may hide one of somebody else; where versions
/// are not times, as on Memcached; and for a new session, which is read together with a record of
/// its user. If the store goes away before that answer comes, there is nothing to serve.
#[derive(Clone, Copy, Debug)]
pub struct NearConfig {
    pub(super) capacity: u64,
    pub(super) keep: Duration,
    pub(super) patience: Duration,
    pub(super) negative: bool,
    pub(super) refresh_ahead: bool,
    pub(super) revalidate: Duration,
    pub(super) refresh_changed: bool,
    pub(super) flights_max: usize,
}

impl Default for NearConfig {
    fn default() -> Self {
        Self {
            capacity: 64 << 20,
            keep: Duration::from_secs(15),
            patience: Duration::from_millis(500),
            negative: false,
            refresh_ahead: false,
            revalidate: Duration::ZERO,
            refresh_changed: false,
            flights_max: 1_024,
        }
    }
}

impl NearConfig {
    /// About how many bytes it may take. Whatever was not used for the longest time goes first.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// How long an answer is kept: the oldest one that anybody gets, also while the store is out.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// How long a read waits for the store where what is kept would
    /// [do](crate::store::Reads::serve_stale). The answer is kept when it comes, for the next one.
    /// While a server answers nothing, the wait of the first reader counts for all.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Keeps also that there is nothing under a key.
    #[must_use]
    pub fn negative(mut self, negative: bool) -> Self {
        self.negative = negative;
        self
    }

    /// Asks the store again in the background when an answer is used that will soon be too old, so
    /// that nobody has to wait for the next one.
    #[must_use]
    pub fn refresh_ahead(mut self, refresh_ahead: bool) -> Self {
        self.refresh_ahead = refresh_ahead;
        self
    }

    /// An answer that is too old by no more than this is given at once, as
    /// [`Stale`](super::Freshness::Stale), while the store is asked in the background.
    #[must_use]
    pub fn revalidate(mut self, revalidate: Duration) -> Self {
        self.revalidate = revalidate;
        self
    }

    /// Asks the store again in the background for an answer that is kept and was changed by
    /// somebody else, so that there is one to give should the store go away. Only where the store
    /// tells what changes. What this process changed itself is kept without this.
    #[must_use]
    pub fn refresh_changed(mut self, refresh_changed: bool) -> Self {
        self.refresh_changed = refresh_changed;
        self
    }

    pub(in crate::store) fn check(&self) -> Result<()> {
        const KEEP_MAX: Duration = Duration::from_secs(86_400);
        let wrong = if self.keep.is_zero() || self.keep > KEEP_MAX {
            format!("keep of a near cache is more than zero and up to a day, not {:?}", self.keep)
        } else if self.capacity == 0 {
            "capacity of a near cache is at least 1 byte, not 0".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, wrong))
    }
}
