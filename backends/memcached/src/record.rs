use std::time::{Duration, Instant};

use steadfast_backend::{Bytes, Entry, Error, ErrorKind, Result, Version};

use crate::client::Item;
use crate::clock::ServerClock;
use crate::expiry;

/// The client flags of what this backend writes: the number of its format. The [crate] page has
/// the layout.
pub(crate) const FORMAT: u32 = u32::from_be_bytes(*b"sfm1");
/// What stands before the value.
pub(crate) const HEADER_LEN: usize = 12;

/// What is stored for a value that is written now.
pub(crate) fn encode(value: &[u8], now: ServerClock) -> Vec<u8> {
    let written_us = now.earliest_us();
    let margin_us = u32::try_from(now.latest_us() - written_us).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_LEN + value.len());
    bytes.extend_from_slice(&written_us.to_le_bytes());
    bytes.extend_from_slice(&margin_us.to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// The version of an item, if this backend can read what the item holds.
pub(crate) fn version(item: &Item) -> Result<Version> {
    if item.format != FORMAT {
        let detail = "another program or a newer version wrote what is stored there; it is left \
                      as it is: upgrade, or use another namespace or server";
        return Err(Error::new(ErrorKind::Corrupt, detail));
    }
    if item.len < HEADER_LEN as u64 {
        return Err(cut_short());
    }
    version_of_cas(item.cas)
}

fn cut_short() -> Error {
    let detail = "what is stored there is cut short; it is left as it is";
    Error::new(ErrorKind::Corrupt, detail)
}

pub(crate) fn version_of_cas(cas: u64) -> Result<Version> {
    Version::new(cas).ok_or_else(|| {
        let detail = "the server gives its items no CAS numbers; start it without -C";
        Error::new(ErrorKind::Config, detail)
    })
}

/// The entry that an item is, as the server answered between the two moments; `clock` is what was
/// known of the server's clock at any moment.
pub(crate) fn decode(item: Item, clock: ServerClock, asked: Instant) -> Result<Entry> {
    let version = version(&item)?;
    let value = Bytes::from(item.value);
    let (written, margin) = header(&value).ok_or_else(cut_short)?;
    let answered = Instant::now();
    let now_us = clock.at(answered).earliest_us();
    // From the latest time it may have been written to the earliest time it may be.
    let age_us = now_us.saturating_sub(written.saturating_add(margin));
    let took = answered.duration_since(asked);
    Ok(Entry {
        value: value.slice(HEADER_LEN..),
        version,
        written_us: written,
        age: Duration::from_micros(age_us),
        left: item.left_s.map(|left_s| expiry::left(left_s, took)),
    })
}

fn header(bytes: &[u8]) -> Option<(u64, u64)> {
    let (written, rest) = bytes.split_first_chunk()?;
    let (margin, _) = rest.split_first_chunk()?;
    Some((u64::from_le_bytes(*written), u32::from_le_bytes(*margin).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn clock(now: Instant, second: u64) -> ServerClock {
        ServerClock::shown(second, now, now)
    }

    fn item(value: Vec<u8>) -> Item {
        Item { format: FORMAT, cas: 7, left_s: None, len: value.len() as u64, value }
    }

    #[test]
    fn the_stored_bytes_are_pinned() {
        let stored = encode(b"value", clock(Instant::now(), 0x0102_0304_0506));
        let expected = (0x0102_0304_0506_u64 * SECOND_US).to_le_bytes();
        assert_eq!(stored[..8], expected);
        assert_eq!(stored[8..12], 2_000_000_u32.to_le_bytes());
        assert_eq!(&stored[12..], b"value");
        assert_eq!(FORMAT, 0x7366_6d31);
    }

    #[test]
    fn an_age_is_never_overstated() {
        let start = Instant::now();
        // Written when the clock stood at 100 to 102 s, read when it stood at 105 to 107 s: it is
        // at least three seconds old.
        let stored = encode(b"", clock(start, 100));
        let entry = decode(item(stored.clone()), clock(start, 105), start).unwrap();
        assert!(entry.age >= Duration::from_secs(3), "{:?}", entry.age);
        assert!(entry.age < Duration::from_secs(4), "{:?}", entry.age);
        assert_eq!(entry.written_us, 100 * SECOND_US);
        let entry = decode(item(stored), clock(start, 101), start).unwrap();
        assert_eq!(entry.age, Duration::ZERO);
    }

    #[test]
    fn what_another_wrote_is_corrupt() {
        let now = Instant::now();
        let foreign = Item { format: FORMAT + 1, ..item(encode(b"v", clock(now, 1))) };
        let short = item(vec![0; HEADER_LEN - 1]);
        for item in [foreign, short] {
            let error = decode(item, clock(now, 1), now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
