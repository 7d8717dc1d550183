use std::sync::Arc;

#[cfg(feature = "jwt-asymmetric")]
use serde_json::{Map, Value, json};

use crate::backend::{Error, ErrorKind, Result};

#[cfg(feature = "jwt-asymmetric")]
use super::json::is_strict;
#[cfg(feature = "jwt-asymmetric")]
use super::jwk;
use super::jws::Header;
use super::{Key, TokenError};

/// The keys of one issuer: the first signs, and all of them verify.
///
/// A rotation is a new ring with the new key in front; the old one stays until its last token has
/// ended. Where several processes verify, give them the new key before the first of them signs
/// with it: behind the old one, and in front a deployment later.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use steadfast::Tokens;
/// use steadfast::token::{Claims, Key, KeyRing};
///
/// let old = Key::hs256(b"the secret of the last summer...")?;
/// let tokens = Tokens::builder("shop", old.clone()).audience("shop").build()?;
/// let token = tokens.issue(&Claims::new("alice"), Duration::from_secs(3600))?;
///
/// let new = Key::hs256(b"a fresh one for the next winter.")?;
/// # #[expect(clippy::disallowed_methods, reason = "a user of the library has no other clock")]
/// let end = SystemTime::now() + Duration::from_secs(2 * 3600);
/// tokens.replace_keys(KeyRing::new([new, old.until(end)])?);
/// assert!(tokens.verify(&token).is_ok());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<[Key]>);

impl KeyRing {
    /// The most keys in a ring.
    pub const LEN_MAX: usize = 64;
    /// The longest document in bytes that is read as a key set.
    #[cfg(feature = "jwt-asymmetric")]
    pub const JWKS_LEN_MAX: usize = 256 * 1024;

    /// The first key signs, if it can; the others only verify.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for no key, more than 64, or two of one `kid`.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self> {
        let keys: Vec<Key> = keys.into_iter().take(Self::LEN_MAX + 1).collect();
        if keys.is_empty() || keys.len() > Self::LEN_MAX {
            let detail = format!("a key ring has 1 to {} usable keys", Self::LEN_MAX);
            return Err(Error::new(ErrorKind::Config, detail));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|earlier| earlier.kid() == key.kid()) {
                let detail = format!("two keys have the kid {:?}; rename one", key.kid());
                return Err(Error::new(ErrorKind::Config, detail));
            }
        }
        Ok(Self(keys.into()))
    }

    /// The keys of another issuer, from its key set (RFC 7517). They only verify.
    ///
    /// Keys for something else than signatures, and keys that are not understood, are left out. An
    /// RSA key that names no algorithm is for RS256.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is no key set, is over 256 KiB, has no usable key, has two of
    /// one `kid`, or shows a private key or a shared secret: whoever reads it could sign.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn from_jwks(document: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Jwks {
            keys: Vec<Map<String, Value>>,
        }
        let refuse = |detail: &str| Err(Error::new(ErrorKind::Config, detail));
        if document.len() > Self::JWKS_LEN_MAX || !is_strict(document.as_bytes(), 8) {
            return refuse("a key set is a JSON object of at most 256 KiB; this is none");
        }
        let Ok(jwks) = serde_json::from_str::<Jwks>(document) else {
            return refuse("a key set has a member `keys`, a list of objects; this one has not");
        };
        if jwks.keys.iter().any(jwk::is_private) {
            return refuse("the key set shows a private key; its owner must replace that key");
        }
        Self::new(jwks.keys.into_iter().filter_map(jwk::parse))
    }

    /// The key set (RFC 7517) that others verify with: every public key of the ring. Secrets of
    /// HMAC and private keys are never in it.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn to_jwks(&self) -> String {
        let keys: Vec<Value> = self.0.iter().filter_map(jwk::publish).collect();
        json!({ "keys": keys }).to_string()
    }

    pub(super) fn signer(&self) -> &Key {
        &self.0[0]
    }

    /// The key that a header stands for. It is looked up by name; a header without a name is taken
    /// only if one key alone could be meant.
    pub(super) fn select(
        &self,
        header: &Header,
        now_us: u64,
    ) -> std::result::Result<&Key, TokenError> {
        let fits = |key: &&Key| key.algorithm().name() == header.alg;
        let mut live = self.0.iter().filter(|key| key.is_live(now_us));
        let Some(kid) = &header.kid else {
            let mut fitting = live.filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err(TokenError::UnsupportedHeader),
                (Some(_), Some(_)) => Err(TokenError::UnknownKey),
            };
        };
        let key = live.find(|key| key.kid() == kid).ok_or(TokenError::UnknownKey)?;
        Some(key).filter(fits).ok_or(TokenError::UnsupportedHeader)
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self(Arc::new([key]))
    }
}
