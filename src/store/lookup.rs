//! Look-ups that are made once for all who need them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore};
use tokio::task::JoinHandle;

use crate::backend::{Error, ErrorKind, Key, Ttl};
use crate::{State, Store};

use super::Reads;

/// How many run at once while the store is out, which would spare them.
const WHILE_OUT_MAX: usize = 32;

/// A look-up that has begun: await it where its value is needed. Dropping it does not end it.
#[must_use = "the value is what this is for"]
#[derive(Debug)]
pub struct Lookup<T, E>(JoinHandle<Result<T, E>>);

impl<T, E: From<Error>> Future for Lookup<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|ended| {
            ended.unwrap_or_else(|_panicked| {
                let detail = "the look-up was broken off by a panic, or the end of the runtime";
                Err(Error::new(ErrorKind::Other, detail).into())
            })
        })
    }
}

impl Store {
    /// A value that `load` can get again at any time, such as permissions, flags or a profile, kept
    /// in the store for `ttl`; with a [near cache](super::StoreBuilder::near) in this process, too.
    /// It begins at once: start it when a request begins, and await it where it is used.
    ///
    /// However many ask at the same time in this process, `load` runs once, and to its end though
    /// they leave. While the store is out it runs for each who asks, 32 at once at most, and its
    /// value is kept nowhere: an outage of the store is none of the look-up, and no stampede on
    /// what is behind it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::backend::{Error, Group, Ttl};
    /// # use steadfast::store::NearConfig;
    /// # use steadfast::{State, Store};
    /// #[derive(Serialize, Deserialize)]
    /// struct Permissions(Vec<String>);
    /// impl State for Permissions {
    ///     const SCHEMA: u16 = 1;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let backend = steadfast::connect("memory:").await?;
    /// let store = Store::builder(backend).near(NearConfig::default()).build()?;
    /// let key = store.key("permissions", &Group::new("alice")?, "all")?;
    /// let permissions = store.cached(&key, Ttl::new(Duration::from_secs(10))?, || async {
    ///     // Ask the database here.
    ///     Ok::<_, Error>(Permissions(vec!["cart".to_owned()]))
    /// });
    /// // Meanwhile, other work.
    /// assert_eq!(permissions.await?.0, ["cart"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `load` says; [`ErrorKind::Corrupt`] if what is kept cannot be read;
    /// [`ErrorKind::Timeout`] if too many run while the store is out; [`ErrorKind::Other`] if
    /// `load` panics.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn cached<T, E, L>(
        &self,
        key: &Key,
        ttl: Ttl,
        load: impl FnOnce() -> L + Send + 'static,
    ) -> Lookup<T, E>
    where
        T: State + Send + 'static,
        E: From<Error> + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (store, key) = (self.clone(), key.clone());
        Lookup(tokio::spawn(async move { store.look_up(&key, ttl, load).await }))
    }

    async fn look_up<T, E, L>(&self, key: &Key, ttl: Ttl, load: impl FnOnce() -> L) -> Result<T, E>
    where
        T: State,
        E: From<Error>,
        L: Future<Output = Result<T, E>>,
    {
        let reads = Reads::within(ttl.as_duration());
        if let Kept::Found(kept) = self.kept(key, reads).await? {
            return Ok(kept);
        }
        let lookups = &self.0.lookups;
        let _turn = lookups.turn(key).await;
        // Whoever had the turn before may have got it.
        let _place = match self.kept(key, reads).await? {
            Kept::Found(kept) => return Ok(kept),
            Kept::Nothing => None,
            Kept::NoAnswer => Some(self.0.guard.in_time(lookups.while_out.acquire()).await?),
        };
        let value = load().await?;
        // It is as good if the store does not take it.
        if let Ok(put) = self.put(key, &value) {
            let _ = self.write(&put.expiring(ttl)).await;
        }
        Ok(value)
    }

    async fn kept<T: State>(&self, key: &Key, reads: Reads) -> Result<Kept<T>, Error> {
        match self.get_as::<T>(key, reads).await {
            Err(error) if error.is_outage() || error.kind() == ErrorKind::Busy => {
                Ok(Kept::NoAnswer)
            }
            found => Ok(found?.map_or(Kept::Nothing, |record| Kept::Found(record.value))),
        }
    }
}

/// What the store has of a look-up.
enum Kept<T> {
    Found(T),
    Nothing,
    NoAnswer,
}

/// The look-ups under way: one for a key, and while the store is out not too many in all.
#[derive(Debug)]
pub(super) struct Lookups {
    turns: Mutex<HashMap<Key, Arc<AsyncMutex<()>>>>,
    while_out: Semaphore,
}

impl Lookups {
    pub(super) fn new() -> Self {
        Self { turns: Mutex::default(), while_out: Semaphore::new(WHILE_OUT_MAX) }
    }

    async fn turn(&self, key: &Key) -> Turn<'_> {
        let turn = Arc::clone(self.turns().entry(key.clone()).or_default());
        let mut held = Turn { lookups: self, key: key.clone(), held: None };
        held.held = Some(turn.lock_owned().await);
        held
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Key, Arc<AsyncMutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a look-up; the last one leaves nothing.
struct Turn<'a> {
    lookups: &'a Lookups,
    key: Key,
    held: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut turns = self.lookups.turns();
        if turns.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.key);
        }
    }
}
