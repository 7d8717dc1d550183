use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result};

/// Bytes from the operating system's random source: for ids, owners, nonces.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| {
        let detail = "the operating system gave no random bytes; nothing was changed";
        Error::new(ErrorKind::Other, detail).caused_by(cause.to_string())
    })?;
    Ok(bytes)
}

pub(crate) fn number() -> Result<u64> {
    bytes().map(u64::from_ne_bytes)
}

/// About so long: half of it more or less, so that those who wait for the same thing do not come
/// together.
pub(crate) fn about(span: Duration) -> Duration {
    let permille = number().map_or(1_000, |number| number % 1_000 + 500);
    span / 1_000 * u32::try_from(permille).unwrap_or(1_000)
}
