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
