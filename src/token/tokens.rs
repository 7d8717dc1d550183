use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::backend::{Clock, Error, ErrorKind, Result};
use crate::text;

use super::cache::SignatureCache;
use super::claims::{Allowed, Payload, Received};
use super::jws::{self, Compact};
use super::{Claims, KeyRing, TokenError, Verified, json};

/// Issues and verifies the tokens of one issuer, of one kind. Clones share their keys.
///
/// ```
/// use std::time::Duration;
/// use steadfast::Tokens;
/// use steadfast::token::{Claims, Key};
///
/// let key = Key::hs256(b"a secret of at least 32 bytes...")?;
/// let tokens = Tokens::builder("shop", key).audience("orders").build()?;
/// let token = tokens.issue(&Claims::new("alice"), Duration::from_secs(3600))?;
/// assert_eq!(tokens.verify(&token).unwrap().subject, "alice");
/// assert!(tokens.verify(&token.replace('.', "")).is_err());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    ring: RwLock<KeyRing>,
    rules: Rules,
}

/// What makes a token one of ours.
struct Rules {
    issuer: String,
    /// `None`: any.
    audience: Option<String>,
    /// `None`: nobody asked for one.
    typ: Option<String>,
    len_max: usize,
    allowed: Allowed,
    leeway: Duration,
    life_max_s: u64,
    clock: Arc<dyn Clock>,
    cache: Option<SignatureCache>,
}

impl Tokens {
    /// The longest leeway. Machines that verify should not be further apart.
    pub const LEEWAY_MAX: Duration = Duration::from_secs(60);
    /// How far the clocks of two replicas may be apart: each ten minutes off. Nothing that this
    /// library issues is refused for that, unless it has expired on the clock that is ahead; issue
    /// it for so much longer where that counts.
    pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(20 * 60);
    /// The most that [`len_max`](TokensBuilder::len_max) takes, in bytes. Few servers take longer
    /// headers.
    pub const LEN_MAX: usize = 16 * 1024;

    /// Starts from the issuer's name and its keys: a [`Key`](super::Key) or a [`KeyRing`].
    pub fn builder(issuer: impl Into<String>, keys: impl Into<KeyRing>) -> TokensBuilder {
        TokensBuilder {
            ring: keys.into(),
            any_audience: false,
            life_max: Duration::from_secs(24 * 3600),
            rules: Rules {
                issuer: issuer.into(),
                audience: None,
                typ: None,
                len_max: 2_048,
                allowed: Allowed::default(),
                leeway: Duration::from_secs(30),
                life_max_s: 0,
                clock: Arc::new(WallClock),
                cache: None,
            },
        }
    }

    /// A signed token with these claims that is valid for `life` from now, in whole seconds,
    /// rounded up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if the token would be longer than
    /// [`len_max`](TokensBuilder::len_max), [`ErrorKind::Invalid`] if it could not be verified for
    /// another reason: an empty subject, or a life of zero or over the maximum.
    /// [`ErrorKind::Config`] if the first key of the ring cannot sign or has ended.
    pub fn issue(&self, claims: &Claims, life: Duration) -> Result<String> {
        let (rules, ring) = (&self.0.rules, self.keys());
        let now_us = rules.clock.now_us();
        let key = ring.signer();
        if !key.is_live(now_us) {
            let detail = "the signing key has ended; put its successor first in the key ring";
            return Err(Error::new(ErrorKind::Config, detail));
        }
        let payload = rules.payload(claims, now_us / 1_000_000, life)?;
        jws::sign(key, rules.typ(), &payload, rules.len_max)
    }

    /// What a token of ours that is valid now says. No I/O, so a token that was revoked passes;
    /// [`Revocations::verify`](super::Revocations::verify) looks that up.
    ///
    /// # Errors
    ///
    /// A [`TokenError`]: tell it to your metrics, and to the client no more than "401".
    pub fn verify(&self, token: &str) -> std::result::Result<Verified, TokenError> {
        let (rules, ring) = (&self.0.rules, self.keys());
        let compact = Compact::parse(token, rules.len_max)?;
        let untyped = rules.typ.is_none() && !compact.header.has_type();
        if !untyped && !compact.header.is_of_type(rules.typ()) {
            return Err(TokenError::WrongType);
        }
        let now_us = rules.clock.now_us();
        let key = ring.select(&compact.header, now_us)?;
        let cache = rules.cache.as_ref();
        let seen = cache.is_some_and(|cache| cache.has(key, token));
        if !seen && !key.verify(compact.signed, &compact.signature) {
            return Err(TokenError::BadSignature);
        }
        let claims = Received::parse(&compact.payload, &rules.allowed)?;
        let left = rules.check(&claims, now_us)?;
        if let Some(cache) = cache.filter(|_| !seen) {
            cache.keep(key, token, left);
        }
        Ok(claims.verified(&rules.issuer, compact.payload))
    }

