//! The compact serialisation of RFC 7515, and nothing else of it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::backend::{Error, ErrorKind, Result};
use crate::text;

use super::claims::present;
use super::{Key, TokenError, json};

/// The whole token, before anything of it is decoded.
pub(super) const TOKEN_LEN_MAX: usize = 2048;

const HEADER_LEN_MAX: usize = 1024;
const HEADER_DEPTH_MAX: u8 = 4;

/// A token, taken apart. Nothing of it is to be believed yet.
pub(super) struct Compact<'a> {
    pub(super) header: Header,
    /// What the signature is over, as it came.
    pub(super) signed: &'a [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a str) -> std::result::Result<Self, TokenError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::TooLong);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !token.bytes().all(allowed) {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = Header::parse(&part(header)?)?;
        let (payload, signature) = (part(payload)?, part(signature)?);
        Ok(Self { header, signed: signed.as_bytes(), payload, signature })
    }
}

/// The decoder takes neither dots nor padding nor unused bits, so there is one form only.
fn part(text: &str) -> std::result::Result<Vec<u8>, TokenError> {
    text::decode(text).filter(|part| !part.is_empty()).ok_or(TokenError::Malformed)
}

/// Any member that is not listed makes the token unreadable: `crit`, for no extension is known
/// here; `jku`, `x5u`, `jwk` and `x5c`, which offer a key of the sender's choice; `zip`, `enc` and
/// `b64`, which change what the other parts mean.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: String,
    #[serde(default, deserialize_with = "present")]
    pub(super) kid: Option<String>,
    /// The digest of a certificate, which some issuers add. Nobody looks at it.
    #[serde(default, rename = "x5t")]
    _x5t: IgnoredAny,
    #[serde(default, rename = "x5t#S256")]
    _x5t_sha256: IgnoredAny,
}

impl Header {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, TokenError> {
        if bytes.len() > HEADER_LEN_MAX || !json::is_strict(bytes, HEADER_DEPTH_MAX) {
            return Err(TokenError::UnsupportedHeader);
        }
        let header: Self =
            serde_json::from_slice(bytes).map_err(|_| TokenError::UnsupportedHeader)?;
        let kid_len = header.kid.as_ref().map_or(1, String::len);
        if kid_len == 0 || kid_len > Key::KID_LEN_MAX {
            return Err(TokenError::UnsupportedHeader);
        }
        Ok(header)
    }

    /// `typ` is a media type: case does not count, and `application/` may be left out.
    pub(super) fn is_of_type(&self, typ: &str) -> bool {
        short_type(&self.typ).eq_ignore_ascii_case(short_type(typ))
    }
}

fn short_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}

#[derive(Serialize)]
struct OwnHeader<'a> {
    alg: &'static str,
    typ: &'a str,
    kid: &'a str,
}

/// Signs claims, within the limits that are checked when a token comes in.
pub(super) fn sign(key: &Key, typ: &str, payload: &[u8]) -> Result<String> {
    let header = OwnHeader { alg: key.algorithm().name(), typ, kid: key.kid() };
    let mut token = format!("{}.{}", text::encode(&json::write(&header)?), text::encode(payload));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&text::encode(&signature));
    if token.len() > TOKEN_LEN_MAX {
        let detail = format!(
            "a token has at most {TOKEN_LEN_MAX} bytes and this one would have {}; keep the data \
             in the session",
            token.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, detail));
    }
    Ok(token)
}
