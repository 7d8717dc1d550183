//! Key pairs: thin cover over aws-lc-rs, with the algorithm fixed when the key is made.

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::backend::{Error, ErrorKind, Result};

use super::Algorithm;
use super::jwk::PublicJwk;

/// A public key, and its private half if we have it.
pub(super) struct Pair {
    pub(super) jwk: PublicJwk,
    public: ParsedPublicKey,
    private: Option<Private>,
}

enum Private {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl Pair {
    /// A key that only verifies; `None` if it is not a good key for the algorithm.
    pub(super) fn public(algorithm: Algorithm, jwk: PublicJwk) -> Option<Self> {
        let public = match (&jwk, algorithm) {
            (PublicJwk::P256 { x, y }, Algorithm::Es256) => {
                let point = [&[UNCOMPRESSED][..], x, y].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            (PublicJwk::Ed25519 { x }, Algorithm::EdDsa) => ParsedPublicKey::new(&ED25519, x),
            (PublicJwk::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
            (PublicJwk::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
            }
            _ => return None,
        };
        Some(Self { jwk, public: public.ok()?, private: None })
    }

    pub(super) fn generate(algorithm: Algorithm) -> Result<Self> {
        let private = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::Ecdsa)
            }
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Private::Ed25519),
            _ => {
                let encoding = rsa_encoding(algorithm)?;
                RsaKeyPair::generate(KeySize::Rsa2048).map(|pair| Private::Rsa(pair, encoding))
            }
        };
        let private = private.map_err(|_| {
            Error::new(ErrorKind::Other, "no key could be made; is there a random source?")
        })?;
        Self::of(algorithm, private)
    }

    pub(super) fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self> {
        let private = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Private::Ecdsa)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Private::Ed25519),
            _ => {
                let encoding = rsa_encoding(algorithm)?;
                RsaKeyPair::from_pkcs8(der).map(|pair| Private::Rsa(pair, encoding))
            }
        };
        let private = private.map_err(|_: KeyRejected| unusable(algorithm))?;
        Self::of(algorithm, private)
    }

    pub(super) fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self> {
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----");
        let body = body.and_then(|body| body.strip_suffix("-----END PRIVATE KEY-----"));
        let body = Zeroizing::new(body.unwrap_or_default().split_whitespace().collect::<String>());
        let der = STANDARD.decode(body.as_bytes()).map_err(|_| unusable(algorithm))?;
        Self::from_pkcs8(algorithm, &Zeroizing::new(der))
    }

    fn of(algorithm: Algorithm, private: Private) -> Result<Self> {
        let jwk = match &private {
            Private::Ecdsa(pair) => PublicJwk::of_point(pair.public_key().as_ref()),
            Private::Ed25519(pair) => PublicJwk::ed25519(pair.public_key().as_ref()),
            Private::Rsa(pair, _) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                PublicJwk::rsa(
                    n.big_endian_without_leading_zero().to_vec(),
                    e.big_endian_without_leading_zero().to_vec(),
                )
            }
        };
        let pair = jwk.and_then(|jwk| Self::public(algorithm, jwk));
        let pair = pair.ok_or_else(|| unusable(algorithm))?;
        Ok(Self { private: Some(private), ..pair })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let signature = match &self.private {
            None => {
                let detail = "this key only verifies; put one that can sign first in the key ring";
                return Err(Error::new(ErrorKind::Config, detail));
            }
            Some(Private::Ecdsa(pair)) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            Some(Private::Ed25519(pair)) => {
                pair.try_sign(message).map(|signature| signature.as_ref().to_vec())
            }
            Some(Private::Rsa(pair, encoding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map(|()| signature)
            }
        };
        signature.map_err(|_| Error::new(ErrorKind::Other, "the token could not be signed"))
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

/// The first byte of a point that is written as x and y: SEC 1, section 2.3.3.
pub(super) const UNCOMPRESSED: u8 = 4;

fn rsa_encoding(algorithm: Algorithm) -> Result<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::Rs256 => Ok(&RSA_PKCS1_SHA256),
        Algorithm::Ps256 => Ok(&RSA_PSS_SHA256),
        _ => {
            let detail = "HMAC has no key pairs; make the key from a secret";
            Err(Error::new(ErrorKind::Config, detail))
        }
    }
}

/// Says nothing of the key itself.
fn unusable(algorithm: Algorithm) -> Error {
    let detail = format!(
        "this is no unencrypted PKCS #8 private key for {}; RSA needs at least 2048 bits",
        algorithm.name()
    );
    Error::new(ErrorKind::Config, detail)
}