    /// The present keys.
    pub fn keys(&self) -> KeyRing {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other keys in the place of the present ones, for every clone: a rotation, or a fresh
    /// key set of the issuer.
    pub fn replace_keys(&self, keys: impl Into<KeyRing>) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    pub(super) fn issuer(&self) -> &str {
        &self.0.rules.issuer
    }

    pub(super) fn now_us(&self) -> u64 {
        self.0.rules.clock.now_us()
    }

    pub(super) fn leeway(&self) -> Duration {
        self.0.rules.leeway
    }

    pub(super) fn life_max(&self) -> Duration {
        Duration::from_secs(self.0.rules.life_max_s)
    }
}

impl Rules {
    fn typ(&self) -> &str {
        self.typ.as_deref().unwrap_or("JWT")
    }

    fn payload(&self, claims: &Claims, now_s: u64, life: Duration) -> Result<Vec<u8>> {
        let life_s = whole_seconds(life);
        if life_s == 0 || life_s > self.life_max_s {
            let detail = format!(
                "a token of this kind lives for 1 to {} s, not {life_s}; see life_max",
                self.life_max_s
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let jti = claims.id.clone().map_or_else(random_id, Ok)?;
        let payload = json::write(&Payload {
            iss: &self.issuer,
            sub: &claims.subject,
            aud: self.audience.as_deref(),
            sid: claims.session.as_deref(),
            jti: &jti,
            iat: now_s,
            exp: now_s.saturating_add(life_s),
            extra: &claims.extra,
        })?;
        if Received::parse(&payload, &self.allowed).is_err() {
            let detail = "a token needs a subject and an id that are not empty, and claims that \
                          are not nested deeply";
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        Ok(payload)
    }

    /// How long the token will still be taken.
    fn check(&self, claims: &Received, now_us: u64) -> std::result::Result<Duration, TokenError> {
        if claims.iss.as_ref().is_some_and(|issuer| *issuer != self.issuer) {
            return Err(TokenError::ForeignIssuer);
        }
        if self.audience.as_ref().is_some_and(|audience| !claims.is_for(audience)) {
            return Err(TokenError::ForeignAudience);
        }
        let (now, leeway) = (seconds(now_us), self.leeway.as_secs_f64());
        if now >= claims.exp + leeway {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|start| now < start - leeway) {
            return Err(TokenError::NotYetValid);
        }
        // That `iat` is still to come says only that the issuer's clock is ahead: RFC 7519 makes it
        // no lower bound. But a clock that is years ahead must not make a token for years.
        let life_max = Duration::from_secs(self.life_max_s).as_secs_f64();
        let issued = claims.iat.unwrap_or(now).min(now + Tokens::CLOCKS_APART_MAX.as_secs_f64());
        if claims.exp - issued > life_max {
            return Err(TokenError::TooLongLived);
        }
        Ok(Duration::from_secs_f64(claims.exp + leeway - now))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rules.fmt(f)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("typ", &self.typ())
            .finish_non_exhaustive()
    }
}

/// 128 bits that nobody can guess.
fn random_id() -> Result<String> {
    crate::random::bytes::<16>().map(|id| text::encode(&id))
}

/// Rounded up, as every span that a client counts on.
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

/// Exact to the microsecond until the year 2255.
#[expect(clippy::cast_precision_loss, reason = "a microsecond does not matter here")]
pub(super) fn seconds(micros: u64) -> f64 {
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
    ring: KeyRing,
    any_audience: bool,
    life_max: Duration,
    rules: Rules,
}

impl TokensBuilder {
    /// Whom the tokens are for: `aud`. This or [`any_audience`](Self::any_audience) must be said.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audience = Some(audience.into());
        self
    }

    /// Takes tokens whomever they are for, and issues them for nobody in particular. Only right
    /// if no other service has the issuer's tokens: it could use them here.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// The kind of token. A token of another kind, or of none, is refused, so give each kind that
    /// you issue its own: `at+jwt` for access, say. Case does not count, and `application/` may be
    /// left out. If this is not set, tokens are issued as `JWT`, and those that say so or say
    /// nothing are taken.
    #[must_use]
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.rules.typ = Some(typ.into());
        self
    }

    /// The longest token in bytes, 2,048 by default and [`Tokens::LEN_MAX`] at most; its decoded
    /// header may have half of that. For issuers that list dozens of roles, or put certificates
    /// (`x5c`) in the header.
    #[must_use]
    pub fn len_max(mut self, bytes: usize) -> Self {
        self.rules.len_max = bytes;
        self
    }

    /// Takes tokens without `iss`, too; one that names another issuer still is refused. Only right
    /// if the keys sign for this issuer alone.
    #[must_use]
    pub fn allow_no_issuer(mut self) -> Self {
        self.rules.allowed.no_issuer = true;
        self
    }

    /// Takes tokens without `sub`, too: [`Verified::subject`] is empty then.
    #[must_use]
    pub fn allow_no_subject(mut self) -> Self {
        self.rules.allowed.no_subject = true;
        self
    }

    /// Takes dates before 1970 as dates: an `nbf` of -1 passes. By default they make the claims
    /// invalid.
    #[must_use]
    pub fn allow_early_dates(mut self) -> Self {
        self.rules.allowed.early_dates = true;
        self
    }

    /// How far this machine's clock may be from the issuer's, 30 seconds by default and 60 at
    /// most: tokens are taken that much after `exp`, and before `nbf`. An `iat` that is still to
    /// come is no reason to refuse a token.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// The longest time from `iat` to `exp`, a day by default; in whole seconds, rounded up. For a
    /// token without `iat`, from now to `exp`. Whatever `iat` says, no token is taken that will
    /// live for longer than this and [`Tokens::CLOCKS_APART_MAX`].
    #[must_use]
    pub fn life_max(mut self, life_max: Duration) -> Self {
        self.life_max = life_max;
        self
    }

    /// Remembers the good signatures of so many tokens, each as long as its token lives, and 100
    /// bytes or so for each. Worth it for RSA and elliptic curves; an HMAC is as fast as the
    /// look-up. Claims, keys and revocation are checked each time all the same.
    #[must_use]
    pub fn cache(mut self, tokens_max: u64) -> Self {
        self.rules.cache = Some(SignatureCache::new(tokens_max));
        self
    }

    /// Where the time comes from; the system by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.rules.clock = Arc::new(clock);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an empty issuer, audience or type, neither or both of `audience`
    /// and `any_audience`, a `len_max` of zero or over 16 KiB, a leeway over 60 seconds, or a
    /// maximal life of zero or over ten years.
    pub fn build(self) -> Result<Tokens> {
        let Self { ring, any_audience, life_max, mut rules } = self;
        let refuse = |detail: &str| Err(Error::new(ErrorKind::Config, detail));
        if rules.issuer.is_empty() || rules.typ().is_empty() {
            return refuse("the issuer or the typ of tokens is empty; give it a name");
        }
        if rules.audience.as_deref() == Some("") || rules.audience.is_some() == any_audience {
            return refuse("say whom tokens are for: either an audience or any_audience, not both");
        }
        if !(1..=Tokens::LEN_MAX).contains(&rules.len_max) {
            return refuse("len_max of tokens is 1 to 16,384 bytes");
        }
        if rules.leeway > Tokens::LEEWAY_MAX {
            return refuse("leeway of tokens is up to 60 s; set the clocks instead");
        }
        if life_max.is_zero() || life_max > LIFE_MAX {
            return refuse("life_max of tokens is more than zero and up to ten years");
        }
        rules.life_max_s = whole_seconds(life_max);
        Ok(Tokens(Arc::new(Inner { ring: RwLock::new(ring), rules })))
    }
}

/// Ten years. A revocation, which lives a little longer, still is within what stores take.
const LIFE_MAX: Duration = Duration::from_secs(3_650 * 24 * 3600);

impl fmt::Debug for TokensBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}
