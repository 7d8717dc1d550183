//! Changes that lose nothing to each other.

use tokio::sync::MutexGuard;

use crate::backend::{
    Condition, Entry, Error, ErrorKind, Key, Result, Transacted, Ttl, Version, Write, Written,
};
use crate::{State, Store, schema};

use super::draft::{Draft, TtlChange};
use super::envelope::HEADER_LEN;
use super::handle::TURNS;
use super::typed::{PLAIN, Unwrapped};

/// How often an update is tried again after a lost race. Every lost race means that another
/// writer of the same record got through, so this is the number of writers that may collide.
pub(crate) const UPDATE_ATTEMPTS_MAX: usize = 256;

/// What an update came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated<R> {
    /// What the closure returned on the run that counted.
    pub output: R,
    /// The version the record has now; `None` if it is absent.
    pub version: Option<Version>,
}

/// What became of a write whose reply was lost, as what is there now tells.
pub(crate) enum Fate {
    /// It was made, and this is the version it left; `None` if it left nothing.
    Applied(Option<Version>),
    /// It was not made, and never will be.
    Lost,
    /// It cannot be told.
    Unknown,
}

impl Store {
    /// Changes a record by a closure: load, change, save if nobody else saved meanwhile, else run
    /// the closure again on what they saved. No update is lost.
    ///
    /// The closure sees `None` for an absent record and leaves `None` to remove it. If the bytes
    /// come out as they were, nothing is written, no deadline either: one trip, two where that has
    /// to be [confirmed](crate::backend::Capabilities::shows_unconfirmed). Otherwise the record
    /// lives for `ttl` from now, or until it is removed if that is `None`, whatever it had before.
    /// The closure may run several times, so it should only touch the state and build its output.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contended`] after 256 lost races; otherwise as [`get`](Store::get) and
    /// [`write`](Store::write). A record that cannot be read is never overwritten.
    pub async fn update<T: State, R>(
        &self,
        key: &Key,
        ttl: Option<Ttl>,
        mut change: impl FnMut(&mut Option<T>) -> R,
    ) -> Result<Updated<R>> {
        self.one_call(async {
            let current = self.entry(key).await?;
            let plan = |current: Option<&Entry>| self.plan(key, ttl, current, &mut change);
            self.optimistic(key, None, current, plan, |_seen, _now| Ok(Fate::Unknown)).await
        })
        .await
    }

