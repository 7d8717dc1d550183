use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result, Transactions, Ttl};
use crate::span::setting;
use crate::store::Reads;
use crate::{State, Store};

use super::event::Listener;
use super::journal::{JournalConfig, OnUnsaved, Replayer, Unsaved, Waiting};
use super::lifetime::slack;
use super::{SessionEvent, Sessions};

/// What happens to a sign-in of a principal that has as many sessions as it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// The oldest session ends.
    #[default]
    EvictOldest,
    /// The sign-in fails with [`SessionError::LimitReached`](super::SessionError::LimitReached).
    Refuse,
}

/// Settings of [`Sessions`]. The defaults: idle 30 minutes, absolute 12 hours, renewal of the id
/// after 1 hour with a grace of 10 seconds, at most 256 sessions a principal (fewer on a backend
/// that cannot list so many), 64 KiB a session.
pub struct SessionsBuilder<T> {
    store: Store,
    idle: Duration,
    absolute: Duration,
    renewal: Duration,
    grace: Duration,
    /// As many as the backend can hold, up to 256, if it is not given.
    per_principal_max: Option<usize>,
    at_limit: AtLimit,
    size_max: usize,
    listener: Option<Listener>,
    reads: Reads,
    journal: Option<JournalConfig>,
    on_unsaved: Option<OnUnsaved<T>>,
    state: PhantomData<fn() -> T>,
}

impl<T: State> SessionsBuilder<T> {
    pub(super) fn new(store: Store) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            store,
            idle: MINUTE * 30,
            absolute: MINUTE * 60 * 12,
            renewal: MINUTE * 60,
            grace: Duration::from_secs(10),
            per_principal_max: None,
            at_limit: AtLimit::default(),
            size_max: 64 << 10,
            listener: None,
            reads: Reads::default(),
            journal: None,
            on_unsaved: None,
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

    /// How long a session lives at most, however much it is used. One session may be given less,
    /// and another idle timeout: see [`Lifetime`](super::Lifetime).
    #[must_use]
    pub fn absolute(mut self, absolute: Duration) -> Self {
        self.absolute = absolute;
        self
    }

    /// How old a session's id becomes before [`Session::renewal_due`](super::Session::renewal_due)
    /// asks for a new one.
    #[must_use]
    pub fn renewal(mut self, renewal: Duration) -> Self {
        self.renewal = renewal;
        self
    }

    /// How long the old id still finds the session after
    /// [`Rotation::Renewal`](super::Rotation::Renewal).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many sessions one principal may have at once, also if many sign in at the same time: 1
    /// to 4 fewer than the backend's
    /// [`batch_len_max`](crate::backend::Capabilities::batch_len_max), and up to 1,020 without
    /// transactions.
    #[must_use]
    pub fn per_principal_max(mut self, sessions: usize) -> Self {
        self.per_principal_max = Some(sessions);
        self
    }

