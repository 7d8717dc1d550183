use std::marker::PhantomData;
use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result, Transactions, Ttl};
use crate::{State, Store};

use super::Sessions;

/// Settings of [`Sessions`]. The defaults: idle 30 minutes, absolute 12 hours, at most 256
/// sessions a principal.
#[derive(Debug)]
pub struct SessionsBuilder<T> {
    store: Store,
    idle: Duration,
    absolute: Duration,
    per_principal_max: usize,
    state: PhantomData<fn() -> T>,
}

impl<T: State> SessionsBuilder<T> {
    pub(super) fn new(store: Store) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            store,
            idle: MINUTE * 30,
            absolute: MINUTE * 60 * 12,
            per_principal_max: 256,
            state: PhantomData,
        }
    }

    /// How long a session lives without being used. Reads renew it, but not each of them: a read
    /// within a tenth of this time (at most a minute) of the last renewal does not write. To end
    /// no session early, an idle session is kept for that tenth longer.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives at most, however much it is used.
    #[must_use]
    pub fn absolute(mut self, absolute: Duration) -> Self {
        self.absolute = absolute;
        self
    }

    /// How many sessions one principal may have at once; a new one beyond that ends the oldest.
    #[must_use]
    pub fn per_principal_max(mut self, sessions: usize) -> Self {
        self.per_principal_max = sessions;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a timeout of zero or over ten years or a limit of
    /// [`ErrorKind::Unsupported`] if the backend lacks transactions within a group or versions
    /// from its own clock.
    pub fn build(self) -> Result<Sessions<T>> {
        let capabilities = &self.store.info().capabilities;
        if capabilities.transactions < Transactions::SameGroup || !capabilities.clock_versions {
            let detail = "sessions need a backend with transactions within a group and versions \
                          from its clock; choose another backend";
            return Err(Error::new(ErrorKind::Unsupported, detail));
        }
        // The whole list is asked for at once, and changes together with a new session.
        let listed_max = capabilities.batch_len_max.saturating_sub(2);
        if !(1..=listed_max).contains(&self.per_principal_max) {
            let detail = format!("a principal may have 1 to {listed_max} sessions on this backend");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let (idle, absolute) = (Ttl::new(self.idle)?, Ttl::new(self.absolute)?);
        let idle = idle.as_duration();
        let slack = (idle / 10).min(Duration::from_secs(60));
        Ok(Sessions {
            idle,
            kept: Ttl::new((idle + slack).min(absolute.as_duration()))?,
            absolute,
            per_principal_max: self.per_principal_max,
            store: self.store,
            state: self.state,
        })
    }
}
