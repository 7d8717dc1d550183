use std::sync::Arc;

#[cfg(feature = "jwt-asymmetric")]
use serde_json::{Value, json};

use crate::backend::{Error, ErrorKind, Result};

#[cfg(feature = "jwt-asymmetric")]
use super::jwk;
use super::jws::Header;
#[cfg(feature = "jwt-asymmetric")]
use super::key_set::{self, LeftOut};
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
pub struct KeyRing {
    keys: Arc<[Key]>,
    /// What was in the key set besides.
    #[cfg(feature = "jwt-asymmetric")]
    left_out: Arc<[LeftOut]>,
}

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
    /// [`ErrorKind::Config`] for no key, more than 64, or two of one `kid` and one algorithm.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self> {
        let keys: Vec<Key> = keys.into_iter().take(Self::LEN_MAX + 1).collect();
        if keys.is_empty() || keys.len() > Self::LEN_MAX {
            let detail = format!("a key ring has 1 to {} usable keys", Self::LEN_MAX);
            return Err(Error::new(ErrorKind::Config, detail));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|earlier| earlier.is_mistaken_for(key)) {
                let detail = format!(
                    "two keys for {} have the kid {:?}; rename one",
                    key.algorithm().name(),
                    key.kid()
                );
                return Err(Error::new(ErrorKind::Config, detail));
            }
        }
        Ok(Self::of(keys.into()))
    }

    fn of(keys: Arc<[Key]>) -> Self {
        Self {
            keys,
            #[cfg(feature = "jwt-asymmetric")]
            left_out: Arc::default(),
        }
    }

    /// The keys of another issuer, from its key set (RFC 7517). They only verify.
    ///
    /// Two keys may have one `kid` if they are for different algorithms; the header of a token says
    /// which of them is meant. An RSA key that names no algorithm is for RS256.
    ///
    /// What cannot be used is left out, and [`left_out`](KeyRing::left_out) says why: a key for
    /// something else than signatures, one that is not understood, the second of one `kid` and
    /// algorithm, and those after the 64th. A key whose private half the set shows is left out
    /// wherever it stands: whoever reads the set could sign with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is no key set, is over 256 KiB, or has no usable key.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn from_jwks(document: &str) -> Result<Self> {
        let (keys, left_out) = key_set::read(document)?;
        Ok(Self { left_out: left_out.into(), ..Self::new(keys)? })
    }

    /// The keys of the [key set](KeyRing::from_jwks) that are not in the ring, and why: for the log
    /// of whoever fetches it. Empty for a ring of another origin.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The key set (RFC 7517) that others verify with: every public key of the ring. Secrets of
    /// HMAC and private keys are never in it.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn to_jwks(&self) -> String {
        let keys: Vec<Value> = self.keys.iter().filter_map(jwk::publish).collect();
        json!({ "keys": keys }).to_string()
    }

    #[cfg(all(test, feature = "jwt-asymmetric"))]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn signer(&self) -> &Key {
        &self.keys[0]
    }

    /// The key that a header stands for. It is looked up by name, and by algorithm where two have
    /// that name; a header without a name is taken only if one key alone could be meant.
    pub(super) fn select(
        &self,
        header: &Header,
        now_us: u64,
    ) -> std::result::Result<&Key, TokenError> {
        let fits = |key: &&Key| key.algorithm().is_named(&header.alg);
        let live = self.keys.iter().filter(|key| key.is_live(now_us));
        let Some(kid) = &header.kid else {
            let mut fitting = live.filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err(TokenError::UnsupportedHeader),
                (Some(_), Some(_)) => Err(TokenError::UnknownKey),
            };
        };
        let mut named = live.filter(|key| key.kid() == kid).peekable();
        named.peek().ok_or(TokenError::UnknownKey)?;
        named.find(fits).ok_or(TokenError::UnsupportedHeader)
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self::of(Arc::new([key]))
    }
}
