//! Signed tokens that are checked without a look-up, and can be revoked all the same.
//!
//! [`Tokens`] issues and verifies JSON Web Tokens (RFC 7519) in the strict sense of RFC 8725: the
//! algorithm belongs to the [`Key`], and what a claim says is checked or the token is refused.
//! [`Revocations`] ends tokens before their time.
//!
//! | what a token meets, in this order | limit |
//! | --- | --- |
//! | length; characters; three parts of canonical base64url | 2 KiB, or [`len_max`] |
//! | header: JSON without doubles; nothing that changes a meaning (`crit`, `b64`, `zip`, `enc`) | 1 KiB, or half of `len_max` |
//! | `typ` is the one of this kind; where none was [asked for], `JWT` or none | |
//! | key: by `kid` and `alg`, or the only one for that `alg` | 64 keys |
//! | signature, over the bytes as they came | |
//! | claims: JSON without doubles, each of its type; `iss`, `sub` and `exp` are there | |
//! | `iss`, `aud`, `exp`, `nbf`, and the life from `iat` to `exp` | leeway 60 s |
//! | with [`Revocations`]: `jti` and `sub` | one trip |
//!
//! Other members of a header, such as `nonce`, `cty`, `jku` or `x5c`, are ignored: no key and no
//! address is ever taken from a token.
//!
//! [`len_max`]: TokensBuilder::len_max
//! [asked for]: TokensBuilder::typ
//!
//! # Keys of another issuer
//!
//! With the feature `jwt-asymmetric`, `KeyRing::from_jwks` reads a key set and `KeyRing::to_jwks`
//! writes one. This crate has no HTTP client, so fetching it is yours: at the start, then when
//! four fifths of its time to live are over, and on [`TokenError::UnknownKey`], though not more
//! often than every ten seconds and once at a time. Hand what you got to
//! [`Tokens::replace_keys`]; if the fetch fails, keep the keys you have. Log
//! `KeyRing::left_out`: it names each key of the set that cannot be used here, and says why.
//!
//! The defaults are strict. What some issuers do besides is a setting each:
//! [`len_max`], [`allow_no_issuer`](TokensBuilder::allow_no_issuer),
//! [`allow_no_subject`](TokensBuilder::allow_no_subject) and
//! [`allow_early_dates`](TokensBuilder::allow_early_dates).

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
#[cfg(feature = "jwt-asymmetric")]
mod key_set;
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
#[cfg(feature = "jwt-asymmetric")]
pub use key_set::LeftOut;
pub use revocation::Revocations;
pub use ring::KeyRing;
#[cfg(feature = "poem")]
pub(crate) use tokens::whole_seconds;
pub use tokens::{Tokens, TokensBuilder};
