use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use crate::fields::Fields;

use super::Key;

/// Which tokens had a good signature of which key. It holds no token and decides nothing else: a
/// hit saves the arithmetic of one signature, and everything around it is checked as ever.
pub(super) struct SignatureCache(Cache<[u8; 32], Duration>);

impl SignatureCache {
    pub(super) fn new(tokens_max: u64) -> Self {
        Self(Cache::builder().max_capacity(tokens_max).expire_after(Life).build())
    }

    pub(super) fn has(&self, key: &Key, token: &str) -> bool {
        self.0.contains_key(&digest(key, token))
    }

    /// For the rest of the token's life.
    pub(super) fn keep(&self, key: &Key, token: &str, left: Duration) {
        self.0.insert(digest(key, token), left);
    }
}

/// Another key of the same name, or the same key for another algorithm, is another entry.
fn digest(key: &Key, token: &str) -> [u8; 32] {
    let purpose = Fields::new("steadfast verified token").field(key.algorithm().name());
    purpose.field(key.id()).field(token).finish()
}

/// An entry lives as long as its token.
struct Life;

impl Expiry<[u8; 32], Duration> for Life {
    fn expire_after_create(&self, _: &[u8; 32], life: &Duration, _: Instant) -> Option<Duration> {
        Some(*life)
    }
}
