//! Encryption of payloads: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), a random nonce each.
//!
//! | offset in the payload | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | id of the key, big-endian |
//! | 4 | 24 | nonce |
//! | 28 | n | ciphertext |
//! | 28 + n | 16 | tag |
//!
//! Bound as associated data: the facts of the envelope's header, the schema version among them,
//! and the store key. A record that is copied under another key, or whose header is changed, does
//! not open. Not prevented: whoever can write to the store can put back what stood under a key
//! before, and a new record's life then starts anew, since its birth is the write that carries it.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::backend::{Bytes, Key, Result};

use super::envelope::{self, HEADER_LEN};

/// The keys that a store encrypts with: one to write, any number to read.
///
/// To rotate, give the new key to [`new`](SealingKeys::new) and the old one to
/// [`and_old`](SealingKeys::and_old); records change over when they are next written. `Debug` shows
/// no key.
///
/// ```
/// use steadfast::Store;
/// use steadfast::store::SealingKeys;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// # let (new_key, old_key) = ([2; 32], [1; 32]);
/// let keys = SealingKeys::new(2, &new_key).and_old(1, &old_key);
/// let backend = steadfast::connect("memory:").await?;
/// let store = Store::builder(backend).sealed(keys).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SealingKeys {
    /// The first one writes.
    keys: Vec<(u32, XChaCha20Poly1305)>,
    pub(super) accept_clear: bool,
}

const NONCE_LEN: usize = 24;

impl SealingKeys {
    /// Writes with this key: 32 bytes from a random source. The id is stored beside each record;
    /// never give it to another key.
    pub fn new(id: u32, key: &[u8; 32]) -> Self {
        Self { keys: vec![(id, XChaCha20Poly1305::new(key.into()))], accept_clear: false }
    }

    /// Reads what was written with an earlier key.
    #[must_use]
    pub fn and_old(mut self, id: u32, key: &[u8; 32]) -> Self {
        self.keys.push((id, XChaCha20Poly1305::new(key.into())));
        self
    }

    /// Also reads records that are not encrypted, for a store that was begun without keys.
    /// Whoever can write to the store can then plant a record.
    #[must_use]
    pub fn accept_clear(mut self) -> Self {
        self.accept_clear = true;
        self
    }

    pub(super) fn are_distinct(&self) -> bool {
        let ids = self.keys.iter().map(|(id, _cipher)| id);
        ids.collect::<std::collections::HashSet<_>>().len() == self.keys.len()
    }

    /// The envelope of clear payload, without guards, as it is stored.
    pub(super) fn seal(&self, key: &Key, clear: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = crate::random::bytes()?;
        let (id, cipher) = &self.keys[0];
        let (head, payload) = clear.split_at(HEADER_LEN);
        let aad = bound(key, head);
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: payload, aad: &aad });
        let sealed = sealed.map_err(|_| envelope::corrupt("it is too long to be encrypted"))?;
        let mut out = Vec::with_capacity(HEADER_LEN + 4 + NONCE_LEN + sealed.len());
        out.extend_from_slice(head);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// The clear payload.
    pub(super) fn open(&self, key: &Key, head: &[u8], payload: &[u8]) -> Result<Bytes> {
        let parts = || {
            let (id, rest) = payload.split_first_chunk::<4>()?;
            let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
            Some((u32::from_be_bytes(*id), XNonce::from(*nonce), sealed))
        };
        let (id, nonce, sealed) = parts().ok_or_else(|| envelope::corrupt("it is too short"))?;
        let known = self.keys.iter().find(|(known, _cipher)| *known == id);
        let (_id, cipher) = known.ok_or_else(|| {
            envelope::corrupt("it is encrypted with a key that this store does not have; add it")
        })?;
        let aad = bound(key, head);
        let clear = cipher.decrypt(&nonce, Payload { msg: sealed, aad: &aad });
        let clear = clear.map_err(|_| {
            envelope::corrupt("it does not decrypt: it was changed, moved, or its key is another")
        })?;
        Ok(clear.into())
    }
}

/// The bytes of the header that say something, without the guards.
const FACTS_LEN: usize = 24;

/// What a record is bound to: its place and what the header says of it.
fn bound(key: &Key, head: &[u8]) -> Vec<u8> {
    let mut bound = head[..FACTS_LEN].to_vec();
    bound.extend_from_slice(key.as_str().as_bytes());
    bound
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|(id, _cipher)| id).collect();
        f.debug_struct("SealingKeys").field("ids", &ids).finish_non_exhaustive()
    }
}