    /// As [`update`](Store::update), for a change that depends on time: the closure sees how old
    /// the record is and what is left of its life, and says what becomes of that. Unless it says
    /// otherwise, the record ends when it would have ended: however long the change takes, and
    /// however often it is made again, the end moves no further away. What moves such an end is
    /// another change; a [touch](Write::touch) does not. If the bytes come out as they were and the
    /// time to live is kept, nothing is written.
    ///
    /// A limit of five calls in each minute, by the store's clock:
    ///
    /// ```
    /// use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::backend::{Group, Ttl};
    /// use steadfast::store::{Draft, TtlChange};
    /// # use steadfast::{State, Store};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Calls(u32);
    /// # impl State for Calls {
    /// #     const SCHEMA: u16 = 1;
    /// # }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> steadfast::Result<()> {
    /// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    /// let window = Ttl::new(Duration::from_secs(60))?;
    /// let count = |draft: &mut Draft<Calls>| match &mut draft.value {
    ///     Some(Calls(calls)) if *calls >= 5 => Err(draft.left), // until the window ends
    ///     Some(Calls(calls)) => {
    ///         *calls += 1; // and it ends when it did
    ///         Ok(())
    ///     }
    ///     None => {
    ///         (draft.value, draft.ttl) = (Some(Calls(1)), TtlChange::Set(window));
    ///         Ok(())
    ///     }
    /// };
    /// let key = store.key("calls", &Group::new("alice")?, "search")?;
    /// for _call in 0..5 {
    ///     assert!(store.update_with(&key, count).await?.output.is_ok());
    /// }
    /// let refused = store.update_with(&key, count).await?.output;
    /// assert!(refused.is_err_and(|left| left.is_some_and(|left| left <= window.as_duration())));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`update`](Store::update).
    pub async fn update_with<T: State, R>(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut Draft<T>) -> R,
    ) -> Result<Updated<R>> {
        let mut change = |draft: &mut Draft<T>| (change(draft), None);
        self.one_call(async {
            let current = self.entry(key).await?;
            let plan = |current: Option<&Entry>| self.plan_draft(key, current, &mut change);
            self.optimistic(key, None, current, plan, |_seen, _now| Ok(Fate::Unknown)).await
        })
        .await
    }

    /// Runs the closure on a decoded entry: the write that it comes to, if any, and its output.
    pub(crate) fn plan<T: State, R>(
        &self,
        key: &Key,
        ttl: Option<Ttl>,
        current: Option<&Entry>,
        change: &mut impl FnMut(&mut Option<T>) -> R,
    ) -> Result<(Option<Write>, R)> {
        let if_changed = Some(TtlChange::from_now(ttl));
        let mut change = |draft: &mut Draft<T>| (change(&mut draft.value), if_changed);
        self.plan_draft(key, current, &mut change)
    }

    /// Beside its output, `change` may say what becomes of the time to live if the bytes change.
    fn plan_draft<T: State, R>(
        &self,
        key: &Key,
        current: Option<&Entry>,
        change: &mut impl FnMut(&mut Draft<T>) -> (R, Option<TtlChange>),
    ) -> Result<(Option<Write>, R)> {
        let found = current.map(|entry| self.unwrap(key, entry, PLAIN)).transpose()?;
        let live = found.as_ref().filter(|found| !found.is_over());
        let mut draft = Draft {
            value: live.map(Unwrapped::value).transpose()?,
            ttl: TtlChange::Keep,
            age: current.filter(|_entry| live.is_some()).map(|entry| entry.age),
            left: live.and_then(|live| live.left),
        };
        let (output, if_changed) = change(&mut draft);
        let Some(value) = draft.value else {
            return Ok((current.map(|_entry| Write::delete(key.clone())), output));
        };
        let schema = live.map_or(0, |live| live.header.schema).max(self.0.floors.of::<T>());
        let out = schema::write(self.0.codec, schema, &value, vec![0; HEADER_LEN])?;
        let is_same = live.is_some_and(|Unwrapped { header, payload, .. }| {
            (header.schema, header.codec) == (schema, self.0.codec) && *payload == out[HEADER_LEN..]
        });
        if is_same && draft.ttl == TtlChange::Keep {
            return Ok((None, output));
        }
        let (ttl, end) = if_changed.unwrap_or(draft.ttl).over(live)?;
        let write = self.wrap(key, schema, PLAIN, end, out)?;
        Ok((Some(ttl.into_iter().fold(write, Write::expiring)), output))
    }

    /// Plans a write on what is there and makes it if that is still there, else plans again on
    /// what won. `plan` gives no write where none is needed; the condition is set here. `fate`
    /// tells from what was there, and what is there now, whether a write of ours whose reply was
    /// lost was made. Where the check of another record of the group does not hold, this record
    /// counts as absent.
    pub(crate) async fn optimistic<R, E: From<Error>>(
        &self,
        key: &Key,
        guard: Option<&Write>,
        mut current: Option<Entry>,
        mut plan: impl FnMut(Option<&Entry>) -> std::result::Result<(Option<Write>, R), E>,
        mut fate: impl FnMut(Option<&Entry>, Option<&Entry>) -> Result<Fate>,
    ) -> std::result::Result<Updated<R>, E> {
        let shows_unconfirmed = self.info().capabilities.shows_unconfirmed();
        let mut turn = None;
        for _attempt in 0..UPDATE_ATTEMPTS_MAX {
            let (write, output) = plan(current.as_ref())?;
            let seen = current.as_ref().map(|entry| entry.version);
            // What leaves nothing to do may be an earlier attempt that was not confirmed.
            let check = || Write::check(key.clone(), Condition::Always);
            let Some(write) = write.or_else(|| shows_unconfirmed.then(check)) else {
                return Ok(Updated { output, version: seen });
            };
            let only_if = seen.map_or(Condition::Absent, Condition::VersionIs);
            let fate = |now: Option<&Entry>| fate(current.as_ref(), now);
            match self.write_settled(guard, write.only_if(only_if), fate).await? {
                Written::Applied { version } => return Ok(Updated { output, version }),
                Written::Refused { current: winner } => current = winner,
            }
            self.count_lost_race();
            if turn.is_none() {
                turn = Some(self.turn(key).await?);
                current = self.entry(key).await?;
            }
        }
        Err(contended(UPDATE_ATTEMPTS_MAX).into())
    }

    /// A conditional write; it is made twice if the first reply was lost.
    pub(super) async fn write_settled(
        &self,
        guard: Option<&Write>,
        write: Write,
        fate: impl FnOnce(Option<&Entry>) -> Result<Fate>,
    ) -> Result<Written> {
        let error = match self.write_guarded(guard, &write).await {
            Err(error) if self.may_settle(write.key(), &error) => error,
            answer => return answer,
        };
        match self.write_guarded(guard, &write).await {
            Ok(Written::Refused { current }) => match fate(current.as_ref())? {
                Fate::Applied(version) => Ok(Written::Applied { version }),
                Fate::Lost => Ok(Written::Refused { current }),
                Fate::Unknown => Err(error),
            },
            Ok(applied) => Ok(applied),
            Err(_again) => Err(error),
        }
    }

    pub(crate) async fn write_guarded(
        &self,
        guard: Option<&Write>,
        write: &Write,
    ) -> Result<Written> {
        let Some(guard) = guard else { return self.write(write).await };
        // The write first: if it is refused because it was made before, that is what is told.
        Ok(match self.transact(&[write.clone(), guard.clone()]).await? {
            Transacted::Applied { versions } => {
                Written::Applied { version: versions.first().copied().flatten() }
            }
            Transacted::Refused { index: 0, current } => Written::Refused { current },
            Transacted::Refused { .. } => Written::Refused { current: None },
        })
    }

    /// Calls again if the first reply was lost. If that fails, too, the first error stands: the
    /// change may be made, whatever became of the repeat.
    pub(crate) async fn twice<T, F: Future<Output = Result<T>>>(
        &self,
        key: &Key,
        call: impl Fn() -> F,
    ) -> Result<T> {
        match call().await {
            Err(first) if self.may_settle(key, &first) => call().await.map_err(|_again| first),
            answer => answer,
        }
    }

    /// To be awaited before a caller learns that something is so already: where reads show what is
    /// not confirmed yet, waits until what was read under this key is. One trip then. False if
    /// something else is there by now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unconfirmed`] if that is not confirmed in time; otherwise as
    /// [`write`](Store::write).
    pub(crate) async fn confirm(&self, key: &Key, seen: Option<Version>) -> Result<bool> {
        if !self.info().capabilities.shows_unconfirmed() {
            return Ok(true);
        }
        let only_if = seen.map_or(Condition::Absent, Condition::VersionIs);
        self.write(&Write::check(key.clone(), only_if)).await.map(|written| written.is_applied())
    }

    /// Whether a call of which nobody knows what became may be made again: whoever makes it can
    /// tell its own mark, and there is enough left to pay for it.
    pub(super) fn may_settle(&self, key: &Key, error: &Error) -> bool {
        self.0.guard.may_settle(key, error)
    }

    pub(crate) fn count_lost_race(&self) {
        self.0.guard.meters.conflict();
    }

    /// Waits until it is this caller's turn, among those of this process that lost a race for the
    /// same record. Who loses a second one is among strangers; without this, a hundred updates at
    /// once would take thousands of attempts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if it does not come before the call's deadline.
    pub(crate) async fn turn(&self, key: &Key) -> Result<MutexGuard<'_, ()>> {
        let turn = &self.0.turns[crc32fast::hash(key.as_str().as_bytes()) as usize % TURNS];
        self.0.guard.in_time(turn.lock()).await
    }
}

/// The end of an optimistic loop.
pub(crate) fn contended(attempts: usize) -> Error {
    let detail = format!(
        "{attempts} attempts met a newer version each time; nothing was changed; try \
         again, or spread the state over more records"
    );
    Error::new(ErrorKind::Contended, detail)
}

#[cfg(test)]
#[cfg(feature = "memory")]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::backend::Group;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_no_longer_than_the_call_has() {
        let deadline = Duration::from_secs(2);
        let backend = crate::connect("memory:").await.unwrap();
        let store = Store::builder(backend).deadline(deadline).build().unwrap();
        let key = store.key("k", &Group::new("g").unwrap(), "k").unwrap();
        let held = store.turn(&key).await.unwrap();
        let begun = Instant::now();
        let waited = store.one_call(store.turn(&key)).await.map(drop);
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(begun.elapsed().as_millis(), deadline.as_millis());
        drop(held);
        drop(store.turn(&key).await.unwrap());
    }
}
