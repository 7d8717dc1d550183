//! How records, index entries and the store's own record look as bytes. All numbers big-endian.
//!
//! | what | bytes |
//! | --- | --- |
//! | frame | format (1), CRC-32 of the key and all that follows (4), version (8), deadline (8), value |
//! | index key | deadline (8), key; the value is empty |
//! | meta | format (1), CRC-32 of what follows (4), floor (8), commits (8) |
//!
//! The checksum is there because engines verify their pages at best when they open: a byte that
//! changes on the disk later must not be served as data. The key is in it, so that a frame found
//! under another key is not taken for that key's.

use std::time::Duration;

use bytes::Bytes;
use steadfast_backend::{Entry, ErrorKind, Key, Version};

use crate::Fault;

/// The format this code writes, and the only one it reads.
pub(crate) const FORMAT: u8 = 1;

/// Format, checksum, version, deadline.
pub(crate) const HEAD_LEN: usize = 1 + 4 + 8 + 8;

/// The key of the one record in [`Table::Meta`](crate::Table::Meta).
pub(crate) const META_KEY: &[u8] = b"steadfast";

/// What is stored under a key.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) version: Version,
    /// 0: none.
    pub(crate) deadline_us: u64,
    pub(crate) value: Bytes,
}

impl Record {
    pub(crate) fn is_live(&self, now_us: u64) -> bool {
        is_live(self.deadline_us, now_us)
    }

    pub(crate) fn encode(&self, key: &Key) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEAD_LEN + self.value.len());
        frame.push(FORMAT);
        frame.extend([0; 4]);
        frame.extend(self.version.get().to_be_bytes());
        frame.extend(self.deadline_us.to_be_bytes());
        frame.extend(&self.value);
        let sum = checksum(key.as_str().as_bytes(), &frame[5..]);
        frame[1..5].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    pub(crate) fn decode(key: &Key, frame: &Bytes) -> Result<Self, Fault> {
        let (version, deadline_us) = head(frame)?;
        if number(&frame[1..5]) != u64::from(checksum(key.as_str().as_bytes(), &frame[5..])) {
            return Err(damaged("its checksum does not match"));
        }
        let version = Version::new(version).ok_or_else(|| damaged("it has version 0"))?;
        Ok(Self { version, deadline_us, value: frame.slice(HEAD_LEN..) })
    }

    pub(crate) fn into_entry(self, now_us: u64) -> Option<Entry> {
        self.is_live(now_us).then(|| Entry {
            value: self.value,
            version: self.version,
            written_us: self.version.get(),
            age: Duration::from_micros(now_us.saturating_sub(self.version.get())),
            left: (self.deadline_us > 0).then(|| Duration::from_micros(self.deadline_us - now_us)),
        })
    }
}

/// False from the deadline on.
pub(crate) fn is_live(deadline_us: u64, now_us: u64) -> bool {
    deadline_us == 0 || now_us < deadline_us
}

/// Version and deadline, from the first [`HEAD_LEN`] bytes of a frame. Nothing is verified yet
/// but the format.
pub(crate) fn head(frame: &[u8]) -> Result<(u64, u64), Fault> {
    match frame.first() {
        Some(&FORMAT) if frame.len() >= HEAD_LEN => {
            Ok((number(&frame[5..13]), number(&frame[13..21])))
        }
        Some(&FORMAT) | None => Err(damaged("it is too short")),
        Some(_) => Err(damaged("it has a format this version does not know")),
    }
}

/// The index key of an entry that expires.
pub(crate) fn index_key(deadline_us: u64, key: &Key) -> Vec<u8> {
    [&deadline_us.to_be_bytes(), key.as_str().as_bytes()].concat()
}

/// The deadline and the key of an index entry; `None` if it is not one.
pub(crate) fn parse_index_key(bytes: &[u8]) -> Option<(u64, Key)> {
    let (deadline, key) = bytes.split_first_chunk::<8>()?;
    let key = Key::parse(std::str::from_utf8(key).ok()?).ok()?;
    Some((u64::from_be_bytes(*deadline), key))
}

/// What the store knows about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The latest time or version that was committed, in µs since 1970.
    pub(crate) floor_us: u64,
    /// How many commits were made: tells whether one of unknown fate happened.
    pub(crate) commits: u64,
}

impl Meta {
    pub(crate) fn encode(self) -> Vec<u8> {
        let body = [self.floor_us.to_be_bytes(), self.commits.to_be_bytes()].concat();
        [&[FORMAT][..], &checksum(META_KEY, &body).to_be_bytes(), &body].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.first().is_some_and(|&format| format > FORMAT) {
            let detail = "the file was written by a newer version; upgrade this service, or use \
                          another path";
            return Err(Fault::new(ErrorKind::Corrupt, detail));
        }
        if bytes.len() != 21 || number(&bytes[1..5]) != u64::from(checksum(META_KEY, &bytes[5..])) {
            let detail = "the store's own record is damaged; keep the file and restore a backup";
            return Err(Fault::new(ErrorKind::Corrupt, detail));
        }
        Ok(Self { floor_us: number(&bytes[5..13]), commits: number(&bytes[13..21]) })
    }
}

/// How many commits the store's own record counts, for an engine that must find out whether it
/// lost some.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] if it is damaged or of a newer format.
pub fn commits_of(record: &[u8]) -> Result<u64, Fault> {
    Meta::decode(record).map(|meta| meta.commits)
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(rest);
    sum.finalize()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn damaged(how: &str) -> Fault {
    let detail = format!(
        "the stored entry cannot be read: {how}; it is left as it is, so restore a backup or \
         use another key"
    );
    Fault::new(ErrorKind::Corrupt, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn record() -> Record {
        Record {
            version: Version::new(0x0102).unwrap(),
            deadline_us: 0x0304,
            value: Bytes::from_static(b"v"),
        }
    }

    #[test]
    fn the_layout_is_as_documented() {
        let frame = record().encode(&key("a:{g}:n"));
        assert_eq!(frame[0], 1);
        assert_eq!(frame[5..], [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4, b'v']);
        assert_eq!(frame[1..5], crc32fast::hash(&[b"a:{g}:n", &frame[5..]].concat()).to_be_bytes());
        assert_eq!(index_key(5, &key("a:{g}:n")), b"\0\0\0\0\0\0\0\x05a:{g}:n");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let key = key("a:{g}:n");
        let frame = record().encode(&key);
        for bit in 0..frame.len() * 8 {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&key, &frame.into()).is_err(), "bit {bit}");
        }
        for len in 0..frame.len() {
            assert!(Record::decode(&key, &frame[..len].to_vec().into()).is_err(), "{len} bytes");
        }
        assert!(Record::decode(&self::key("a:{g}:other"), &frame.into()).is_err());
    }

    #[test]
    fn a_newer_store_is_told_from_a_damaged_one() {
        let meta = Meta { floor_us: 7, commits: 3 };
        assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
        let mut newer = meta.encode();
        newer[0] = 2;
        let error = Meta::decode(&newer).unwrap_err().into_error("redb", "open");
        assert!(error.to_string().contains("newer"), "{error}");
        let mut damaged = meta.encode();
        damaged[9] ^= 1;
        assert!(Meta::decode(&damaged).is_err());
    }
}
