use std::time::Duration;

/// When connecting to a server returns.
///
/// A server that answers and cannot be used (a wrong password, no such database) is an error at
/// once, however long an outage is waited for.
///
/// ```
/// use steadfast_backend::{Start, StoreUrl};
///
/// let mut url: StoreUrl = "redis://cache-1?start=disconnected".parse()?;
/// assert_eq!(url.take_start()?, Some(Start::Disconnected));
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// When the server has answered. An outage is an error, after about the time of one attempt to
    /// connect and one call.
    #[default]
    Connected,
    /// The same, but an outage is an error only after this time.
    Within(Duration),
    /// At once, and the server is looked for in the background. Until it has answered once, every
    /// call is an outage that says "never connected"; if it answers and cannot be used, every call
    /// is that error instead, which is no outage.
    Disconnected,
}
