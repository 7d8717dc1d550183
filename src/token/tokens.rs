use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error as ThisError;

use crate::backend::{Clock, Error, ErrorKind, Result};

use super::jws::{Hs256, TOKEN_LEN_MAX};

/// Issues and verifies tokens of one issuer with one secret.
///
/// ```
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
/// use steadfast::Tokens;
/// use steadfast::token::Claims;
///
/// let tokens = Tokens::builder("shop", b"a secret of at least 32 bytes...").build()?;
/// let claims = Claims { subject: "alice".into(), session: None };
/// let token = tokens.issue(&claims, Duration::from_secs(3600))?;
/// assert_eq!(tokens.verify(&token).unwrap(), claims);
/// assert!(tokens.verify(&token.replace('.', "")).is_err());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokens {
    issuer: String,
    key: Hs256,
    leeway: Duration,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Starts from the issuer's name and the HMAC secret.
    pub fn builder(issuer: impl Into<String>, secret: &[u8]) -> TokensBuilder {
        TokensBuilder {
            issuer: issuer.into(),
            key: Hs256::new(secret),
            leeway: Duration::from_secs(30),
            clock: Arc::new(WallClock),
        }
    }

    /// A signed token with these claims that is valid for `life` from now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an empty subject, [`ErrorKind::TooLarge`] if the token would
    /// have more than 2 KiB.
    pub fn issue(&self, claims: &Claims, life: Duration) -> Result<String> {
        if claims.subject.is_empty() {
            let detail = "a token needs a subject; use the principal's name";
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let now_s = self.clock.now_us() / 1_000_000;
        let life_s = life.as_millis().div_ceil(1_000);
        let payload = Payload {
            iss: &self.issuer,
            sub: &claims.subject,
            sid: claims.session.as_deref(),
            iat: now_s,
            exp: now_s.saturating_add(u64::try_from(life_s).unwrap_or(u64::MAX)),
        };
        let payload = serde_json::to_vec(&payload).map_err(|cause| {
            Error::new(ErrorKind::Other, "the claims cannot be written as JSON").caused_by(cause)
        })?;
        let token = self.key.sign(&payload);
        if token.len() > TOKEN_LEN_MAX {
            let detail = format!(
                "a token has at most {TOKEN_LEN_MAX} bytes and this one would have {}; keep the \
                 data in the session",
                token.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, detail));
        }
        Ok(token)
    }

    /// The claims of a token of ours that is valid now. No I/O.
    ///
    /// # Errors
    ///
    /// A [`TokenError`]: tell it to your metrics, and to the client no more than "401".
    pub fn verify(&self, token: &str) -> std::result::Result<Claims, TokenError> {
        let claims = self.key.open(token)?;
        let claims: Received =
            serde_json::from_slice(&claims).map_err(|_| TokenError::InvalidClaims)?;
        if claims.iss != self.issuer {
            return Err(TokenError::ForeignIssuer);
        }
        // A token that names an audience is for somebody who checks it.
        if claims.sub.is_empty() || claims.aud.is_some() {
            return Err(TokenError::InvalidClaims);
        }
        let (now_s, leeway_s) = (seconds(self.clock.now_us()), self.leeway.as_secs_f64());
        if now_s >= claims.exp + leeway_s {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now_s < nbf - leeway_s) {
            return Err(TokenError::NotYetValid);
        }
        Ok(Claims { subject: claims.sub, session: claims.sid })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a token says of its bearer. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the principal's name.
    pub subject: String,
    /// `sid`: the secret id of the bearer's session.
    pub session: Option<String>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// A wrong type, a `null` or a claim that stands twice makes the token unreadable, never a claim
/// that is skipped.
#[derive(Deserialize)]
struct Received {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "date")]
    exp: f64,
    #[serde(default, deserialize_with = "present_date")]
    nbf: Option<f64>,
    #[serde(default, rename = "iat", deserialize_with = "present_date")]
    _iat: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<IgnoredAny>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
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
    if (0.0..1e12).contains(&date) {
        return Ok(date);
    }
    Err(serde::de::Error::custom("the date is out of range"))
}

/// Exact to the microsecond until the year 2255.
#[expect(clippy::cast_precision_loss, reason = "a microsecond does not matter here")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// The machine's clock as it is now: what others compare `exp` and `nbf` with. Unlike a store's,
/// it must follow when it is set.
#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now_us(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that tests replace")]
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Settings of [`Tokens`].
pub struct TokensBuilder {
    issuer: String,
    key: Option<Hs256>,
    leeway: Duration,
    clock: Arc<dyn Clock>,
}

impl TokensBuilder {
    /// How far this machine's clock may be from the issuer's, 30 seconds by default: tokens are
    /// taken that much after `exp` and before `nbf`.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Where the time comes from; the system by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an empty issuer or a secret under 32 bytes.
    pub fn build(self) -> Result<Tokens> {
        let Some(key) = self.key else {
            let detail = format!(
                "the token secret needs at least {} bytes, from a random source",
                Hs256::SECRET_LEN_MIN
            );
            return Err(Error::new(ErrorKind::Config, detail));
        };
        if self.issuer.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the token issuer is empty; give it a name"));
        }
        Ok(Tokens { issuer: self.issuer, key, leeway: self.leeway, clock: self.clock })
    }
}

impl fmt::Debug for TokensBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokensBuilder").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Why a token was refused. Nothing of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum TokenError {
    /// Over 2 KiB.
    #[error("the token is longer than 2 KiB")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the token is not a compact JWS")]
    Malformed,
    /// Another algorithm or type, or header members that are not understood.
    #[error("the token's header is not that of an HS256 JWT")]
    UnsupportedHeader,
    /// Signed with another key, or changed.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// A claim is missing, doubled, of a wrong type or not understood.
    #[error("the token's claims are not valid")]
    InvalidClaims,
    /// Of another issuer.
    #[error("the token is of another issuer")]
    ForeignIssuer,
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
}
