use std::fmt;

use sha2::{Digest, Sha256};

use crate::Principal;
use crate::backend::{Error, ErrorKind, Group, Key, Result};
use crate::fields::Fields;
use crate::principal::Tag;
use crate::{Store, text};

/// Whose key it is and what for: the same key of another principal, or on another route, is
/// another key.
///
/// ```
/// use steadfast::Principal;
/// use steadfast::idempotency::Scope;
///
/// let alice = Principal::new("alice")?;
/// let checkout = Scope::of(&alice, "POST /checkout");
/// assert_ne!(checkout, Scope::of(&Principal::new("bob")?, "POST /checkout"));
/// assert_ne!(checkout, Scope::anonymous("POST /checkout"));
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Scope {
    tag: Option<Tag>,
    hash: [u8; 32],
}

impl Scope {
    /// Keys of one principal on one route, or in one queue or command.
    pub fn of(principal: &Principal, route: &str) -> Self {
        let hash = Fields::new("steadfast scope").field(principal.name()).field(route).finish();
        Self { tag: Some(principal.tag()), hash }
    }

    /// Keys that anybody may use on one route. Everyone who guesses such a key sees its answer.
    pub fn anonymous(route: &str) -> Self {
        Self { tag: None, hash: Fields::new("steadfast anonymous scope").field(route).finish() }
    }

    /// Keys of one session on one route, where it is not known whose session it is.
    #[cfg(feature = "poem")]
    pub(crate) fn of_session(tag: Option<Tag>, digest: &str, route: &str) -> Self {
        let hash = Fields::new("steadfast session scope").field(digest).field(route).finish();
        Self { tag, hash }
    }

    /// The key group of what a principal's executions change together with their completion, the
    /// [principal's own](Principal::group); `None` for an anonymous scope, whose keys are all
    /// alone.
    pub fn group(&self) -> Option<Group> {
        self.tag.map(Tag::group)
    }

    /// Where the record of a key in this scope is. Always hashed, so no key can collide with
    /// another by its characters; in the principal's group, so it can change together with the
    /// principal's other records.
    pub(super) fn store_key(&self, store: &Store, key: &IdempotencyKey) -> Result<Key> {
        let digest = Fields::new("steadfast idempotency").field(self.hash).field(&key.0).finish();
        let group = self.tag.map_or_else(|| text::group(&digest[..Tag::LEN]), Tag::group);
        store.own_key("idempotency", &group, &text::encode(&digest))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope(#{})", &text::encode(&self.hash)[..8])
    }
}

/// The key a client sends: 1 to 255 visible ASCII characters or spaces, case-sensitive. `Debug`
/// shows a hash of it.
///
/// ```
/// use steadfast::idempotency::IdempotencyKey;
///
/// assert!(IdempotencyKey::new("8e03978e-40d5-43e8-bc93-6894a57f9324").is_ok());
/// assert!(IdempotencyKey::new("").is_err());
/// assert!(IdempotencyKey::new("two words").is_ok());
/// assert!(IdempotencyKey::new("two\tcolumns").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key in characters.
    pub const LEN_MAX: usize = 255;

    /// Checks length and characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`].
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        let fits = (1..=Self::LEN_MAX).contains(&key.len());
        if fits && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Ok(Self(key));
        }
        let detail = "an idempotency key has 1 to 255 visible ASCII characters or spaces; a UUID \
                      is a good one";
        Err(Error::new(ErrorKind::Invalid, detail))
    }

    #[cfg(feature = "poem")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = Sha256::digest(self.0.as_bytes());
        write!(f, "IdempotencyKey(#{})", &text::encode(&hash)[..8])
    }
}
