use hmac::{Hmac, KeyInit};
use sha2::{Sha256, Sha384, Sha512};

/// An HMAC key, bound to its hash. It is overwritten when it is dropped.
pub(super) enum Mac {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
}

impl Mac {
    pub(super) fn hs256(secret: &[u8]) -> Option<Self> {
        keyed(secret).map(Self::Hs256)
    }

    pub(super) fn hs384(secret: &[u8]) -> Option<Self> {
        keyed(secret).map(Self::Hs384)
    }

    pub(super) fn hs512(secret: &[u8]) -> Option<Self> {
        keyed(secret).map(Self::Hs512)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        fn tag(mac: &(impl hmac::Mac + Clone), message: &[u8]) -> Vec<u8> {
            mac.clone().chain_update(message).finalize().into_bytes().to_vec()
        }
        match self {
            Self::Hs256(mac) => tag(mac, message),
            Self::Hs384(mac) => tag(mac, message),
            Self::Hs512(mac) => tag(mac, message),
        }
    }

    /// In constant time, and of the full length only.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        fn is_tag(mac: &(impl hmac::Mac + Clone), message: &[u8], signature: &[u8]) -> bool {
            mac.clone().chain_update(message).verify_slice(signature).is_ok()
        }
        match self {
            Self::Hs256(mac) => is_tag(mac, message, signature),
            Self::Hs384(mac) => is_tag(mac, message, signature),
            Self::Hs512(mac) => is_tag(mac, message, signature),
        }
    }
}

/// `None` for a secret that is shorter than the hash: RFC 7518, section 3.2.
fn keyed<M: hmac::Mac + KeyInit>(secret: &[u8]) -> Option<M> {
    (secret.len() >= M::output_size()).then(|| M::new_from_slice(secret).ok()).flatten()
}
