use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::Principal;
use crate::backend::{Error, ErrorKind, Group, Result};
use crate::principal::Tag;
use crate::text;

/// The secret that names a session: 256 random bits, and for a signed-in session the tag of its
/// principal.
///
/// Text form: 43 characters of base64url, or 65 with the tag. The store sees only a SHA-256 of
/// the secret. `Debug` shows the first characters of that hash; only
/// [`expose`](SessionId::expose) gives the secret away.
///
/// ```
/// use steadfast::session::SessionId;
///
/// assert!("not-an-id".parse::<SessionId>().is_err());
/// let id: SessionId = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse()?;
/// assert_eq!(id.expose().len(), 43);
/// assert!(!format!("{id:?}").contains("AAAA"));
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId {
    secret: [u8; Self::SECRET_LEN],
    tag: Option<Tag>,
}

impl SessionId {
    const SECRET_LEN: usize = 32;

    /// A fresh id from the operating system's random source.
    pub(super) fn generate(principal: Option<&Principal>) -> Result<Self> {
        Self::random(principal.map(Principal::tag))
    }

    /// A fresh id for the same session.
    pub(super) fn next(&self) -> Result<Self> {
        Self::random(self.tag)
    }

    fn random(tag: Option<Tag>) -> Result<Self> {
        Ok(Self { secret: crate::random::bytes()?, tag })
    }

    /// The secret of the id that follows this one, so that only who has this one can read it: a
    /// one-time pad, since an id is followed once.
    pub(super) fn pad(&self, next: &Self) -> [u8; Self::SECRET_LEN] {
        let mut padded = self.digest_for(b"steadfast session successor\0");
        for (byte, secret) in padded.iter_mut().zip(next.secret) {
            *byte ^= secret;
        }
        padded
    }

    /// The id that follows this one.
    pub(super) fn unpad(&self, padded_secret: [u8; Self::SECRET_LEN]) -> Self {
        let secret = self.pad(&Self { secret: padded_secret, tag: self.tag });
        Self { secret, tag: self.tag }
    }

    /// The text form, for a cookie or a token. Whoever has it has the session.
    pub fn expose(&self) -> String {
        match self.tag {
            None => text::encode(&self.secret),
            Some(tag) => text::encode(&self.secret) + &text::encode(&tag.0),
        }
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.tag.is_some()
    }

    /// The principal's group, or one of its own for an anonymous session.
    pub(super) fn group(&self) -> Group {
        self.tag.map_or_else(|| text::group(&self.hash()[..Tag::LEN]), Tag::group)
    }

    /// The tag of its principal.
    #[cfg(feature = "poem")]
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// What the store knows it by.
    pub(crate) fn digest(&self) -> String {
        text::encode(&self.hash())
    }

    /// Eight characters that stand for it in events and logs.
    pub(crate) fn short(&self) -> String {
        self.digest()[..8].to_owned()
    }

    fn hash(&self) -> [u8; 32] {
        self.digest_for(b"steadfast session\0")
    }

    fn digest_for(&self, purpose: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(purpose).chain_update(self.secret).finalize().into()
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// Strict: exact length and alphabet, unused bits zero. Needs no store.
    fn from_str(id: &str) -> Result<Self> {
        let parse = || {
            let (secret, tag) = id.split_at_checked(43)?;
            let secret = text::decode_array(secret)?;
            let tag = match tag {
                "" => None,
                tag => Some(Tag(text::decode_array(tag)?)),
            };
            Some(Self { secret, tag })
        };
        parse().ok_or_else(|| {
            let detail = "a session id has 43 or 65 characters of base64url; this is none; treat \
                          the request as having no session";
            Error::new(ErrorKind::Invalid, detail)
        })
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(#{})", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_differ() {
        let alice = Principal::new("alice").unwrap();
        for principal in [None, Some(&alice)] {
            let id = SessionId::generate(principal).unwrap();
            assert_eq!(id.expose().parse::<SessionId>().unwrap(), id);
            assert_ne!(SessionId::generate(principal).unwrap(), id);
        }
    }

    #[test]
    fn a_successor_is_read_with_the_old_id_only() {
        let old = SessionId::generate(Some(&Principal::new("alice").unwrap())).unwrap();
        let new = old.next().unwrap();
        let padded = old.pad(&new);
        assert_ne!(padded, new.secret);
        assert_eq!(old.unpad(padded), new);
        assert_ne!(new.unpad(padded), new);
    }

    #[test]
    fn only_the_exact_form_parses() {
        let good = SessionId::generate(None).unwrap().expose();
        let twin = format!("{}B", &"A".repeat(42));
        for bad in ["", "a", &good[1..], &format!("{good}A"), &format!("{good}="), &twin, "é"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_secret_is_in_no_key_and_no_debug() {
        let id = SessionId::generate(None).unwrap();
        let shown = format!("{id:?} {} {}", id.digest(), id.group().as_str());
        assert!(!shown.contains(&id.expose()[..12]));
    }
}
