use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::backend::{Error, ErrorKind, Group, Result};
use crate::text;

/// Who owns a session, a claim or a record: a stable user or client id, never a credential.
///
/// Everything one principal owns shares one key [`Group`], so that it can change in one
/// transaction. The group is a hash (128 bits of SHA-256): the name itself stands in no key, and
/// `Debug` does not show it.
///
/// ```
/// use steadfast::Principal;
///
/// let alice = Principal::new("alice")?;
/// assert_eq!(alice.name(), "alice");
/// assert_eq!(alice.group(), Principal::new("alice")?.group());
/// assert!(!format!("{alice:?}").contains("alice"));
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Arc<str>,
    tag: Tag,
}

impl Principal {
    /// The longest name in bytes.
    pub const NAME_LEN_MAX: usize = 256;

    /// Takes 1 to 256 bytes of any text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an empty or longer name.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > Self::NAME_LEN_MAX {
            let detail = format!(
                "a principal's name has 1 to {} bytes, not {}; use a stable user id",
                Self::NAME_LEN_MAX,
                name.len()
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let hash = Sha256::new().chain_update(b"steadfast principal\0").chain_update(name);
        let mut tag = [0; Tag::LEN];
        tag.copy_from_slice(&hash.finalize()[..Tag::LEN]);
        Ok(Self { name: name.into(), tag: Tag(tag) })
    }

    /// The name it was made from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key group of everything this principal owns.
    pub fn group(&self) -> Group {
        self.tag.group()
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal(#{})", &text::encode(&self.tag.0)[..8])
    }
}

/// The hash that stands for a principal in keys and in session ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag(pub(crate) [u8; Tag::LEN]);

impl Tag {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn group(self) -> Group {
        text::group(&self.0)
    }
}
