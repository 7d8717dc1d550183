//! The compact serialisation of RFC 7515, and nothing else of it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::backend::{Error, ErrorKind, Result};
use crate::text;

use super::claims::present;
use super::{Key, TokenError, json};

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
    /// `len_max` is for the whole token, before anything of it is decoded. The decoded header may
    /// have half of that.
    pub(super) fn parse(token: &'a str, len_max: usize) -> std::result::Result<Self, TokenError> {
        if token.len() > len_max {
            return Err(TokenError::TooLong);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !token.bytes().all(allowed) {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = Header::parse(&part(header)?, len_max / 2)?;
        let (payload, signature) = (part(payload)?, part(signature)?);
        Ok(Self { header, signed: signed.as_bytes(), payload, signature })
    }
}

/// The decoder takes neither dots nor padding nor unused bits, so there is one form only.
fn part(text: &str) -> std::result::Result<Vec<u8>, TokenError> {
    text::decode(text).filter(|part| !part.is_empty()).ok_or(TokenError::Malformed)
}

/// Members that are not listed are ignored, as RFC 7515, section 4, wants it. That goes for `jku`,
/// `x5u`, `jwk` and `x5c` as well, which offer a key of the sender's choice: they are not read, so
/// nothing can use them.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    b64: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    zip: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    enc: Option<IgnoredAny>,
}

impl Header {
    fn parse(bytes: &[u8], len_max: usize) -> std::result::Result<Self, TokenError> {
        if bytes.len() > len_max || !json::is_strict(bytes, HEADER_DEPTH_MAX) {
            return Err(TokenError::UnsupportedHeader);
        }
        let header: Self =
            serde_json::from_slice(bytes).map_err(|_| TokenError::UnsupportedHeader)?;
        let kid_len = header.kid.as_ref().map_or(1, String::len);
        if kid_len == 0 || kid_len > Key::KID_LEN_MAX || header.changes_meaning() {
            return Err(TokenError::UnsupportedHeader);
        }
        Ok(header)
    }

    /// No extension is known here, so none that is critical is understood. The others change what
    /// the other parts mean.
    fn changes_meaning(&self) -> bool {
        [&self.crit, &self.b64, &self.zip, &self.enc].iter().any(|member| member.is_some())
    }

    /// `typ` is a media type: case does not count, and `application/` may be left out.
    pub(super) fn is_of_type(&self, typ: &str) -> bool {
        let own = self.typ.as_deref().map(short_type);
        own.is_some_and(|own| own.eq_ignore_ascii_case(short_type(typ)))
    }

    pub(super) fn has_type(&self) -> bool {
        self.typ.is_some()
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
pub(super) fn sign(key: &Key, typ: &str, payload: &[u8], len_max: usize) -> Result<String> {
    let header = OwnHeader { alg: key.algorithm().name(), typ, kid: key.kid() };
    let mut token = format!("{}.{}", text::encode(&json::write(&header)?), text::encode(payload));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&text::encode(&signature));
    if token.len() > len_max {
        let detail = format!(
            "a token of this kind has at most {len_max} bytes and this one would have {}; keep \
             the data in the session, or see len_max",
            token.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, detail));
    }
    Ok(token)
}
