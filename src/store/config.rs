use std::sync::Arc;
use std::time::Duration;

use crate::State;
use crate::backend::{Error, ErrorKind, Namespace, Result};
use crate::breaker::BreakerConfig;
use crate::connect::Connected;
use crate::schema::Floors;

#[cfg(feature = "encrypt")]
use super::SealingKeys;
use super::guard::{Guard, GuardConfig};
use super::handle::Inner;
use super::lookup::Lookups;
use super::near::{Near, Watched};
use super::{Codec, NearConfig, Store};

/// Settings of a [`Store`].
#[derive(Debug)]
pub struct StoreBuilder {
    connected: Connected,
    namespace: String,
    codec: Codec,
    #[cfg(feature = "encrypt")]
    sealing: Option<SealingKeys>,
    floors: Floors,
    guard: GuardConfig,
    near: Option<NearConfig>,
    /// What a write floor was that is none, and the version of its type.
    bad_floor: Option<(u16, u16)>,
}

impl StoreBuilder {
    pub(super) fn new(connected: Connected) -> Self {
        Self {
            connected,
            namespace: "app".to_owned(),
            codec: Codec::default(),
            #[cfg(feature = "encrypt")]
            sealing: None,
            floors: Floors::default(),
            guard: GuardConfig::default(),
            near: None,
            bad_floor: None,
        }
    }

    /// What all keys start with, `app` by default. Give each service on a shared store its own. The
    /// option `namespace` in the URL of [`connect`](crate::connect) goes before this.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How values are written; values in other codecs stay readable.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Encrypts every record: sessions, idempotency answers and records of your own. Keys of
    /// records are not encrypted; the library's own hold hashes only.
    #[cfg(feature = "encrypt")]
    #[must_use]
    pub fn sealed(mut self, keys: SealingKeys) -> Self {
        self.sealing = Some(keys);
        self
    }

    /// Goes on writing new records of `T` under an earlier version, by
    /// [`State::downcast`], so that builds which know no later one can run beside this one, and
    /// this one can be rolled back. [`Store::finalize`] ends it.
    #[must_use]
    pub fn write_floor<T: State>(mut self, schema: u16) -> Self {
        if !(1..=T::SCHEMA).contains(&schema) {
            self.bad_floor = Some((schema, T::SCHEMA));
        }
        self.floors.set::<T>(schema);
        self
    }

    /// How long a call may take in all, 5 seconds by default: the wait for a connection, each
    /// attempt, the pauses between them, and every trip of a call that needs several. What takes
    /// longer fails with [`ErrorKind::Timeout`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.guard.deadline = deadline;
        self
    }

    /// How often a call is attempted, 3 times by default. It is made again only if nobody answered
    /// it and that is safe: a read, or a write of which it is known that it was not made. A budget
    /// per server pays for it, so that a store in trouble is not asked several times as much.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.guard.attempts = attempts;
        self
    }

    /// How many calls may be under way to one server, 1,024 by default. More than that fail at
    /// once with [`ErrorKind::Busy`].
    #[must_use]
    pub fn in_flight_max(mut self, calls: usize) -> Self {
        self.guard.in_flight_max = calls;
        self
    }

    /// Puts a read a second time that is answered later than 95 of 100 are, and takes whichever
    /// answer comes first: against a lost packet, or a lane of the client that is held up. At most
    /// one read in fifty is put twice, none while a breaker is not closed, and no write ever. Not
    /// done unless it is asked for.
    #[must_use]
    pub fn hedge_reads(mut self, hedges: bool) -> Self {
        self.guard.hedges = hedges;
        self
    }

    /// When calls to a server that does not answer stop, and how they begin again. Each server has
    /// a breaker of its own. By default a call is slow from half the deadline on, and a breaker is
    /// open for a tenth of a second at first and for half a second at most.
    #[must_use]
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.guard.breaker = Some(config);
        self
    }

    /// Keeps what was read in this process for a short time. Nothing reads it that does not say
    /// how old an answer may be: see [`Store::get_as`] and
    /// [`SessionsBuilder::reads`](crate::session::SessionsBuilder::reads). Where the store
    /// [tells](crate::backend::Capabilities::invalidations) what changes, what others write is
    /// forgotten as soon as it says so. Build the store within a Tokio runtime then.
    #[must_use]
    pub fn near(mut self, config: NearConfig) -> Self {
        self.near = Some(config);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the namespace is not 1 to 40 characters of `[A-Za-z0-9._:-]`, for
    /// a write floor that is not a version up to its type's own, for two keys of one id, and for a
    /// deadline, limit or breaker that makes no sense.
    pub fn build(self) -> Result<Store> {
        let Connected { backend, namespace } = self.connected;
        let namespace = namespace.unwrap_or(self.namespace);
        check_name("the namespace of a store", &namespace, NAMESPACE_LEN_MAX)?;
        if let Some((floor, schema)) = self.bad_floor {
            let detail = format!("write_floor is a version from 1 to {schema}, not {floor}");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        #[cfg(feature = "encrypt")]
        if self.sealing.as_ref().is_some_and(|keys| !keys.are_distinct()) {
            let detail = "two encryption keys have one id; records written with one of them could \
                          not be read; give each key an id of its own";
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        self.guard.check()?;
        let namespace = Namespace::new(&namespace)?.child("v1")?;
        let guard = Arc::new(Guard::new(Arc::clone(&backend), self.guard)?);
        let watched = Watched { backend, namespace: namespace.clone() };
        let near = self.near.map(|config| Near::start(config, Arc::clone(&guard), watched));
        Ok(Store(Arc::new(Inner {
            guard,
            near: near.transpose()?,
            namespace,
            codec: self.codec,
            #[cfg(feature = "encrypt")]
            sealing: self.sealing,
            floors: self.floors,
            lookups: Lookups::new(),
            turns: Default::default(),
        })))
    }
}

/// Leaves room for `:v1:KIND` in a backend namespace.
pub(crate) const NAMESPACE_LEN_MAX: usize = 40;

/// Checks a part of what keys start with.
pub(super) fn check_name(what: &str, name: &str, len_max: usize) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let wrong = match name.bytes().position(|byte| !is_allowed(byte)) {
        Some(at) => format!("byte {at} of this one is another"),
        None if (1..=len_max).contains(&name.len()) => return Ok(()),
        None => format!("this one has {}", name.len()),
    };
    let detail = format!("{what} has 1 to {len_max} characters of [A-Za-z0-9._:-]; {wrong}");
    Err(Error::new(ErrorKind::Invalid, detail))
}

/// Whether this can be what all keys start with.
pub(crate) fn is_namespace(text: &str) -> bool {
    text.len() <= NAMESPACE_LEN_MAX && Namespace::new(text).is_ok()
}
