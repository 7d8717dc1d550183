//! Look-ups that are made once for all who need them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

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
        Pin::new(&mut self.0)
            .poll(context)
            .map(|ended| ended.unwrap_or_else(|_panicked| Err(broken_off().into())))
    }
}

fn broken_off() -> Error {
    let detail = "the look-up was broken off by a panic, or the end of the runtime";
    Error::new(ErrorKind::Other, detail)
}

impl Store {
    /// A value that `load` can get again at any time, such as permissions, flags or a profile, kept
    /// in the store for `ttl`; with a [near cache](super::StoreBuilder::near) in this process, too.
    /// It begins at once: start it when a request begins, and await it where it is used.
    ///
    /// However many ask at the same time in this process, for the same types, `load` runs once, and
    /// to its end though they leave. All of them get what it comes to, an error too. It may take as
    /// long as it likes; those who find it under way wait no longer than a call has
    /// ([`deadline`](super::StoreBuilder::deadline)). Another key is not held up by it.
    ///
    /// While the store is out that is the same, but its value is kept nowhere, so it runs again for
    /// whoever comes later; and for 32 keys at once at most. An outage of the store is none of the
    /// look-up, and no stampede on what is behind it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::backend::{Error, Group, Ttl};
    /// # use steadfast::store::NearConfig;
    /// # use steadfast::{State, Store};
    /// #[derive(Clone, Serialize, Deserialize)]
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
    /// [`ErrorKind::Timeout`] if the `load` of another takes too long, or too many run while the
    /// store is out; [`ErrorKind::Other`] if `load` panics.
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
        T: State + Clone,
        E: From<Error> + Clone + Send + Sync + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (store, key) = (self.clone(), key.clone());
        let look_up = async move { store.look_up(&key, ttl, load).await };
        Lookup(tokio::spawn(look_up.in_current_span()))
    }

    async fn look_up<T, E, L>(&self, key: &Key, ttl: Ttl, load: impl FnOnce() -> L) -> Result<T, E>
    where
        T: State + Clone,
        E: From<Error> + Clone + Send + Sync + 'static,
        L: Future<Output = Result<T, E>>,
    {
        let reads = Reads::within(ttl.as_duration());
        let first = self.kept(key, reads).await?;
        if let Kept::Found(kept) = first {
            return Ok(kept);
        }
        let turn = match self.0.lookups.turn(key) {
            Ok(turn) => turn,
            Err(under_way) => return self.0.guard.in_time(end_of(under_way)).await?,
        };
        let second = match first {
            // That took long enough.
            Kept::NoAnswer => Ok(first),
            // Whoever had the turn before may have got it.
            _ => self.kept(key, reads).await,
        };
        let (loaded, keep) = match second {
            Ok(Kept::Found(kept)) => (Ok(kept), false),
            Ok(Kept::Nothing) => (load().await, true),
            Ok(Kept::NoAnswer) => (self.while_out(load).await, false),
            Err(error) => (Err(error.into()), false),
        };
        turn.told.send_replace(Some(loaded.clone()));
        // It is as good if the store does not take it.
        if keep
            && let Ok(value) = &loaded
            && let Ok(put) = self.put_write(key, value)
        {
            let _ = self.write(&put.expiring(ttl)).await;
        }
        loaded
    }

    async fn while_out<T, E, L>(&self, load: impl FnOnce() -> L) -> Result<T, E>
    where
        E: From<Error>,
        L: Future<Output = Result<T, E>>,
    {
        let _place = self.0.guard.in_time(self.0.lookups.while_out.acquire()).await?;
        load().await
    }

    async fn kept<T: State>(&self, key: &Key, reads: Reads) -> Result<Kept<T>, Error> {
        match self.read_as::<T>(key, reads).await {
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

/// The loads under way: one for a key, and while the store is out not too many in all.
#[derive(Debug)]
pub(super) struct Lookups {
    /// An [`End`] of the types that are loaded.
    ends: Mutex<HashMap<(Key, TypeId), Box<dyn Any + Send>>>,
    while_out: Semaphore,
}

/// How a load ends; `None` until then.
type End<T, E> = watch::Receiver<Option<Result<T, E>>>;

impl Lookups {
    pub(super) fn new() -> Self {
        Self { ends: Mutex::default(), while_out: Semaphore::new(WHILE_OUT_MAX) }
    }

    /// The turn to load, or the end of the load that is under way.
    fn turn<T, E>(&self, key: &Key) -> Result<Turn<'_, T, E>, End<T, E>>
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let id = (key.clone(), TypeId::of::<(T, E)>());
        let mut ends = self.ends();
        if let Some(end) = ends.get(&id).and_then(|end| end.downcast_ref::<End<T, E>>()) {
            return Err(end.clone());
        }
        let (told, end) = watch::channel(None);
        ends.insert(id.clone(), Box::new(end));
        Ok(Turn { lookups: self, id, told })
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<(Key, TypeId), Box<dyn Any + Send>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end_of<T: Clone, E: Clone + From<Error>>(mut end: End<T, E>) -> Result<T, E> {
    match end.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(end)) => end.clone(),
        _ => Err(broken_off().into()),
    }
}

/// The turn of a load, until what it came to is kept.
struct Turn<'a, T, E> {
    lookups: &'a Lookups,
    id: (Key, TypeId),
    told: watch::Sender<Option<Result<T, E>>>,
}

impl<T, E> Drop for Turn<'_, T, E> {
    fn drop(&mut self) {
        self.lookups.ends().remove(&self.id);
    }
}
