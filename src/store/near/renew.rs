//! What is kept is renewed: by what this process wrote, and by questions in the background.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backend::{Entry, Key, Ttl, Version, Write};
use crate::nanos::nanos;

use super::fence::Token;
use super::own::OwnWrite;
use super::sync::{AtomicU64, Ordering};
use super::unit::Unit;
use super::{Near, hash, stripe};

/// How many questions in the background may wait.
pub(super) const REFRESHES_MAX: usize = 1_024;
/// How many of them are put at once.
const AT_ONCE_MAX: usize = 32;
/// How often one is put again because other answers came in between.
const TRIES_MAX: usize = 3;

/// A question to be put in the background.
#[derive(Debug)]
pub(in crate::store) enum Refresh {
    /// For what is kept under a key, though it may be up to date.
    Younger(Key),
    /// For what is kept under a key, unless it is up to date.
    Overtaken(Key),
    /// For what may not be kept yet.
    Unit(Box<[Key]>),
}

impl Near {
    /// The writes were made, and left these versions. What they put takes the place of what was
    /// kept; of a key of which nothing was kept it is kept too, if that key `is_read_alone`.
    pub(in crate::store) fn wrote(
        &self,
        own: OwnWrite<'_>,
        writes: &[Write],
        versions: &[Option<Version>],
        is_read_alone: impl Fn(&Key) -> bool,
    ) {
        if writes.iter().all(|write| matches!(write, Write::Touch { .. } | Write::Check { .. })) {
            // The values are as they were, and what is kept understates what is left; unless a
            // touch brought the end forward.
            if writes.iter().any(|write| self.shortens(write)) {
                own.overtook();
            } else {
                drop(own);
            }
            return self.refresh_overtaken(writes);
        }
        let asked = self.born + Duration::from_nanos(own.at_ns());
        let tokens = own.made().into_iter();
        let tokens: Vec<_> = tokens.map(|token| (token, self.fence.arrive(&token))).collect();
        let made = Made { writes, versions, asked };
        for write in writes.iter().filter(|write| matches!(write, Write::Put { .. })) {
            let stripe = stripe(&self.fence, write.key());
            let Some((token, alone)) = tokens.iter().find(|(token, _)| token.stripe == stripe)
            else {
                continue;
            };
            self.renew(write.key(), &made, token, *alone, &is_read_alone);
        }
    }

    /// Whether it lets a record end before what is kept of it says.
    fn shortens(&self, write: &Write) -> bool {
        let Write::Touch { key, ttl: Some(ttl), .. } = write else { return false };
        let Some(unit) = self.units.get(key) else { return false };
        let index = unit.keys.iter().position(|kept| kept == key);
        let kept = index.and_then(|index| unit.entry(index, Instant::now()));
        kept.is_some_and(|entry| entry.left.is_none_or(|left| left > ttl.as_duration()))
    }

    fn renew(
        &self,
        key: &Key,
        made: &Made<'_>,
        token: &Token,
        alone: bool,
        is_read_alone: impl Fn(&Key) -> bool,
    ) {
        let kept = self.units.get(key);
        let keys: Box<[Key]> = match &kept {
            Some(unit) => unit.keys.clone(),
            None if is_read_alone(key) => [key.clone()].into(),
            None => return,
        };
        let unit = if self.versions_are_times.load(Ordering::Relaxed) == 1 {
            made.unit(&keys, kept.as_deref(), token)
        } else {
            None
        };
        let renewed = unit.is_some_and(|unit| self.take_in(&Arc::new(unit), alone));
        if !renewed || !self.fence.is_current(token) {
            self.refresh_later(Refresh::Unit(keys));
        }
    }

    /// The writes were refused: others were seen to have been made.
    pub(in crate::store) fn refused(&self, own: OwnWrite<'_>, writes: &[Write]) {
        own.overtook();
        self.refresh_overtaken(writes);
    }

    /// Asks in the background for what is kept of these and must not be used any more.
    fn refresh_overtaken(&self, writes: &[Write]) {
        for write in writes {
            let kept = self.units.get(write.key());
            if kept.is_some_and(|unit| !self.fence.is_usable(&unit.token)) {
                self.refresh_later(Refresh::Overtaken(write.key().clone()));
            }
        }
    }

