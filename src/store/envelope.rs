//! The bytes around every stored value: 32 bytes, big-endian, then the payload.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 2 | magic `SF` |
//! | 2 | 1 | format: 1 clear, 2 encrypted |
//! | 3 | 1 | codec of the value: 1 postcard, 2 bincode, 3 JSON, 4 `MessagePack` |
//! | 4 | 2 | schema version of the value's type; 0 if there is no value |
//! | 6 | 2 | layout of the library's own part; 0 if there is none |
//! | 8 | 8 | birth: µs on the store's clock; 0 if this write is the birth |
//! | 16 | 8 | life: ms from the birth to the absolute deadline; 0 if there is none |
//! | 24 | 4 | payload length |
//! | 28 | 4 | CRC-32 (IEEE 802.3) of bytes 0 to 27 and the payload |
//!
//! The payload of a record of your own is the value. A record of the library's has its own part
//! before that: its length in 4 bytes, then the part in postcard. In format 2 the payload is
//! encrypted, as `seal` says.
//!
//! The absolute deadline is kept as birth + life because a writer does not know the store's time
//! before it has written: the birth of a new record is the time of its own write.

use std::time::Duration;

use bytes::Bytes;

use crate::backend::{Error, ErrorKind, Result, Ttl};

use super::Codec;

pub(super) const HEADER_LEN: usize = 32;
const MAGIC: [u8; 2] = *b"SF";

/// What the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Clear = 1,
    Sealed = 2,
}

/// An end that no touch and no update moves: a life span that is counted from a birth on the
/// store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// µs on the store's clock; `None` if the write that carries it is the birth.
    pub(crate) born_us: Option<u64>,
    pub(crate) life: Ttl,
}

impl Limit {
    /// A life that starts with the write that carries it.
    pub(crate) fn from_now(life: Ttl) -> Self {
        Self { born_us: None, life }
    }

    /// The same life, which began at `written_us` if its birth is that write.
    pub(super) fn born_by(self, written_us: u64) -> Self {
        Self { born_us: Some(self.born_us.unwrap_or(written_us)), ..self }
    }

    /// What is left of the life at `now_us` on the store's clock; zero when it is over.
    pub(super) fn left(self, written_us: u64, now_us: u64) -> Duration {
        let lived = now_us.saturating_sub(self.born_us.unwrap_or(written_us));
        self.life.as_duration().saturating_sub(Duration::from_micros(lived))
    }
}

/// What stands in the header besides the guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) codec: Codec,
    pub(super) schema: u16,
    pub(super) layout: u16,
    pub(super) limit: Option<Limit>,
}

impl Header {
    /// Writes the facts over the first bytes of an envelope.
    pub(super) fn put(self, format: Format, out: &mut [u8]) {
        let born_us = self.limit.and_then(|limit| limit.born_us).unwrap_or(0);
        let life_ms = self.limit.map_or(0, |limit| limit.life.as_millis());
        out[0..2].copy_from_slice(&MAGIC);
        out[2] = format as u8;
        out[3] = self.codec.id();
        out[4..6].copy_from_slice(&self.schema.to_be_bytes());
        out[6..8].copy_from_slice(&self.layout.to_be_bytes());
        out[8..16].copy_from_slice(&born_us.to_be_bytes());
        out[16..24].copy_from_slice(&life_ms.to_be_bytes());
    }

