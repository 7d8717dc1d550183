//! Signed tokens that are checked without a look-up.
//!
//! [`Tokens`] issues and verifies JSON Web Tokens (RFC 7519) in the strict sense of RFC 8725: one
//! algorithm, bound to the key; every claim that is checked is required; whatever is not
//! understood is refused. HS256 for now.

mod jws;
mod tokens;

#[cfg(test)]
mod tests;

pub use tokens::{Claims, TokenError, Tokens, TokensBuilder};
