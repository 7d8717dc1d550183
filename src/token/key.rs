use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::backend::{Error, ErrorKind, Result};
use crate::fields::Fields;
use crate::text;

use super::Algorithm;
#[cfg(feature = "jwt-asymmetric")]
use super::asymmetric::Pair;
#[cfg(feature = "jwt-asymmetric")]
use super::jwk::PublicJwk;
use super::mac::Mac;

/// A key with the one algorithm it is for. What a token's header says is only compared with it.
///
/// Every key has a `kid`, which stands in the tokens that it signs: a hash of the key, unless you
/// [name](Key::named) it. Secret keys are overwritten in memory when the last clone is dropped;
/// `Debug` shows the `kid` and the algorithm.
///
/// ```
/// use steadfast::token::{Algorithm, Key};
///
/// let key = Key::hs256(b"a secret of at least 32 bytes...")?.named("2026-11")?;
/// assert_eq!((key.kid(), key.algorithm()), ("2026-11", Algorithm::Hs256));
/// assert!(Key::hs256(b"a short one").is_err());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    id: [u8; 32],
    kid: Arc<str>,
    algorithm: Algorithm,
    until_us: u64,
    material: Arc<Material>,
}

enum Material {
    Mac(Mac),
    #[cfg(feature = "jwt-asymmetric")]
    Pair(Pair),
}

impl Key {
    /// The longest `kid` in bytes. Some issuers use a URL or the full name of a key in a cloud.
    pub const KID_LEN_MAX: usize = 256;

    /// An HMAC key from at least 32 random bytes. Whoever can verify with it can sign, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a shorter secret.
    pub fn hs256(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::Hs256, secret, Mac::hs256(secret))
    }

    /// An HMAC key from at least 48 random bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a shorter secret.
    pub fn hs384(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::Hs384, secret, Mac::hs384(secret))
    }

    /// An HMAC key from at least 64 random bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a shorter secret.
    pub fn hs512(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::Hs512, secret, Mac::hs512(secret))
    }

    fn hmac(algorithm: Algorithm, secret: &[u8], mac: Option<Mac>) -> Result<Self> {
        let mac = mac.ok_or_else(|| {
            let detail = format!(
                "a secret of {} bytes is too short for {}; HS256 needs 32 random bytes, HS384 48 \
                 and HS512 64",
                secret.len(),
                algorithm.name()
            );
            Error::new(ErrorKind::Config, detail)
        })?;
        // A token of this key lets a guess be tested just as well as this hash does.
        let hash = Fields::new("steadfast token kid").field(algorithm.name()).field(secret);
        let id = hash.finish();
        Ok(Self::new(id, &text::encode(&id[..12]), algorithm, Material::Mac(mac)))
    }

    /// A fresh key pair that nobody else has; RSA has 2048 bits. It ends with this process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an HMAC algorithm: make those keys from a secret.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn generate(algorithm: Algorithm) -> Result<Self> {
        Ok(Self::of_pair(algorithm, Pair::generate(algorithm)?))
    }

    /// A key pair from an unencrypted PKCS #8 private key in DER, as `openssl genpkey -outform
    /// DER` writes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is none, is for another algorithm, or is an RSA key under 2048
    /// bits.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self> {
        Ok(Self::of_pair(algorithm, Pair::from_pkcs8(algorithm, der)?))
    }

    /// [`from_pkcs8`](Key::from_pkcs8) of the text form that begins with `-----BEGIN PRIVATE
    /// KEY-----`.
    ///
    /// # Errors
    ///
    /// As `from_pkcs8`.
    #[cfg(feature = "jwt-asymmetric")]
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self> {
        Ok(Self::of_pair(algorithm, Pair::from_pem(algorithm, pem)?))
    }

    #[cfg(feature = "jwt-asymmetric")]
    pub(super) fn of_pair(algorithm: Algorithm, pair: Pair) -> Self {
        let id = pair.jwk.thumbprint();
        Self::new(id, &text::encode(&id), algorithm, Material::Pair(pair))
    }

    fn new(id: [u8; 32], kid: &str, algorithm: Algorithm, material: Material) -> Self {
        let (kid, material) = (kid.into(), Arc::new(material));
        Self { id, kid, algorithm, until_us: u64::MAX, material }
    }

    /// The same key under a name of yours.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name has not 1 to 256 bytes.
    pub fn named(self, kid: &str) -> Result<Self> {
        if kid.is_empty() || kid.len() > Self::KID_LEN_MAX {
            let detail = format!("a kid has 1 to {} bytes, not {}", Self::KID_LEN_MAX, kid.len());
            return Err(Error::new(ErrorKind::Config, detail));
        }
        Ok(Self { kid: kid.into(), ..self })
    }

    /// The same key, good for nothing from that moment on: for one that is on its way out, the
    /// end of the last token that it signed.
    #[must_use]
    pub fn until(self, end: SystemTime) -> Self {
        let end = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { until_us: u64::try_from(end.as_micros()).unwrap_or(u64::MAX), ..self }
    }

    /// Its name in the header of a token.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A header that means one of them could mean the other.
    pub(super) fn is_mistaken_for(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm
    }

    pub(super) fn is_live(&self, now_us: u64) -> bool {
        now_us < self.until_us
    }

    /// What tells it from every other key, whatever it is named.
    pub(super) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The public half; `None` for a secret that must not be published.
    #[cfg(feature = "jwt-asymmetric")]
    pub(super) fn public(&self) -> Option<&PublicJwk> {
        match &*self.material {
            Material::Mac(_) => None,
            Material::Pair(pair) => Some(&pair.jwk),
        }
    }

    #[cfg_attr(
        not(feature = "jwt-asymmetric"),
        expect(clippy::unnecessary_wraps, reason = "key pairs can fail, HMAC cannot")
    )]
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &*self.material {
            Material::Mac(mac) => Ok(mac.sign(message)),
            #[cfg(feature = "jwt-asymmetric")]
            Material::Pair(pair) => pair.sign(message),
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &*self.material {
            Material::Mac(mac) => mac.verify(message, signature),
            #[cfg(feature = "jwt-asymmetric")]
            Material::Pair(pair) => pair.verify(message, signature),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
