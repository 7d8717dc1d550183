//! How an entry stands in Redis. `write.lua` writes frames and knows the same layout.
//!
//! | bytes | what |
//! | --- | --- |
//! | 2 | `S1`: this format; `S0`: the mark of a deleted entry, which ends after the version |
//! | 16 | version: µs since the Unix epoch on the server's clock, in decimal digits |
//! | 14 | deadline in ms since the Unix epoch, in decimal digits; 0: none |
//! | rest | the value |

use std::time::Duration;

use steadfast_backend::{Bytes, Entry, Version};

use crate::clock::Moment;
use crate::error::{Fault, corrupt};

pub(crate) const HEAD_LEN: usize = 32;
const LIVE: &[u8] = b"S1";
const GONE: &[u8] = b"S0";
pub(crate) const GONE_LEN: usize = 18;

/// True for the mark of a deleted entry. Its length tells it from an entry whose mark was damaged.
pub(crate) fn is_gone(frame: &[u8]) -> bool {
    frame.len() == GONE_LEN
        && frame.starts_with(GONE)
        && number(&frame[GONE.len()..]).is_some_and(|version| version > 0)
}

/// The entry in a frame, as it is at that moment; `None` if it was deleted.
pub(crate) fn entry(frame: Vec<u8>, now: Moment) -> Result<Option<Entry>, Fault> {
    if is_gone(&frame) {
        return Ok(None);
    }
    if !frame.starts_with(LIVE) || frame.len() < HEAD_LEN {
        return Err(corrupt());
    }
    let written_us = number(&frame[2..18]).ok_or_else(corrupt)?;
    let version = Version::new(written_us).ok_or_else(corrupt)?;
    let deadline_ms = number(&frame[18..HEAD_LEN]).ok_or_else(corrupt)?;
    // A replica may still show what its primary no longer does.
    if deadline_ms > 0 && now.earliest_us > deadline_ms.saturating_add(1).saturating_mul(1_000) {
        return Ok(None);
    }
    let left = |deadline_us: u64| Duration::from_micros(deadline_us.saturating_sub(now.latest_us));
    Ok(Some(Entry {
        value: Bytes::from(frame).slice(HEAD_LEN..),
        version,
        written_us,
        age: Duration::from_micros(now.earliest_us.saturating_sub(written_us)),
        left: (deadline_ms > 0).then(|| left(deadline_ms.saturating_mul(1_000))),
    }))
}

/// A number in decimal digits.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    // Parsing alone takes a sign, too.
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { earliest_us: 5_000_000, latest_us: 5_000_100 };

    #[test]
    fn a_frame_tells_version_age_and_what_is_left() {
        let frame = b"S1000000000200000000000000006000value".to_vec();
        let found = entry(frame, NOW).unwrap().unwrap();
        assert_eq!(found.value, "value");
        assert_eq!((found.version.get(), found.written_us), (2_000_000, 2_000_000));
        assert_eq!(found.age, Duration::from_secs(3));
        assert_eq!(found.left, Some(Duration::from_micros(999_900)));
    }

    #[test]
    fn a_deleted_entry_is_absent() {
        assert_eq!(entry(b"S00000000002000000".to_vec(), NOW).unwrap(), None);
    }

    #[test]
    fn what_is_no_frame_is_corrupt() {
        let frames: [&[u8]; 9] = [
            b"",
            b"S0",
            b"S0-000000002000000",
            b"S0000000000200000000000000006000value",
            b"S1+00000000200000000000000006000v",
            b"value of somebody else, which is long enough",
            b"S1",
            b"S2000000000200000000000000006000v",
            b"S1-00000000200000000000000006000v",
        ];
        for frame in frames {
            let fault = entry(frame.to_vec(), NOW).unwrap_err();
            assert_eq!(fault.kind, steadfast_backend::ErrorKind::Corrupt, "{frame:?}");
        }
    }
}