    pub(in crate::store) fn refresh_later(&self, refresh: Refresh) {
        // If there is no room, somebody will have to wait for the answer.
        let _ = self.refreshes.try_send(refresh);
    }

    async fn refresh(self: Arc<Self>, refresh: Refresh) {
        let is_current = |unit: &Arc<Unit>| self.fence.is_current(&unit.token);
        let keys = match refresh {
            Refresh::Younger(key) => {
                let Some(unit) = self.units.get(&key) else { return };
                // If the store is out, there is nothing to be had.
                let _ = self.join(&unit.keys, Duration::ZERO).await;
                return;
            }
            Refresh::Overtaken(key) => match self.units.get(&key) {
                Some(unit) => unit.keys.clone(),
                None => return,
            },
            Refresh::Unit(keys) => keys,
        };
        for _try in 0..TRIES_MAX {
            if self.kept(&keys, Instant::now()).is_some_and(|unit| is_current(&unit)) {
                return;
            }
            let Ok(unit) = self.question(keys.clone()).await else { return };
            // Nobody waits for it, so it takes nothing from those who are given an answer.
            if self.fence.arrive_alone(&unit.token) {
                self.take_in(&unit, true);
            }
        }
    }
}

/// Puts the questions for as long as the near cache is there.
pub(super) async fn refresh_all(near: Weak<Near>, mut wanted: mpsc::Receiver<Refresh>) {
    let wanted = stream::poll_fn(|context| wanted.poll_recv(context));
    let put = |refresh| {
        let near = near.upgrade();
        async move {
            if let Some(near) = near {
                near.refresh(refresh).await;
            }
        }
    };
    wanted.for_each_concurrent(AT_ONCE_MAX, put).await;
}

/// Writes that were made.
struct Made<'a> {
    writes: &'a [Write],
    versions: &'a [Option<Version>],
    /// When they began.
    asked: Instant,
}

impl Made<'_> {
    /// What the store has under these keys since, as far as the writes tell: one that was not put
    /// has to be as it was `kept`.
    fn unit(&self, keys: &[Key], kept: Option<&Unit>, token: &Token) -> Option<Unit> {
        let entries = keys.iter().enumerate().map(|(index, key)| {
            let at = self.writes.iter().position(|write| write.key() == key)?;
            let (write, version) = (&self.writes[at], *self.versions.get(at)?);
            if let Write::Put { value, ttl, .. } = write {
                let version = version?;
                return Some(Some(Entry {
                    value: value.clone(),
                    version,
                    written_us: version.get(),
                    age: Duration::ZERO,
                    left: ttl.map(Ttl::as_duration),
                }));
            }
            let mate = kept?.entry(index, self.asked);
            (mate.as_ref().map(|mate| mate.version) == version).then_some(mate)
        });
        let entries = entries.collect::<Option<Vec<_>>>()?;
        Some(Unit::new(keys.into(), entries, *token, self.asked))
    }
}

/// When this process wrote what it may be told of. Where the store tells what changes, it tells
/// that of everybody's writes: what this process has just written and kept is overtaken by the
/// news of it, since nobody knows whether another write stands behind them. So it is asked for
/// again.
#[derive(Debug)]
pub(super) struct Echoes {
    born: Instant,
    /// By a hash of the key. One that has another's place is asked for once too often.
    written_ns: Box<[AtomicU64]>,
}

impl Echoes {
    const PLACES: usize = 1 << 12;
    /// How long after a write news may be its echo.
    const WITHIN: Duration = Duration::from_secs(10);

    pub(super) fn new(born: Instant) -> Self {
        Self { born, written_ns: (0..Self::PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// News of this key will come.
    pub(super) fn expect(&self, key: &Key) {
        self.place(key).store(self.now_ns(), Ordering::Relaxed);
    }

    pub(super) fn is_expected(&self, key: &Key) -> bool {
        let written_ns = self.place(key).load(Ordering::Relaxed);
        written_ns > 0 && self.now_ns().saturating_sub(written_ns) <= nanos(Self::WITHIN)
    }

    fn place(&self, key: &Key) -> &AtomicU64 {
        &self.written_ns[hash(key.as_str()) & (Self::PLACES - 1)]
    }

    fn now_ns(&self) -> u64 {
        nanos(self.born.elapsed()).max(1)
    }
}
