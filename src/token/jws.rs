//! The compact serialisation of RFC 7515 with HS256, and nothing else of it.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::text;

use super::TokenError;

/// The whole token, before anything of it is decoded.
pub(super) const TOKEN_LEN_MAX: usize = 2048;

/// Any member that is not listed, `crit` among them, makes the token unreadable; so does one that
/// stands twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The key with the algorithm it is for.
#[derive(Clone)]
pub(super) struct Hs256(Hmac<Sha256>);

impl Hs256 {
    /// RFC 7518, section 3.2: at least as many bytes as the hash has.
    pub(super) const SECRET_LEN_MIN: usize = 32;

    pub(super) fn new(secret: &[u8]) -> Option<Self> {
        let long_enough = secret.len() >= Self::SECRET_LEN_MIN;
        long_enough.then(|| Hmac::new_from_slice(secret).ok()).flatten().map(Self)
    }

    pub(super) fn sign(&self, claims: &[u8]) -> String {
        let mut token = format!("{}.{}", text::encode(HEADER.as_bytes()), text::encode(claims));
        let mac = self.0.clone().chain_update(&token).finalize().into_bytes();
        token.push('.');
        token.push_str(&text::encode(&mac));
        token
    }

    /// The bytes of the claims, if the signature is ours.
    pub(super) fn open(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        // The decoder takes neither dots nor padding nor unused bits, so this is one form only.
        let parts = (text::decode(header), text::decode(claims), text::decode(mac));
        let (Some(header), Some(claims), Some(mac)) = parts else {
            return Err(TokenError::Malformed);
        };
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| TokenError::UnsupportedHeader)?;
        if header.alg != "HS256" || !header.typ.eq_ignore_ascii_case("JWT") {
            return Err(TokenError::UnsupportedHeader);
        }
        // In constant time, over the bytes as they came.
        let mac_of = self.0.clone().chain_update(signed);
        mac_of.verify_slice(&mac).map_err(|_| TokenError::BadSignature)?;
        Ok(claims)
    }
}
