use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::backend::{Error, ErrorKind, Result};

use super::{TokenError, json};

/// What a token is to say of its bearer. `Debug` does not show it.
///
/// ```
/// use serde::Serialize;
/// use steadfast::token::Claims;
///
/// #[derive(Serialize)]
/// struct Access {
///     scope: &'static str,
/// }
///
/// let claims = Claims::new("alice").extra(&Access { scope: "orders:read" })?;
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Claims {
    pub(super) subject: String,
    pub(super) session: Option<String>,
    pub(super) id: Option<String>,
    pub(super) extra: Map<String, Value>,
}

impl Claims {
    /// `sub`: the principal's name.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), session: None, id: None, extra: Map::new() }
    }

    /// `sid`: the secret id of the bearer's session.
    #[must_use]
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// `jti`: 128 random bits if it is not given. Must be unique among the issuer's tokens.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Claims of your own: a struct or a map, read back by [`Verified::extra`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the value is no JSON object, or has one of the names that this
    /// library writes itself.
    pub fn extra(mut self, extra: &impl Serialize) -> Result<Self> {
        let Ok(Value::Object(members)) = serde_json::to_value(extra) else {
            let detail = "extra claims must be a struct or a map that JSON can express";
            return Err(Error::new(ErrorKind::Invalid, detail));
        };
        self.extra.extend(members);
        if let Some(name) = REGISTERED.iter().find(|name| self.extra.contains_key(**name)) {
            let detail = format!("the claim {name} is the library's own; give yours another name");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        Ok(self)
    }
}

const REGISTERED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid"];

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// What a token that passed every check says of its bearer. `Debug` does not show it.
#[derive(Clone, PartialEq)]
pub struct Verified {
    /// `sub`: the principal's name. Empty only if the token has none, which
    /// [`allow_no_subject`](super::TokensBuilder::allow_no_subject) lets pass.
    pub subject: String,
    /// `sid`: the secret id of the bearer's session.
    pub session: Option<String>,
    /// `jti`: the token's own name, by which it can be revoked.
    pub id: Option<String>,
    /// `aud`: whom the token is for.
    pub audience: Vec<String>,
    pub(super) issuer: String,
    pub(super) issued_s: Option<f64>,
    pub(super) expires_s: f64,
    payload: Vec<u8>,
}

impl Verified {
    /// The token's claims as a type of yours, which takes those it knows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use serde::{Deserialize, Serialize};
    /// use steadfast::Tokens;
    /// use steadfast::token::{Claims, Key};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Access {
    ///     scope: String,
    /// }
    ///
    /// let key = Key::hs256(b"a secret of at least 32 bytes...")?;
    /// let tokens = Tokens::builder("shop", key).audience("orders").build()?;
    /// let claims = Claims::new("alice").extra(&Access { scope: "orders:read".into() })?;
    /// let token = tokens.issue(&claims, Duration::from_secs(300))?;
    /// let verified = tokens.verify(&token).unwrap();
    /// assert_eq!(verified.extra::<Access>().unwrap().scope, "orders:read");
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TokenError::InvalidClaims`] if the claims are not those of such a type.
    pub fn extra<E: DeserializeOwned>(&self) -> std::result::Result<E, TokenError> {
        serde_json::from_slice(&self.payload).map_err(|_| TokenError::InvalidClaims)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The claims as they are written.
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<&'a str>,
    pub(super) jti: &'a str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    #[serde(flatten)]
    pub(super) extra: &'a Map<String, Value>,
}

/// What a token may leave out or say although this library never issues it.
#[derive(Default)]
pub(super) struct Allowed {
    pub(super) no_issuer: bool,
    pub(super) no_subject: bool,
    /// Dates before 1970.
    pub(super) early_dates: bool,
}

/// The claims as they came in. A wrong type, a `null` or a claim that stands twice makes the token
/// unreadable, never a claim that is skipped.
#[derive(Deserialize)]
pub(super) struct Received {
    #[serde(default, deserialize_with = "present")]
    pub(super) iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(deserialize_with = "date")]
    pub(super) exp: f64,
    #[serde(default, deserialize_with = "present_date")]
    pub(super) nbf: Option<f64>,
    #[serde(default, deserialize_with = "present_date")]
    pub(super) iat: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Received {
    pub(super) fn parse(
        payload: &[u8],
        allowed: &Allowed,
    ) -> std::result::Result<Self, TokenError> {
        if !json::is_strict(payload, DEPTH_MAX) {
            return Err(TokenError::InvalidClaims);
        }
        let received: Self =
            serde_json::from_slice(payload).map_err(|_| TokenError::InvalidClaims)?;
        let names = (allowed.no_issuer || received.iss.is_some())
            && (allowed.no_subject || received.sub.is_some());
        let is_empty = |name: &Option<String>| name.as_deref() == Some("");
        if !names || is_empty(&received.sub) || is_empty(&received.jti) {
            return Err(TokenError::InvalidClaims);
        }
        let dates = [Some(received.exp), received.nbf, received.iat];
        if !allowed.early_dates && dates.into_iter().flatten().any(|date| date < 0.0) {
            return Err(TokenError::InvalidClaims);
        }
        Ok(received)
    }

    pub(super) fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            None => false,
            Some(Audience::One(name)) => name == audience,
            Some(Audience::Several(names)) => names.iter().any(|name| name == audience),
        }
    }

    pub(super) fn verified(self, issuer: &str, payload: Vec<u8>) -> Verified {
        let audience = match self.aud {
            None => Vec::new(),
            Some(Audience::One(name)) => vec![name],
            Some(Audience::Several(names)) => names,
        };
        Verified {
            subject: self.sub.unwrap_or_default(),
            session: self.sid,
            id: self.jti,
            audience,
            issuer: issuer.to_owned(),
            issued_s: self.iat,
            expires_s: self.exp,
            payload,
        }
    }
}

/// How deep claims may be nested.
const DEPTH_MAX: u8 = 16;

/// A member that stands there has a value: `null` is not the same as nothing.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn present_date<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<f64>, D::Error> {
    date(from).map(Some)
}

/// A `NumericDate` of RFC 7519: seconds since the Unix epoch, with a fraction at will.
fn date<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<f64, D::Error> {
    let date = f64::deserialize(from)?;
    if (-1e12..1e12).contains(&date) {
        return Ok(date);
    }
    Err(serde::de::Error::custom("the date is out of range"))
}