    /// What happens to the next sign-in then.
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.at_limit = at_limit;
        self
    }

    /// How many bytes a session may take in the store.
    #[must_use]
    pub fn size_max(mut self, bytes: usize) -> Self {
        self.size_max = bytes;
        self
    }

    /// Tells what happens to sessions: for an audit log, or to close a web socket. It is called
    /// within the call that makes it happen, so it should hand over and return, and not panic.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// How old a session may be that is loaded, and how old while the store does not answer: as the
    /// store has it now, unless this is set. It holds for [`load`](Sessions::load),
    /// [`find`](Sessions::find), [`peek`](Sessions::peek) and
    /// [`SessionHandle`](super::SessionHandle); whatever changes a session asks the store. Needs a
    /// store with a [near cache](crate::store::StoreBuilder::near).
    ///
    /// A session that this process ended, or tried to, is not given any more. One that was ended
    /// on another process may be until the store tells of it, and no longer than this allows.
    #[must_use]
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// Lets changes made with [`update_or_queue`](Sessions::update_or_queue) wait on this node
    /// while the store is out. They are saved by a task in the background when it is back, for as
    /// long as these sessions or a clone of them are there. Needs [`reads`](Self::reads) that
    /// [`serve_stale`](Reads::serve_stale).
    #[must_use]
    pub fn journal(mut self, journal: JournalConfig) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Takes the changes that waited and are not saved, to
    /// [merge](Sessions::merge_unsaved) them or to tell their user. Called once for each session,
    /// seldom twice; it should hand over and return, and not panic.
    #[must_use]
    pub fn on_unsaved(mut self, tell: impl Fn(&Unsaved<T>) + Send + Sync + 'static) -> Self {
        self.on_unsaved = Some(Arc::new(tell));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a timeout or grace of zero or over ten years, a limit of
    /// sessions that the backend cannot hold, reads that need a near cache which the store has
    /// not, or which does not keep them for so long, or a journal in a store that does not outlive
    /// the process or with reads that give nothing stale. [`ErrorKind::Config`] for a journal
    /// outside of a Tokio runtime.
    pub fn build(self) -> Result<Sessions<T>> {
        let per_principal_max = self.sessions_max()?;
        self.store.check_reads(self.reads)?;
        let idle = setting("idle", self.idle)?.as_duration();
        let absolute = setting("absolute", self.absolute)?;
        let renewal = setting("renewal", self.renewal)?;
        let grace = setting("grace", self.grace)?;
        let slack = slack(idle);
        let journal = match self.journal {
            None => None,
            Some(_) if self.reads.stale.is_none() => {
                let detail = "a journal needs sessions to make changes on while the store is out; \
                              give it reads that serve_stale";
                return Err(Error::new(ErrorKind::Invalid, detail));
            }
            Some(config) => Some(Arc::new(Waiting::new(config, &self.store)?)),
        };
        let mut sessions = Sessions {
            idle,
            kept: Ttl::new((idle + slack).min(absolute.as_duration()))?,
            absolute,
            renewal: renewal.as_duration(),
            grace,
            per_principal_max,
            at_limit: self.at_limit,
            size_max: self.size_max,
            listener: self.listener,
            reads: self.reads,
            journal,
            on_unsaved: self.on_unsaved,
            replayer: None,
            store: self.store,
            state: self.state,
        };
        if sessions.journal.is_some() {
            sessions.replayer = Some(Arc::new(Replayer::start(&sessions)?));
        }
        Ok(sessions)
    }

    fn sessions_max(&self) -> Result<usize> {
        let info = self.store.info();
        let (name, together_max) = (info.name, info.capabilities.batch_len_max);
        let listed_max = match info.capabilities.transactions {
            // Each record changes alone, so no batch bounds the list.
            Transactions::None => LISTED_MAX,
            // Beside evictions, four records change together.
            _ => together_max.saturating_sub(BESIDE_EVICTIONS),
        };
        let detail = match self.per_principal_max {
            _ if listed_max == 0 => format!(
                "sessions change more than {BESIDE_EVICTIONS} records together, and {name} takes \
                 {together_max} (batch_len_max); choose another backend"
            ),
            None => return Ok(PER_PRINCIPAL.min(listed_max)),
            Some(given) if (1..=listed_max).contains(&given) => return Ok(given),
            Some(given) => {
                format!("per_principal_max is 1 to {listed_max} on {name}, not {given}")
            }
        };
        Err(Error::new(ErrorKind::Invalid, detail))
    }
}

impl<T> fmt::Debug for SessionsBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("store", &self.store)
            .field("idle", &self.idle)
            .field("absolute", &self.absolute)
            .field("reads", &self.reads)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

const PER_PRINCIPAL: usize = 256;
/// How many records a sign-in changes besides the sessions that it evicts.
const BESIDE_EVICTIONS: usize = 4;
/// What the backends with transactions allow.
const LISTED_MAX: usize = 1_020;
