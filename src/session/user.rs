use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::{Entry, Error, ErrorKind, Key, Result, Ttl};
use crate::store::Head;
use crate::{Store, text};

use super::SessionId;

/// One principal's sessions, as [`Sessions::devices`](super::Sessions::devices) lists them. It
/// names the session by a random id of its own, never by the session's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Eight characters that stand for the session, whatever id it has.
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

/// What makes a principal's sessions valid.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct UserHead {
    /// Random, drawn when the record is made. A session with another one is over. It is not
    /// counted up, so that a re-made record cannot revive what was ended before.
    pub(super) generation: u64,
}

impl Head for UserHead {
    const LAYOUT: u16 = 0x0201;
}

impl UserHead {
    /// A generation that no session ever had.
    pub(super) fn fresh() -> Result<Self> {
        Ok(Self { generation: crate::random::number()? })
    }
}

/// A principal's sessions. Those of another generation are forgotten.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceList {
    pub(super) generation: u64,
    /// Oldest first.
    pub(super) devices: Vec<DeviceRecord>,
}

impl Head for DeviceList {
    const LAYOUT: u16 = 0x0203;
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    pub(super) short_id: String,
    /// The session's names in its keys, the oldest first. It has one; where a rotation cannot
    /// change list and session at once, the name it may get stands beside the one it has.
    pub(super) digests: Vec<String>,
    pub(super) label: String,
    /// µs on the store's clock; 0 if the write that carries it is the birth.
    born_us: u64,
    /// The session's absolute timeout.
    life_us: u64,
}

impl DeviceRecord {
    pub(super) fn new(id: &SessionId, label: &str, life: Ttl) -> Result<Self> {
        let label = label.chars().filter(|char| !char.is_control()).take(LABEL_CHARS_MAX);
        Ok(Self {
            short_id: text::encode(&crate::random::bytes::<6>()?),
            digests: vec![id.digest()],
            label: label.collect(),
            born_us: 0,
            life_us: life.as_millis() * 1_000,
        })
    }

    pub(super) fn is(&self, id: &SessionId) -> bool {
        self.digests.contains(&id.digest())
    }

    /// The names that were listed after this one.
    pub(super) fn after(&self, id: &SessionId) -> &[String] {
        let digest = id.digest();
        let place = self.digests.iter().position(|listed| *listed == digest);
        place.and_then(|place| self.digests.get(place + 1..)).unwrap_or_default()
    }

    /// Whatever else a name is, it makes no key, and is too short to be cut to what stands for it
    /// in events.
    fn names_a_session(&self) -> bool {
        let is_name = |digest: &String| text::decode_array::<32>(digest).is_some();
        !self.digests.is_empty() && self.digests.iter().all(is_name)
    }
}

impl DeviceList {
    /// The list of a generation, without the devices whose absolute timeout has passed; those are
    /// given apart.
    pub(super) fn read(
        store: &Store,
        key: &Key,
        entry: Option<&Entry>,
        generation: u64,
    ) -> Result<(Self, Vec<DeviceRecord>)> {
        let opened = entry.map(|entry| store.open::<Self>(key, entry)).transpose()?.flatten();
        let opened = opened.filter(|opened| opened.head.generation == generation);
        let Some(opened) = opened else {
            return Ok((Self { generation, devices: Vec::new() }, Vec::new()));
        };
        if !opened.head.devices.iter().all(DeviceRecord::names_a_session) {
            let detail = "a list of devices names what is no session; it is left as it is";
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        let (written_us, now_us) = (opened.written_us, opened.now_us);
        let mut devices = opened.head.devices;
        for device in &mut devices {
            device.born_us = if device.born_us == 0 { written_us } else { device.born_us };
        }
        let (devices, over) = devices
            .into_iter()
            .partition(|device| device.born_us.saturating_add(device.life_us) > now_us);
        Ok((Self { generation, devices }, over))
    }
}

/// At most this many characters of a label are kept.
const LABEL_CHARS_MAX: usize = 100;

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use crate::backend::{Group, Version, Write};
    use crate::store::Carried;

    #[tokio::test]
    async fn a_list_that_names_no_session_is_corrupt() {
        let store = Store::builder(crate::connect("memory:").await.unwrap()).build().unwrap();
        let key = store.own_key("session", &Group::new("g").unwrap(), "devices").unwrap();
        let id: SessionId = "A".repeat(43).parse().unwrap();
        let device = DeviceRecord::new(&id, "phone", Ttl::MAX).unwrap();
        let bad =
            ["", "short", "seven \u{e9}", &"A".repeat(44)].map(|digest| vec![digest.to_owned()]);
        for digests in bad.into_iter().chain([vec![]]) {
            let shown = format!("{digests:?}");
            let devices = vec![DeviceRecord { digests, ..device.clone() }];
            let list = DeviceList { generation: 1, devices };
            let put = store.compose::<_, ()>(&key, &list, None, Carried::default()).unwrap();
            let Write::Put { value, .. } = put else { panic!("{put:?}") };
            let version = Version::new(1).unwrap();
            let age = Duration::ZERO;
            let entry = Entry { value, version, written_us: 1, age, left: None };
            let error = DeviceList::read(&store, &key, Some(&entry), 1).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{shown}");
        }
    }
}
