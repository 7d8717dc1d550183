use std::fmt;

use crate::fields::Fields;
use crate::text;

/// What a request asked for, as a SHA-256: a key that comes again with another fingerprint is a
/// mistake of the client.
///
/// ```
/// use steadfast::idempotency::Fingerprint;
///
/// let pay_ten = Fingerprint::of(["POST", "/pay", "10"]);
/// assert_eq!(pay_ten, Fingerprint::of(["POST", "/pay", "10"]));
/// assert_ne!(pay_ten, Fingerprint::of(["POST", "/pay1", "0"]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl Fingerprint {
    /// Hashes the parts, each with its length, in order.
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let fields = Fields::new("steadfast fingerprint");
        Self(parts.into_iter().fold(fields, Fields::field).finish())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint(#{})", &text::encode(&self.0)[..8])
    }
}
