//! Bytes as text and back: one alphabet for ids, keys and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::backend::Group;

/// Base64url without padding (RFC 4648, section 5).
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The exact inverse: no padding, no foreign characters, unused bits zero.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The inverse for a fixed number of bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

/// A key group from a hash of at most 48 bytes.
pub(crate) fn group(hash: &[u8]) -> Group {
    #[expect(clippy::expect_used, reason = "base64url of 1 to 48 bytes is a valid group")]
    Group::new(&encode(hash)).expect("a short hash makes a group")
}
