//! How old a request is, by its own account.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use poem::http::HeaderMap;

use crate::backend::{Clock, Error, ErrorKind, Result};
use crate::idempotency::IdempotencyKey;

/// How far the clocks of a client and a node may be apart.
const SKEW_MAX: Duration = Duration::from_secs(600);

/// The age from which on a request may have been executed and forgotten.
#[derive(Clone)]
pub(super) struct Age {
    clock: Arc<dyn Clock>,
    max: Duration,
}

impl Age {
    pub(super) fn new(clock: impl Clock, retention: Duration) -> Result<Self> {
        let max = retention.saturating_sub(SKEW_MAX);
        if max.is_zero() {
            let detail = format!(
                "old keys can be told from a retention of more than {SKEW_MAX:?}, and this one is \
                 {retention:?}; set a longer one"
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        Ok(Self { clock: Arc::new(clock), max })
    }

    /// True if the request says that it is too old. One that says nothing is not.
    pub(super) fn is_over(&self, key: &IdempotencyKey, headers: &HeaderMap) -> bool {
        let now = Duration::from_micros(self.clock.now_us());
        let born = [minted(key.as_str()), first_sent(headers)];
        born.into_iter().flatten().any(|born| now.saturating_sub(born) >= self.max)
    }
}

impl fmt::Debug for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Age({:?})", self.max)
    }
}

/// When a UUID of version 7 was made: RFC 9562, section 5.7.
fn minted(key: &str) -> Option<Duration> {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, char): (usize, char)| match char {
        '-' => is_dash(at),
        char => char.is_ascii_hexdigit() && !is_dash(at),
    };
    let is_uuid = key.len() == 36 && key.char_indices().all(fits);
    if !is_uuid || key.as_bytes()[14] != b'7' {
        return None;
    }
    let ms = u64::from_str_radix(&format!("{}{}", &key[..8], &key[9..13]), 16).ok()?;
    Some(Duration::from_millis(ms))
}

/// `Repeatability-First-Sent`, an HTTP date.
fn first_sent(headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get("repeatability-first-sent")?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_its_age() {
        // The example of RFC 9562, A.6.
        let minted = minted("017F22E2-79B0-7CC3-98C4-DC0C0C07398F");
        assert_eq!(minted, Some(Duration::from_secs(1_645_557_742)));
    }

    #[test]
    fn other_keys_do_not() {
        for key in [
            "",
            "k-1",
            "919108f7-52d1-4320-9bac-f847db4148a8",
            "017F22E279B07CC398C4DC0C0C07398F",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398G",
            "017F22E2x79B0-7CC3-98C4-DC0C0C07398F",
            "--------------7---------------------",
        ] {
            assert_eq!(minted(key), None, "{key}");
        }
    }
}
