use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::{Entry, Key, Result, Ttl};
use crate::store::Head;
use crate::{Store, store};

/// One principal's sessions, as [`Sessions::devices`](super::Sessions::devices) lists them. It
/// names the session by a hash, never by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Eight characters that stand for the session.
    pub short_id: String,
    /// What the session was created with, for instance a user agent.
    pub label: String,
    /// Time since the session was created, on the store's clock.
    pub age: Duration,
    /// Time until it ends unless it is used.
    pub idle_left: Duration,
    /// True for the session that asked.
    pub current: bool,
}

/// The stored record of a principal.
#[derive(Serialize, Deserialize)]
pub(super) struct UserRecord {
    /// Random, drawn when the record is made. A session with another one is over. It is not
    /// counted up, so that a re-made record cannot revive what was ended before.
    pub(super) generation: u64,
    /// Oldest first.
    pub(super) devices: Vec<DeviceRecord>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    /// The session's name in its key.
    pub(super) digest: String,
    pub(super) label: String,
    /// µs on the store's clock; 0 if the write that carries it is the birth.
    born_us: u64,
    /// The session's absolute timeout.
    life_us: u64,
}

impl DeviceRecord {
    pub(super) fn new(digest: String, label: &str, life: Ttl) -> Self {
        let label = label.chars().filter(|char| !char.is_control()).take(LABEL_CHARS_MAX);
        Self { digest, label: label.collect(), born_us: 0, life_us: life.as_millis() * 1_000 }
    }
}

impl Head for UserRecord {
    const LAYOUT: u16 = 0x0201;
}

impl UserRecord {
    /// Reads it from its entry, without the devices whose absolute timeout has passed. `None` for
    /// no entry.
    pub(super) fn read(store: &Store, key: &Key, entry: Option<&Entry>) -> Result<Option<Self>> {
        let Some(record) = entry.map(|entry| store.open::<Self>(key, entry)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        let written_us = record.version.get();
        let now_us = store::now_us(record.version, record.age);
        let mut user = record.head;
        for device in &mut user.devices {
            device.born_us = if device.born_us == 0 { written_us } else { device.born_us };
        }
        user.devices.retain(|device| device.born_us.saturating_add(device.life_us) > now_us);
        Ok(Some(user))
    }

    /// No sessions, and a generation that none ever had.
    pub(super) fn fresh() -> Result<Self> {
        let generation = crate::random::number()?;
        Ok(Self { generation, devices: Vec::new() })
    }
}

impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserRecord({} devices)", self.devices.len())
    }
}

/// At most this many characters of a label are kept.
const LABEL_CHARS_MAX: usize = 100;
