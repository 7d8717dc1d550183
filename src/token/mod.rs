//! Signed tokens that are checked without a look-up, and can be revoked all the same.
//!
//! [`Tokens`] issues and verifies JSON Web Tokens (RFC 7519) in the strict sense of RFC 8725: the
//! algorithm belongs to the [`Key`]; every claim that is checked is required; whatever is not
//! understood is refused. [`Revocations`] ends tokens before their time.
//!
//! | what a token meets, in this order | limit |
//! | --- | --- |
//! | length; characters; three parts of canonical base64url | 2 KiB |
//! | header: JSON without doubles; `alg`, `typ`, `kid` and nothing that changes a meaning | 1 KiB |
//! | `typ` is the one of this kind | |
//! | key: by `kid`, or the only one that fits; then `alg` is compared with the key's | 64 keys |
//! | signature, over the bytes as they came | |
//! | claims: JSON without doubles, each of its type | |
//! | `iss`, `aud`, `exp`, `nbf`, `iat`, and the life from `iat` to `exp` | leeway 60 s |
//! | with [`Revocations`]: `jti` and `sub` | one trip |
//!
//! # Keys of another issuer
//!
//! With the feature `jwt-asymmetric`, `KeyRing::from_jwks` reads a key set and `KeyRing::to_jwks`
//! writes one. This crate has no HTTP client, so fetching it is yours: at the start, then when
//! four fifths of its time to live are over, and on [`TokenError::UnknownKey`], though not more
//! often than every ten seconds and once at a time. Hand what you got to
//! [`Tokens::replace_keys`]; if the fetch fails, keep the keys you have.

mod algorithm;
#[cfg(feature = "jwt-asymmetric")]
mod asymmetric;
mod cache;
mod claims;
mod error;
mod json;
#[cfg(feature = "jwt-asymmetric")]
mod jwk;
mod jws;
mod key;
mod mac;
mod revocation;
mod ring;
mod tokens;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::{Claims, Verified};
pub use error::{CheckError, TokenError};
pub use key::Key;
pub use revocation::Revocations;
pub use ring::KeyRing;
#[cfg(feature = "poem")]
pub(crate) use tokens::whole_seconds;
pub use tokens::{Tokens, TokensBuilder};
