use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::{Error, ErrorKind, Group, Key, Result, Ttl};
use crate::fields::Fields;
use crate::{State, Store, text};

use super::{CheckError, TokenError, Tokens, Verified};

/// Which tokens ended before their time, in a [`Store`] that every replica asks.
///
/// An entry goes by issuer and `jti`, or by issuer and subject, never by the token's bytes: one
/// token can be written in several ways. It outlives what it revokes on every replica, as long as
/// no two of their clocks are more than [`Tokens::CLOCKS_APART_MAX`] apart, so nothing comes back
/// when it goes.
///
/// ```
/// # use std::time::Duration;
/// # use steadfast::token::{Claims, Key, Revocations};
/// # use steadfast::{Store, Tokens};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let key = Key::hs256(b"a secret of at least 32 bytes...")?;
/// # let tokens = Tokens::builder("shop", key).any_audience().build()?;
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// // A backend that never drops entries would take `Revocations::new`.
/// let revocations = Revocations::best_effort(&store, &tokens);
/// let token = tokens.issue(&Claims::new("alice"), Duration::from_secs(3600))?;
/// let verified = revocations.verify(&token).await?;
/// revocations.revoke(&verified).await?;
/// assert!(revocations.verify(&token).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Revocations {
    store: Store,
    tokens: Tokens,
}

impl Revocations {
    /// Revocations of these tokens.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the backend may drop live entries to make room: a dropped
    /// revocation is a token that lives again.
    pub fn new(store: &Store, tokens: &Tokens) -> Result<Self> {
        if store.info().capabilities.evicts {
            let detail = format!(
                "{} may drop revocations when it is full, and the tokens would live again; use a \
                 backend that does not evict, or Revocations::best_effort",
                store.info().name
            );
            return Err(Error::new(ErrorKind::Config, detail));
        }
        Ok(Self::best_effort(store, tokens))
    }

    /// The same on any backend, for tests, or where the store is known to be large enough.
    pub fn best_effort(store: &Store, tokens: &Tokens) -> Self {
        Self { store: store.clone(), tokens: tokens.clone() }
    }

    /// [`Tokens::verify`], then [`check`](Revocations::check).
    ///
    /// # Errors
    ///
    /// As those two.
    pub async fn verify(&self, token: &str) -> std::result::Result<Verified, CheckError> {
        let verified = self.tokens.verify(token)?;
        self.check(&verified).await?;
        Ok(verified)
    }

    /// Whether neither the token nor all of its subject were revoked. One trip.
    ///
    /// # Errors
    ///
    /// [`CheckError::Refused`] if one of them was, or if the token could not be revoked at all
    /// because it has no `jti` or no `iat`; [`CheckError::Store`] if the store does not say.
    pub async fn check(&self, token: &Verified) -> std::result::Result<(), CheckError> {
        self.store
            .one_call(async {
                let (Some(id), Some(issued_s)) = (&token.id, token.issued_s) else {
                    return Err(TokenError::InvalidClaims.into());
                };
                let group = group(&token.issuer, &token.subject);
                let keys = [self.id_key(&group, &token.issuer, id)?, self.subject_key(&group)?];
                let entries = <[_; 2]>::try_from(self.store.entries(&keys).await?);
                let [revoked, mark] = entries.map_err(|_| {
                    Error::new(
                        ErrorKind::Other,
                        "the store gave another number of answers than questions",
                    )
                })?;
                let mark = mark.map(|entry| self.store.decode::<IssuedUntil>(&keys[1], &entry));
                let mark = mark.transpose()?;
                if revoked.is_some() || mark.is_some_and(|mark| mark.value.covers(issued_s)) {
                    return Err(TokenError::Revoked.into());
                }
                Ok(())
            })
            .await
    }

    /// Ends one token, for every replica, from the moment this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a token without `jti`; otherwise what the store says. After an
    /// ambiguous error, call it again.
    pub async fn revoke(&self, token: &Verified) -> Result<()> {
        self.store
            .one_call(async {
                let Some(id) = &token.id else {
                    let detail =
                        "a token without a jti cannot be revoked alone; revoke its subject";
                    return Err(Error::new(ErrorKind::Invalid, detail));
                };
                let now_s = super::tokens::seconds(self.tokens.now_us());
                let left = Duration::from_secs_f64((token.expires_s - now_s).max(0.0));
                let key = self.id_key(&group(&token.issuer, &token.subject), &token.issuer, id)?;
                let write = self.store.put_write(&key, &Revoked)?.expiring(self.ttl(left)?);
                // Unconditional, so it cannot be refused.
                self.store.write(&write).await.map(|_applied| ())
            })
            .await
    }

    /// Ends every token of ours that the subject has by now, but for those that an issuer whose
    /// clock is ahead has dated later than now: they end by themselves, or with their session. Two
    /// trips, whatever their number.
    ///
    /// `iat` has whole seconds, so this takes tokens of the present and the next second, too.
    /// Returns how long to wait before a new token for the subject will pass: two seconds at most,
    /// unless a machine whose clock is ahead revoked the subject as well.
    ///
    /// # Errors
    ///
    /// What the store says. After an ambiguous error, call it again.
    pub async fn revoke_subject(&self, subject: &str) -> Result<Duration> {
        self.store
            .one_call(async {
                let now_us = self.tokens.now_us();
                let until_s = now_us.div_ceil(1_000_000);
                let key = self.subject_key(&group(self.tokens.issuer(), subject))?;
                let ttl = self.ttl(self.tokens.life_max())?;
                let updated =
                    self.store.update(&key, Some(ttl), |mark: &mut Option<IssuedUntil>| {
                        // A replica whose clock is behind must not let later tokens in again.
                        let present_s = mark.as_ref().map_or(0, |mark| mark.until_s);
                        *mark = Some(IssuedUntil { until_s: present_s.max(until_s) });
                        present_s.max(until_s)
                    });
                let until_s = updated.await?.output;
                Ok(Duration::from_micros(
                    (until_s + 1).saturating_mul(1_000_000).saturating_sub(now_us),
                ))
            })
            .await
    }

    /// Longer than the slowest clock that is still within bounds takes the token, and a second
    /// for what was rounded.
    fn ttl(&self, left: Duration) -> Result<Ttl> {
        let slack = self.tokens.leeway() + Tokens::CLOCKS_APART_MAX + Duration::from_secs(1);
        Ttl::new(left.saturating_add(slack))
    }

    fn id_key(&self, group: &Group, issuer: &str, id: &str) -> Result<Key> {
        let name = Fields::new("steadfast revoked token").field(issuer).field(id);
        self.store.own_key("revocation", group, &text::encode(&name.finish()))
    }

    fn subject_key(&self, group: &Group) -> Result<Key> {
        self.store.own_key("revocation", group, "subject")
    }
}

/// Both entries of a token are in its subject's group, so that one trip reads both.
fn group(issuer: &str, subject: &str) -> Group {
    text::group(&Fields::new("steadfast revoked subject").field(issuer).field(subject).finish())
}

/// That it is there is all it says.
#[derive(Serialize, Deserialize)]
struct Revoked;

impl State for Revoked {
    const SCHEMA: u16 = 1;
}

/// All tokens of a subject that were issued until then are revoked.
#[derive(Serialize, Deserialize)]
struct IssuedUntil {
    until_s: u64,
}

impl State for IssuedUntil {
    const SCHEMA: u16 = 1;
}

impl IssuedUntil {
    fn covers(&self, issued_s: f64) -> bool {
        issued_s <= super::tokens::seconds(self.until_s.saturating_mul(1_000_000))
    }
}