    /// Checks the guards; gives what they guard.
    pub(super) fn take(bytes: &Bytes) -> Result<(Self, Format, Bytes)> {
        let head = bytes.get(..HEADER_LEN).ok_or_else(|| corrupt("it is too short"))?;
        if head[0..2] != MAGIC {
            return Err(corrupt("it was not written by steadfast"));
        }
        let format = match head[2] {
            1 => Format::Clear,
            2 => Format::Sealed,
            _ => {
                let why = "its format is newer than this version; read it with a newer one";
                return Err(corrupt(why));
            }
        };
        let payload = bytes.slice(HEADER_LEN..);
        if usize::try_from(u32_at(head, 24)) != Ok(payload.len()) {
            return Err(corrupt("its length is wrong: it was cut off or extended"));
        }
        if u32_at(head, 28) != checksum(bytes) {
            return Err(corrupt("its checksum is wrong"));
        }
        let header = Self {
            codec: Codec::from_id(head[3])?,
            schema: u16::from_be_bytes([head[4], head[5]]),
            layout: u16::from_be_bytes([head[6], head[7]]),
            limit: limit_at(head)?,
        };
        Ok((header, format, payload))
    }
}

/// Puts the guards on an envelope that is otherwise ready.
pub(super) fn guard(mut out: Vec<u8>) -> Result<Bytes> {
    let Ok(payload_len) = u32::try_from(out.len() - HEADER_LEN) else {
        let detail = "a record may have 4 GiB; store less, or split it";
        return Err(Error::new(ErrorKind::TooLarge, detail));
    };
    out[24..28].copy_from_slice(&payload_len.to_be_bytes());
    let crc = checksum(&out);
    out[28..32].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

/// The library's own part and the value behind it.
pub(super) fn split(payload: &Bytes) -> Result<(Bytes, Bytes)> {
    let cut = || {
        let len = usize::try_from(u32_at(payload.get(..4)?, 0)).ok()?;
        let end = len.checked_add(4).filter(|end| *end <= payload.len())?;
        Some((payload.slice(4..end), payload.slice(end..)))
    };
    cut().ok_or_else(|| corrupt("its parts do not fit"))
}

fn limit_at(head: &[u8]) -> Result<Option<Limit>> {
    let (born_us, life_ms) = (u64_at(head, 8), u64_at(head, 16));
    if life_ms == 0 {
        return Ok(None);
    }
    let life = Ttl::new(Duration::from_millis(life_ms))
        .map_err(|_| corrupt("its life span is beyond the maximum"))?;
    Ok(Some(Limit { born_us: (born_us != 0).then_some(born_us), life }))
}

/// Over everything but the checksum's own place.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..HEADER_LEN - 4]);
    hasher.update(&bytes[HEADER_LEN..]);
    hasher.finalize()
}

fn u32_at(head: &[u8], at: usize) -> u32 {
    head[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(head: &[u8], at: usize) -> u64 {
    head[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub(super) fn corrupt(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the stored record is left as it is: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Header, Bytes) {
        let limit = Some(Limit { born_us: Some(7), life: Ttl::MAX });
        let header = Header { codec: Codec::Postcard, schema: 3, layout: 0x0102, limit };
        let mut out = vec![0; HEADER_LEN];
        out.extend_from_slice(b"payload");
        header.put(Format::Clear, &mut out);
        (header, guard(out).unwrap())
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (header, bytes) = sample();
        let (read, format, payload) = Header::take(&bytes).unwrap();
        assert_eq!((read, format, &payload[..]), (header, Format::Clear, &b"payload"[..]));
    }

    #[test]
    fn golden_bytes_of_format_1() {
        let (_, bytes) = sample();
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex.concat(),
            "5346010100030102000000000000000700000049a06b5000000000074c90863a7061796c6f6164"
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (_, bytes) = sample();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Header::take(&flipped.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Header::take(&bytes.slice(..len)).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_limit_counts_from_its_birth() {
        let life = Ttl::new(Duration::from_secs(10)).unwrap();
        let born = Limit { born_us: Some(1_000_000), life };
        assert_eq!(born.left(5_000_000, 9_000_000), Duration::from_secs(2));
        assert_eq!(born.left(5_000_000, 99_000_000), Duration::ZERO);
        let newborn = Limit::from_now(life);
        assert_eq!(newborn.left(5_000_000, 9_000_000), Duration::from_secs(6));
    }
}
