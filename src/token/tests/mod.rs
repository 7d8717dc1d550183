//! What a user may rely on, on tokens that are signed with the right key unless a test says
//! otherwise: each file has one step of what a token meets.

mod cache;
mod claims;
mod compact;
mod header;
#[cfg(feature = "jwt-asymmetric")]
mod jwks;
mod keys;
mod openssl;
#[cfg(feature = "jwt-asymmetric")]
mod pairs;
mod vectors;

use crate::backend::ManualClock;
use crate::text;

use super::{Key, Tokens, TokensBuilder};

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_000_000;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn key() -> Key {
    Key::hs256(SECRET).unwrap()
}

/// The shop's tokens for its orders, at `NOW_S`.
fn builder(key: impl Into<super::KeyRing>) -> (TokensBuilder, ManualClock) {
    let clock = ManualClock::at_us(NOW_S * 1_000_000);
    (Tokens::builder("shop", key).audience("orders").clock(clock.clone()), clock)
}

fn tokens() -> (Tokens, ManualClock) {
    let (builder, clock) = builder(key());
    (builder.build().unwrap(), clock)
}

/// Signs whatever header and claims with our key.
fn token(header: &str, claims: &str) -> String {
    signed_by(&key(), header, claims)
}

fn signed_by(key: &Key, header: &str, claims: impl AsRef<[u8]>) -> String {
    let parts = [text::encode(header.as_bytes()), text::encode(claims.as_ref())];
    let signed = parts.join(".");
    format!("{signed}.{}", text::encode(&key.sign(signed.as_bytes()).unwrap()))
}

/// Claims that pass, and some more.
fn claims(extra: &str) -> String {
    let end = NOW_S + 100;
    format!(r#"{{"iss":"shop","sub":"alice","aud":"orders","exp":{end}{extra}}}"#)
}
