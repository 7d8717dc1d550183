//! Key sets of other issuers: RFC 7517, section 5.

use std::fmt;

use serde_json::{Map, Value};

use crate::backend::{Error, ErrorKind, Result};

use super::json::is_strict;
use super::{Key, KeyRing, jwk};

/// A key of a key set that is not used, and why. See [`KeyRing::left_out`].
///
/// ```
/// use steadfast::token::KeyRing;
///
/// let document = r#"{"keys":[
///     {"kty":"EC","crv":"P-521","kid":"2025","x":"AA","y":"AA"},
///     {"kty":"OKP","crv":"Ed25519","kid":"2026","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
/// ]}"#;
/// let ring = KeyRing::from_jwks(document)?;
/// let [other] = ring.left_out() else { panic!("one is left out") };
/// assert_eq!(other.kid(), Some("2025"));
/// assert!(other.to_string().starts_with("key 1 (\"2025\"): its type, curve or algorithm"));
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    at: usize,
    kid: Option<String>,
    why: &'static str,
}

impl LeftOut {
    /// Its name, as it stands in the set; `None` if it has none, or one that no key may have.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Why it is not used. No value of the key is in it.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.at)?;
        if let Some(kid) = &self.kid {
            write!(f, " ({kid:?})")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// The keys that can be used, at least one, and the others.
pub(super) fn read(document: &str) -> Result<(Vec<Key>, Vec<LeftOut>)> {
    #[derive(serde::Deserialize)]
    struct Jwks {
        keys: Vec<Value>,
    }
    // A byte order mark, which some servers put there (RFC 8259, section 8.1).
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    if document.len() > KeyRing::JWKS_LEN_MAX || !is_strict(document.as_bytes(), 8) {
        return refuse("a key set is a JSON object of at most 256 KiB; this is none");
    }
    let Ok(jwks) = serde_json::from_str::<Jwks>(document) else {
        return refuse("a key set has a member `keys`, a list; this one has not");
    };
    let leaked: Vec<[u8; 32]> = jwks.keys.iter().filter_map(leaked).collect();
    let (mut keys, mut left_out) = (Vec::new(), Vec::new());
    for (at, jwk) in jwks.keys.into_iter().enumerate() {
        let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        match parse(jwk, &leaked, &keys) {
            Ok(key) => keys.push(key),
            Err(why) => {
                let kid = kid.filter(|kid| (1..=Key::KID_LEN_MAX).contains(&kid.len()));
                left_out.push(LeftOut { at: at + 1, kid, why });
            }
        }
    }
    match (keys.is_empty(), left_out.first()) {
        (false, _) => Ok((keys, left_out)),
        (true, None) => refuse("the key set is empty"),
        (true, Some(first)) => refuse(&format!("the key set has no usable key; {first}")),
    }
}

fn parse(
    jwk: Value,
    leaked: &[[u8; 32]],
    earlier: &[Key],
) -> std::result::Result<Key, &'static str> {
    const LEAKED: &str = "the set shows its private half; its owner must replace it";
    let Value::Object(jwk) = jwk else { return Err("it is no JSON object") };
    if jwk::is_private(&jwk) {
        return Err(LEAKED);
    }
    let key = jwk::parse(jwk)?;
    if leaked.contains(key.id()) {
        return Err(LEAKED);
    }
    if earlier.iter().any(|earlier| earlier.is_mistaken_for(&key)) {
        return Err("an earlier key has its `kid`, for the same algorithm");
    }
    if earlier.len() == KeyRing::LEN_MAX {
        return Err("a ring has at most 64 keys");
    }
    Ok(key)
}

/// What tells a key whose private half everybody knows from others.
fn leaked(jwk: &Value) -> Option<[u8; 32]> {
    let jwk: &Map<String, Value> = jwk.as_object().filter(|jwk| jwk::is_private(jwk))?;
    // What it says of its use does not count.
    let public = ["kty", "crv", "x", "y", "n", "e"];
    let numbers = jwk.iter().filter(|(name, _)| public.contains(&name.as_str()));
    let numbers = numbers.map(|(name, value)| (name.clone(), value.clone())).collect();
    jwk::parse(numbers).ok().map(|key| *key.id())
}

fn refuse<T>(detail: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Config, detail))
}
