//! One question to the store for all who ask the same at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument;

use crate::backend::{Error, ErrorKind, Key, Result};

use super::fence::Token;
use super::unit::Unit;

/// How it ends; `None` until then.
type End = Option<Result<Arc<Unit>>>;

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Flight>>);

/// A question under way. Nobody owns it: whoever waits may leave.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) keys: Box<[Key]>,
    pub(super) token: Token,
    end: watch::Receiver<End>,
}

impl Flights {
    /// The flight for these keys that `fits`, or one that begins now with what `load` gives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if it would be one too many.
    pub(super) fn join<Load>(
        self: &Arc<Self>,
        keys: &[Key],
        max: usize,
        token: Token,
        fits: impl Fn(&Flight) -> bool,
        load: impl FnOnce() -> Load,
    ) -> Result<Flight>
    where
        Load: Future<Output = Result<Arc<Unit>>> + Send + 'static,
    {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&keys[0])
            && *flight.keys == *keys
            && fits(flight)
        {
            return Ok(flight.clone());
        }
        if flights.len() >= max {
            let detail = "too many different answers are being waited for; try again soon";
            return Err(Error::new(ErrorKind::Busy, detail));
        }
        let (told, end) = watch::channel(None);
        let flight = Flight { keys: keys.into(), token, end };
        flights.insert(keys[0].clone(), flight.clone());
        let landing = Landing { flights: Arc::clone(self), key: keys[0].clone(), token };
        let load = load();
        // A runtime that shuts down drops at once what it is given, and the landing takes the lock.
        drop(flights);
        let land = async move {
            let end = load.await;
            // Before it is told: who comes now needs another one.
            drop(landing);
            told.send_replace(Some(end));
        };
        tokio::spawn(land.in_current_span());
        Ok(flight)
    }

    /// Who comes now needs another one.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// # Errors
    ///
    /// What the store said.
    pub(super) async fn end(mut self) -> Result<Arc<Unit>> {
        if let Ok(Some(end)) = self.end.wait_for(Option::is_some).await.as_deref() {
            return end.clone();
        }
        let detail = "the question to the store was broken off; try again";
        Err(Error::new(ErrorKind::Other, detail))
    }
}

/// Takes a flight out of the list, whatever way it ends.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
    token: Token,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        if flights.get(&self.key).is_some_and(|flight| flight.token == self.token) {
            flights.remove(&self.key);
        }
    }
}
