use std::num::NonZeroUsize;

use bytes::Bytes;

use crate::{Key, Namespace};

/// Asks for one page of the keys in a namespace and below it.
///
/// ```
/// use std::num::NonZeroUsize;
/// use steadfast_backend::{Namespace, ScanRequest};
///
/// let first = ScanRequest {
///     namespace: Namespace::new("shop")?,
///     after: None,
///     limit: NonZeroUsize::new(100).unwrap(),
/// };
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Which keys: those for which [`Namespace::contains`] is true.
    pub namespace: Namespace,
    /// Where the last page ended; `None` for the first page.
    pub after: Option<Cursor>,
    /// About how many keys the page may have; a backend may return fewer, or somewhat more.
    pub limit: NonZeroUsize,
}

/// One page of live keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The keys; a page may be empty and still not be the last.
    pub keys: Vec<Key>,
    /// Where to go on; `None` if this was the last page.
    pub next: Option<Cursor>,
}

/// A backend's own note of where a scan stands. Only the backend that made it can read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Bytes);

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold a whole key.
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}
