use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result, Ttl};

/// A time that a setting gives, in whole milliseconds, rounded up.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for zero and for more than [`Ttl::MAX`]; the text names the setting.
pub(crate) fn setting(name: &str, span: Duration) -> Result<Ttl> {
    Ttl::new(span).map_err(|_| {
        let detail = format!("{name} is 1 ms to ten years of 366 days, not {span:?}");
        Error::new(ErrorKind::Invalid, detail)
    })
}
