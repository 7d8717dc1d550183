use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, Durability, Error, ErrorKind, Result};

/// Where changes wait while the store is out, and how many. The defaults: 10,000 sessions, 64 MiB,
/// one hour.
#[derive(Clone)]
pub struct JournalConfig {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) sessions_max: usize,
    pub(super) bytes_max: usize,
    pub(super) age_max: Duration,
}

impl JournalConfig {
    /// In a store of this node, such as a redb file. Changes that wait there when the process ends
    /// are saved by the next one that is given the same store.
    pub fn new(local: Arc<dyn Backend>) -> Self {
        Self {
            backend: local,
            sessions_max: 10_000,
            bytes_max: 64 << 20,
            age_max: Duration::from_secs(3_600),
        }
    }

    /// How many sessions may have changes that wait.
    #[must_use]
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = sessions;
        self
    }

    /// How many bytes they may have together.
    #[must_use]
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// How long the changes of a session may wait after the last of them. What waited longer is
    /// not saved any more.
    #[must_use]
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = age;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let capabilities = &self.backend.info().capabilities;
        let name = self.backend.info().name;
        let detail = if !capabilities.scan {
            format!("a journal lists what it has, which {name} cannot; use a redb file")
        } else if !matches!(capabilities.durability, Durability::Crash | Durability::Durable) {
            format!("a journal outlives its process, and {name} does not; use a redb file")
        } else if self.sessions_max == 0 {
            "sessions_max of a journal is at least 1, not 0".to_owned()
        } else if self.bytes_max == 0 {
            "bytes_max of a journal is at least 1, not 0".to_owned()
        } else if self.age_max.is_zero() {
            "age_max of a journal is more than zero".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, detail))
    }
}

impl fmt::Debug for JournalConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalConfig")
            .field("backend", &self.backend.info().name)
            .field("sessions_max", &self.sessions_max)
            .field("bytes_max", &self.bytes_max)
            .field("age_max", &self.age_max)
            .finish()
    }
}
